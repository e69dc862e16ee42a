//! Lets bash evaluate a dkms.conf, in the sandbox, and remembers the answer under everything
//! that it could depend on.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use kiln_cache::ObjectDigest;
use kiln_scheduler::CancelToken;

use super::{Session, target::Target};
use crate::{
    conf::{ConfError, EvaluateInput, Evaluation, RawConf, driver_digest, evaluate},
    kernel::KernelTree,
    package::{Found, PackageId, PackageSource},
    plan::{
        FingerprintError, Fingerprints, KernelInput, PackageInput, PackageInputError, SiteError,
        Tools, scratch_name_of,
    },
    sandbox::{Isolation, Layout},
    toolbox::{PackageScope, SystemRoot},
};

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
    /// Bash does not run as root, and its user may not read this.
    #[error("{path} cannot be read by the user that bash runs as")]
    Unreachable {
        /// The path.
        path: PathBuf,
    },
    /// The source cannot be used.
    #[error(transparent)]
    Source(#[from] PackageInputError),
    /// The kernel, the overrides or the tools cannot be read.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// There is no scratch space.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// It ran, and did not end well.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// What is remembered of an earlier run is not an answer.
    #[error("what the cache has of it cannot be read")]
    Memo(#[from] serde_json::Error),
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
        let unread = |path: &Path| {
            let path = path.to_owned();
            move |source| Unanswered::File { path, source }
        };
        let source = match package {
            Some(package) if self.tree.source(package).is_dir() => self.tree.source(package),
            _ => path.parent().unwrap_or(Path::new("/")).to_owned(),
        };
        let source = fs::canonicalize(&source).map_err(unread(&source))?;
        let elsewhere = fs::canonicalize(path).ok() != Some(source.join("dkms.conf"));
        let kernel = self.kernel_tree(target).unwrap_or_else(|| {
            KernelTree::absent(&target.kernel, &target.arch, &self.install_tree)
        });
        let mut fingerprints = Fingerprints::new(&site.store);
        let mut state: Vec<u8> = driver_digest().to_string().into_bytes();
        let text = fs::read(path).map_err(unread(path))?;
        state.extend_from_slice(ObjectDigest::of(&text).to_string().as_bytes());
        for (name, value) in self.conf_reader().scope(package, target, layout) {
            state.extend_from_slice(format!("\n{name}={value}").as_bytes());
        }
        for directive in &self.arguments.directives {
            state.extend_from_slice(format!("\ndirective {directive}").as_bytes());
        }
        let found = Found {
            source: PackageSource::Tree(source.clone()),
            registered: package.cloned(),
        };
        let package_input = PackageInput::new(&found, &mut fingerprints, None)?
            .pop()
            .expect("a directory is one package");
        state.extend_from_slice(
            format!("\n{} {}", source.display(), package_input.digest).as_bytes(),
        );
        let overrides = Path::new("/etc/dkms");
        if overrides.is_dir() {
            let digest = fingerprints.tree(overrides)?.digest;
            state.extend_from_slice(format!("\n{} {digest}", overrides.display()).as_bytes());
        }
        let mut roots = Vec::new();
        if kernel.build.is_dir() {
            let input = KernelInput::new(kernel.clone(), &mut fingerprints)?;
            for root in &input.roots {
                state.extend_from_slice(
                    format!("\n{} {}", root.path.display(), root.digest).as_bytes(),
                );
                roots.push((root.host.clone(), root.path.clone()));
            }
        }
        let tools =
            Tools::detect().components(&[], false, PackageScope::Everything, &mut fingerprints)?;
        for tool in tools {
            state.extend_from_slice(tool.digest.to_string().as_bytes());
        }
        let state = ObjectDigest::of(&state);
        let directives = self.arguments.directives.clone();
        let evaluated = || -> Result<Vec<u8>, Unanswered> {
            let readable = package_input.readable_directory(site.base()?)?;
            if let Some(path) = roots.iter().find_map(|(host, _)| site.user.barrier(host)) {
                return Err(Unanswered::Unreachable { path });
            }
            let label = package.map_or_else(|| "conf".to_owned(), PackageId::to_string);
            let name = scratch_name_of(&label, &target.kernel, &target.arch);
            let scratch = site.scratch(&name)?;
            // Without a sandbox kiln's own files are in the scratch directory, and all else is
            // where it is for dkms.
            let layout = &match site.isolation {
                Isolation::Bubblewrap => layout.clone(),
                Isolation::Bare => {
                    let Layout { run, out, .. } = site.layout(&name);
                    Layout {
                        run,
                        out,
                        ..layout.clone()
                    }
                }
            };
            let run = Evaluation {
                isolation: site.isolation,
                user: site.user,
                scratch: &scratch,
                layout,
                time_limit: site.conf_time_limit,
            };
            let input = EvaluateInput::Package {
                source: &readable,
                conf: elsewhere.then_some(path),
                directives: &directives,
                registered: package,
                kernel: &kernel,
                kernel_roots: &roots,
                system: &SystemRoot::host(),
                build_environment: None,
            };
            let (raw, said) = evaluate(&input, &run, &CancelToken::new())?;
            // The user knows the file by its own name.
            let registered = |name: &str, version: &str| {
                layout
                    .dkms_tree
                    .join(name)
                    .join(version)
                    .join("source/dkms.conf")
            };
            let inside = [
                layout.run.join("dkms.conf"),
                layout.run.join("source/dkms.conf"),
                registered(
                    raw.scalar("PACKAGE_NAME").unwrap_or_default(),
                    raw.scalar("PACKAGE_VERSION").unwrap_or_default(),
                ),
            ];
            let own = path.display().to_string();
            let said = inside.iter().fold(said, |said, name| {
                said.replace(&name.display().to_string(), &own)
            });
            // The first of two readings tells the package's name.
            let said = match said.split_at_checked(said.len() / 2) {
                Some((first, second)) if package.is_none() && first == second => first.to_owned(),
                _ => said,
            };
            Ok(serde_json::to_vec(&(raw, said))?)
        };
        // An evaluation that did not come about is not remembered.
        let bytes = fingerprints.memo("dkms conf", state, evaluated)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}
