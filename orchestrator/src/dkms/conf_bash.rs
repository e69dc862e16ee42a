//! Has bash evaluate a dkms.conf for the dkms front end: the same action as for `kiln build`, with the names of
//! things that this machine's DKMS tree has.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use kiln_build::{
    conf::RawConf,
    keys::conf_keys,
    plan::{Answer, ConfAction, ConfFault, PackageInput, PackageInputError},
    sight::Looker,
};
use kiln_cache::StoreError;
use kiln_kernel::{
    KernelInput, KernelTree,
    fingerprints::{FingerprintError, Fingerprints},
    package::{Found, PackageId, PackageSource},
    toolbox::SystemRoot,
};
use kiln_sandbox::Layout;
use kiln_scheduler::CancelToken;

use super::{Session, target::Target};

/// Why bash could not be asked, or gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// Why has been said.
    #[error("there is no place to run bash in")]
    NoPlace,
    /// A file cannot be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The source cannot be used.
    #[error(transparent)]
    Source(#[from] PackageInputError),
    /// The kernel or the overrides cannot be read.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was not evaluated.
    #[error(transparent)]
    Fault(#[from] ConfFault),
    /// It ran, and did not end well.
    #[error("{0}")]
    Bad(String),
}

impl Session {
    /// Bash's view of a conf, and what was printed meanwhile.
    ///
    /// # Errors
    /// Fails if there is no place to run it, an input cannot be read, or it does not end well.
    pub(crate) fn ask_bash(
        &mut self,
        package: Option<&PackageId>,
        target: &Target,
        path: &Path,
        layout: &Layout,
    ) -> Result<(RawConf, String), Unanswered> {
        let site = self.site().ok_or(Unanswered::NoPlace)?;
        let mut fingerprints = Fingerprints::new(&site.store);
        let action = self.conf_action(package, target, path, layout, &mut fingerprints)?;
        let mut keys = conf_keys(&action);
        site.system_files.load(fingerprints.index());
        // Other processes may have the index while bash runs.
        fingerprints.close();
        let mut looker = Looker::new(SystemRoot::host(), &site.system_files);
        let outcome = match action.look_up(&mut keys, &site.store, &mut looker)? {
            Some(outcome) => outcome,
            None => action.run(&keys, &site, &CancelToken::new())?,
        };
        if site.system_files.is_changed() {
            site.system_files.save(site.index().as_ref());
        }
        let Answer { raw, said } = outcome.map_err(Unanswered::Bad)?;
        let said = in_the_users_words(said, &raw, path, layout);
        Ok((raw, said))
    }

    /// Collects all that the answer can depend on.
    fn conf_action(
        &self,
        package: Option<&PackageId>,
        target: &Target,
        path: &Path,
        layout: &Layout,
        fingerprints: &mut Fingerprints<'_>,
    ) -> Result<ConfAction, Unanswered> {
        let unread = |path: &Path| {
            let path = path.to_owned();
            move |source| Unanswered::File { path, source }
        };
        let source = match package {
            Some(package) if self.tree.source(package).is_dir() => self.tree.source(package),
            _ => path.parent().unwrap_or(Path::new("/")).to_owned(),
        };
        let source = fs::canonicalize(&source).map_err(unread(&source))?;
        let kernel = self.kernel_tree(target).unwrap_or_else(|| {
            KernelTree::absent(&target.kernel, &target.arch, &self.install_tree)
        });
        let is_elsewhere = fs::canonicalize(path).ok() != Some(source.join("dkms.conf"));
        let conf = match is_elsewhere {
            true => Some((path.to_owned(), fingerprints.file_witness(path)?)),
            false => None,
        };
        let found = Found {
            source: PackageSource::Tree(source),
            registered: package.cloned(),
        };
        let input = PackageInput::new(&found, fingerprints, None)?
            .pop()
            .expect("a directory is one package");
        let overrides = Path::new("/etc/dkms");
        let overrides = match overrides.is_dir() {
            true => Some(fingerprints.overrides_witness(overrides)?),
            false => None,
        };
        let kernel = match kernel.build.is_dir() {
            true => KernelInput::new(kernel, fingerprints)?,
            false => KernelInput::without_trees(kernel),
        };
        Ok(ConfAction {
            package: Some(Arc::new(input)),
            kernel: Arc::new(kernel),
            layout: layout.clone(),
            conf,
            directives: self.arguments.directives.clone(),
            overrides,
            build_environment: None,
        })
    }
}

/// What was printed, with the name that the user has for the file.
fn in_the_users_words(said: String, raw: &RawConf, path: &Path, layout: &Layout) -> String {
    let of = |index| raw.element("@module", index).unwrap_or_default();
    let registered = layout.dkms_tree.join(of(0)).join(of(1)).join("source");
    let inside = [
        layout.run.join("dkms.conf"),
        layout.run.join("source/dkms.conf"),
        registered.join("dkms.conf"),
    ];
    let own = path.display().to_string();
    inside.iter().fold(said, |said, name| {
        said.replace(&name.display().to_string(), &own)
    })
}
