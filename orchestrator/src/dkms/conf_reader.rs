//! Reads dkms.conf files that only assign, without bash and without a word.
//!
//! Knows the names that a conf may mention and the override files; knows nothing of what has
//! been said or is to be said about it. Can be used by several threads at once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kiln_build::conf::{
    Conf, ConfProblem, ConfTarget, DIRECTIVES, LiteralInput, RawConf, ResolveInput, owners_text,
    resolve,
};
use kiln_kernel::{KernelConfig, package::PackageId, toolbox::Distribution};
use kiln_sandbox::Layout;

use super::{arguments::Arguments, target::Target};

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
        let place = self.conf_target(target, layout);
        let overrides: Vec<Vec<u8>> = place
            .override_names(package)
            .iter()
            .filter(|name| self.overrides.contains(name))
            // What is no file is for whoever asks bash to say.
            .map(|name| owners_text(&Path::new("/etc/dkms").join(name)).ok())
            .collect::<Option<_>>()?;
        let input = LiteralInput {
            text,
            target: place,
            kernel_config: &|| {
                self.arguments
                    .config_file(&layout.install_tree, &target.kernel)
            },
            directives: &self.arguments.directives,
        };
        input.evaluate(DIRECTIVES, package, &overrides)
    }

    /// What a conf is evaluated for.
    pub(crate) fn conf_target<'t>(&self, target: &'t Target, layout: &'t Layout) -> ConfTarget<'t> {
        ConfTarget {
            release: &target.kernel,
            arch: &target.arch,
            layout,
            kernel_source_dir: self
                .arguments
                .build_tree(&layout.install_tree, &target.kernel),
        }
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
        let named = match (package, &own) {
            (Some(package), _) => Some(package.clone()),
            (None, Some((name, version))) => Some(package_of(name, version)?),
            (None, None) => None,
        };
        let conf = resolve(&ResolveInput {
            raw,
            registered: named.as_ref(),
            release: &target.kernel,
            arch: &target.arch,
            config,
            layout,
            kernel_source_dir: self.arguments.kernel_source_dir.as_deref(),
            required_compiler: None,
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

fn package_of(name: &str, version: &str) -> Result<PackageId, Vec<ConfProblem>> {
    let named = PackageId::new(name, version);
    named.map_err(|error| vec![ConfProblem::Name(format!("{error}."))])
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
