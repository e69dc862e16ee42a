//! Reads dkms.conf files that only assign, without bash and without a word.
//!
//! Knows the names that a conf may mention and the override files; knows nothing of what has
//! been said or is to be said about it. Can be used by several threads at once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{arguments::Arguments, target::Target};
use crate::{
    conf::{Conf, ConfProblem, DIRECTIVES, RawConf, ResolveInput, evaluate_literal, resolve},
    kernel::KernelConfig,
    package::PackageId,
    sandbox::Layout,
    toolbox::Distribution,
};

/// What a dkms.conf says about one kernel.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Its meaning.
    pub(crate) conf: Conf,
    /// Where each module is installed: the distribution's place, or the conf's.
    pub(crate) destinations: Vec<String>,
    /// PACKAGE_NAME and PACKAGE_VERSION as they stand there.
    pub(crate) name: Option<(String, String)>,
    /// What bash or the conf itself printed while it was evaluated.
    pub(crate) said: String,
    /// The user's directives, each said when the conf is read.
    pub(crate) directives: Vec<String>,
    /// Deprecated directives, with the file that has them.
    pub(crate) deprecated: Vec<String>,
    pub(crate) path: PathBuf,
}

impl Facts {
    /// Indices of the modules that are built for the kernel.
    pub(crate) fn buildable(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.conf.modules.len()).filter(|index| self.conf.modules[*index].excluded.is_none())
    }

    /// A hook of the conf, such as `POST_ADD`.
    pub(crate) fn hook(&self, directive: &str) -> Option<&str> {
        self.conf
            .other_hooks
            .iter()
            .find(|(name, _)| name == directive)
            .map(|(_, command)| command.as_str())
    }

    /// The places where module `index` may be: where it is put now, or where its conf says.
    pub(crate) fn possible_destinations(&self, index: usize) -> Vec<&str> {
        let now = self.destinations[index].as_str();
        let said = self.conf.modules[index].dest_location.as_str();
        let mut places = vec![now];
        if said != now {
            places.push(said);
        }
        places
    }
}

/// What reading confs takes.
#[derive(Clone, Copy)]
pub(crate) struct ConfReader<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) distribution: &'a Distribution,
    pub(crate) addon_modules_dir: &'a str,
    /// The names in /etc/dkms.
    pub(crate) overrides: &'a [String],
}

impl ConfReader<'_> {
    /// What bash would make of a conf, the text of which is known; none if bash must be asked.
    pub(crate) fn raw(
        &self,
        package: Option<&PackageId>,
        target: &Target,
        text: &[u8],
        layout: &Layout,
    ) -> Option<RawConf> {
        let overrides: Vec<Vec<u8>> = self
            .override_files(package, target)
            .iter()
            .map(|file| fs::read(file).unwrap_or_default())
            .collect();
        let mut slices = vec![text];
        slices.extend(overrides.iter().map(Vec::as_slice));
        let mut scope = self.scope(package, target, layout);
        // Looked for only where it is wanted: that takes a system call.
        if slices.iter().any(|text| mentions(text, "kernel_config")) {
            let config = self
                .arguments
                .config_file(&layout.install_tree, &target.kernel);
            scope.push(("kernel_config", config.display().to_string()));
        }
        let scope: Vec<(&str, &str)> = scope
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        evaluate_literal(&slices, DIRECTIVES, &scope, &self.arguments.directives)
    }

    /// Gives a conf its meaning.
    ///
    /// # Errors
    /// Fails with the defects of a conf that cannot have one.
    pub(crate) fn facts(
        &self,
        raw: &RawConf,
        package: Option<&PackageId>,
        target: &Target,
        path: &Path,
        config: &KernelConfig,
        layout: &Layout,
    ) -> Result<Facts, Vec<ConfProblem>> {
        let own = raw
            .scalar("PACKAGE_NAME")
            .zip(raw.scalar("PACKAGE_VERSION"))
            .map(|(name, version)| (name.to_owned(), version.to_owned()));
        let named = own
            .as_ref()
            .and_then(|(name, version)| PackageId::new(name, version).ok());
        let conf = resolve(&ResolveInput {
            raw,
            registered: package.or(named.as_ref()),
            release: &target.kernel,
            arch: &target.arch,
            config,
            layout,
            kernel_source_dir: self.arguments.kernel_source_dir.as_deref(),
        })?;
        let destinations = conf
            .modules
            .iter()
            .map(|module| self.destination(&module.dest_location))
            .collect();
        Ok(Facts {
            destinations,
            name: own,
            said: String::new(),
            directives: self.arguments.directives.clone(),
            deprecated: conf
                .deprecated
                .iter()
                .map(|name| deprecation(name, path))
                .collect(),
            path: path.to_owned(),
            conf,
        })
    }

    /// What a conf may mention, but for the kernel's configuration.
    pub(crate) fn scope(
        &self,
        package: Option<&PackageId>,
        target: &Target,
        layout: &Layout,
    ) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.display().to_string();
        let source_dir = self
            .arguments
            .build_tree(&layout.install_tree, &target.kernel);
        let (module, version) = package
            .map(|id| (id.name.to_string(), id.version.to_string()))
            .unwrap_or_default();
        vec![
            ("kernelver", target.kernel.to_string()),
            ("arch", target.arch.to_string()),
            ("kernel_source_dir", text(&source_dir)),
            ("dkms_tree", text(&layout.dkms_tree)),
            ("source_tree", text(&layout.source_tree)),
            ("install_tree", text(&layout.install_tree)),
            ("module", module),
            ("module_version", version),
        ]
    }

    /// Override files that are there, from the general to the particular.
    pub(crate) fn override_files(
        &self,
        package: Option<&PackageId>,
        target: &Target,
    ) -> Vec<PathBuf> {
        if self.overrides.is_empty() {
            return Vec::new();
        }
        let (module, version) = package
            .map(|id| (id.name.as_str(), id.version.as_str()))
            .unwrap_or_default();
        let Target { kernel, arch } = target;
        [
            format!("{module}.conf"),
            format!("{module}-{version}.conf"),
            format!("{module}-{version}-{kernel}.conf"),
            format!("{module}-{version}-{kernel}-{arch}.conf"),
            format!("{module}--{kernel}.conf"),
            format!("{module}--{kernel}-{arch}.conf"),
        ]
        .into_iter()
        .filter(|name| self.overrides.contains(name))
        .map(|name| Path::new("/etc/dkms").join(name))
        .collect()
    }

    /// Where a module goes whose conf says `location`.
    fn destination(&self, location: &str) -> String {
        if !self.addon_modules_dir.is_empty() {
            return format!("/{}", self.addon_modules_dir);
        }
        self.distribution
            .destination()
            .unwrap_or(location)
            .to_owned()
    }
}

/// Whether a text has a word in it.
fn mentions(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|part| part == word.as_bytes())
}

/// The names in /etc/dkms, sorted.
pub(crate) fn override_names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir("/etc/dkms")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".conf"))
        .collect();
    names.sort();
    names
}

fn deprecation(directive: &str, path: &Path) -> String {
    let path = path.display();
    if directive == "OBSOLETE_BY" {
        format!("OBSOLETE_BY ({path}): use BUILD_EXCLUSIVE_KERNEL_MAX instead")
    } else {
        format!("{directive} ({path})")
    }
}
