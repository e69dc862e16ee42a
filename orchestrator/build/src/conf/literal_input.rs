//! A dkms.conf with its override files, evaluated for a kernel without bash.

use std::path::{Path, PathBuf};

use kiln_kernel::{Arch, KernelRelease, package::PackageId};
use kiln_sandbox::Layout;

use super::{RawConf, evaluate_literal};

/// What a configuration file is evaluated for.
pub struct ConfTarget<'a> {
    /// The kernel.
    pub release: &'a KernelRelease,
    /// The architecture.
    pub arch: &'a Arch,
    /// Where the trees are.
    pub layout: &'a Layout,
    /// Where the kernel's build tree is.
    pub kernel_source_dir: PathBuf,
}

impl ConfTarget<'_> {
    /// The variables that a configuration file may mention, but for the kernel's configuration; none if a path is
    /// not text.
    pub fn scope(&self, package: Option<&PackageId>) -> Option<Vec<(&'static str, String)>> {
        let text = |path: &Path| path.to_str().map(str::to_owned);
        let (module, version) = parts(package);
        Some(vec![
            ("kernelver", self.release.to_string()),
            ("arch", self.arch.to_string()),
            ("kernel_source_dir", text(&self.kernel_source_dir)?),
            ("dkms_tree", text(&self.layout.dkms_tree)?),
            ("source_tree", text(&self.layout.source_tree)?),
            ("install_tree", text(&self.layout.install_tree)?),
            ("module", module.to_owned()),
            ("module_version", version.to_owned()),
        ])
    }

    /// The names that override files of a package have in /etc/dkms, from the general to the particular.
    pub fn override_names(&self, package: Option<&PackageId>) -> [String; 6] {
        let (module, version) = parts(package);
        let Self { release, arch, .. } = self;
        [
            format!("{module}.conf"),
            format!("{module}-{version}.conf"),
            format!("{module}-{version}-{release}.conf"),
            format!("{module}-{version}-{release}-{arch}.conf"),
            format!("{module}--{release}.conf"),
            format!("{module}--{release}-{arch}.conf"),
        ]
    }
}

fn parts(package: Option<&PackageId>) -> (&str, &str) {
    package
        .map(|id| (id.name.as_str(), id.version.as_str()))
        .unwrap_or_default()
}

/// A dkms.conf to evaluate.
pub struct LiteralInput<'a> {
    /// Its text.
    pub text: &'a [u8],
    /// What it is evaluated for.
    pub target: ConfTarget<'a>,
    /// Finds the file with the kernel's configuration; asked only where a file mentions it.
    pub kernel_config: &'a dyn Fn() -> PathBuf,
    /// What the user directs, `NAME=VALUE` each.
    pub directives: &'a [String],
}

impl LiteralInput<'_> {
    /// What bash would make of the directives `names`, for a package with these override files; none if bash must
    /// be asked.
    pub fn evaluate(
        &self,
        names: &[&str],
        package: Option<&PackageId>,
        overrides: &[Vec<u8>],
    ) -> Option<RawConf> {
        let mut slices = vec![self.text];
        slices.extend(overrides.iter().map(Vec::as_slice));
        let mut scope = self.target.scope(package)?;
        if slices.iter().any(|text| mentions(text, b"kernel_config")) {
            let config = (self.kernel_config)();
            scope.push(("kernel_config", config.to_str()?.to_owned()));
        }
        let scope: Vec<(&str, &str)> = scope
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        evaluate_literal(&slices, names, &scope, self.directives)
    }

    /// The name that the conf gives its package.
    pub(crate) fn name(&self) -> Option<PackageId> {
        let names = ["PACKAGE_NAME", "PACKAGE_VERSION"];
        let raw = self.evaluate(&names, None, &[])?;
        let [name, version] = names.map(|name| raw.scalar(name));
        PackageId::new(name?, version?).ok()
    }
}

fn mentions(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}
