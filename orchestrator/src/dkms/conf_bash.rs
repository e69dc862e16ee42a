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
        BuildSite, FingerprintError, Fingerprints, KernelInput, PackageInput, PackageInputError,
        SiteError, Tools, scratch_name_of,
    },
    sandbox::{Isolation, Layout},
    toolbox::SystemRoot,
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
        let mut fingerprints = Fingerprints::new(&site.store);
        let (question, state) = self.question(package, target, path, layout, &mut fingerprints)?;
        let ask = || question.ask(&site);
        // An evaluation that did not come about is not remembered.
        let bytes = fingerprints.memo("dkms conf", state, ask)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Collects all that the answer can depend on; its digest is the answer's name.
    fn question<'q>(
        &self,
        package: Option<&'q PackageId>,
        target: &'q Target,
        path: &'q Path,
        layout: &'q Layout,
        fingerprints: &mut Fingerprints<'_>,
    ) -> Result<(Question<'q>, ObjectDigest), Unanswered> {
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
        let mut state = driver_digest().to_string();
        let text = fs::read(path).map_err(unread(path))?;
        state += &ObjectDigest::of(&text).to_string();
        for (name, value) in self.conf_reader().scope(package, target, layout) {
            state += &format!("\n{name}={value}");
        }
        for directive in &self.arguments.directives {
            state += &format!("\ndirective {directive}");
        }
        let found = Found {
            source: PackageSource::Tree(source.clone()),
            registered: package.cloned(),
        };
        let input = PackageInput::new(&found, fingerprints, None)?
            .pop()
            .expect("a directory is one package");
        state += &format!("\n{} {}", source.display(), input.digest);
        let overrides = Path::new("/etc/dkms");
        if overrides.is_dir() {
            let digest = fingerprints.tree(overrides)?.digest;
            state += &format!("\n{} {digest}", overrides.display());
        }
        let mut kernel_roots = Vec::new();
        if kernel.build.is_dir() {
            let input = KernelInput::new(kernel.clone(), fingerprints)?;
            for root in &input.roots {
                state += &format!("\n{} {}", root.path.display(), root.digest);
            }
            kernel_roots = input.mounts();
        }
        for tool in Tools::detect().components(&[], false, fingerprints)? {
            state += &tool.digest.to_string();
        }
        let is_elsewhere = fs::canonicalize(path).ok() != Some(source.join("dkms.conf"));
        let question = Question {
            package,
            target,
            conf: path,
            is_elsewhere,
            layout,
            directives: self.arguments.directives.clone(),
            input,
            kernel,
            kernel_roots,
        };
        Ok((question, ObjectDigest::of(state.as_bytes())))
    }
}

/// A conf to evaluate, and what bash may see of the machine meanwhile.
struct Question<'q> {
    package: Option<&'q PackageId>,
    target: &'q Target,
    conf: &'q Path,
    /// Whether the conf is not the source's own.
    is_elsewhere: bool,
    layout: &'q Layout,
    directives: Vec<String>,
    input: PackageInput,
    kernel: KernelTree,
    kernel_roots: Vec<(PathBuf, PathBuf)>,
}

impl Question<'_> {
    /// Runs bash. The answer is JSON: the conf, and what was printed.
    fn ask(&self, site: &BuildSite) -> Result<Vec<u8>, Unanswered> {
        let readable = self.input.readable_directory(site.base()?)?;
        let mut hosts = self.kernel_roots.iter().map(|(host, _)| host);
        if let Some(path) = hosts.find_map(|host| site.user.barrier(host)) {
            return Err(Unanswered::Unreachable { path });
        }
        let label = (self.package).map_or_else(|| "conf".to_owned(), PackageId::to_string);
        let name = scratch_name_of(&label, &self.target.kernel, &self.target.arch);
        let scratch = site.scratch(&name)?;
        // Without a sandbox kiln's own files are in the scratch directory, and all else is
        // where it is for dkms.
        let layout = &match site.isolation {
            Isolation::Bubblewrap => self.layout.clone(),
            Isolation::Bare => {
                let Layout { run, out, .. } = site.layout(&name);
                Layout {
                    run,
                    out,
                    ..self.layout.clone()
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
            conf: self.is_elsewhere.then_some(self.conf),
            directives: &self.directives,
            registered: self.package,
            kernel: &self.kernel,
            kernel_roots: &self.kernel_roots,
            system: &SystemRoot::host(),
            build_environment: None,
        };
        let (raw, said) = evaluate(&input, &run, &CancelToken::new())?;
        let said = self.in_the_users_words(said, &raw, layout);
        Ok(serde_json::to_vec(&(raw, said))?)
    }

    /// What was printed, with the name that the user has for the file.
    fn in_the_users_words(&self, said: String, raw: &RawConf, layout: &Layout) -> String {
        let of = |name| raw.scalar(name).unwrap_or_default();
        let registered = layout
            .dkms_tree
            .join(of("PACKAGE_NAME"))
            .join(of("PACKAGE_VERSION"))
            .join("source/dkms.conf");
        let inside = [
            layout.run.join("dkms.conf"),
            layout.run.join("source/dkms.conf"),
            registered,
        ];
        let own = self.conf.display().to_string();
        let said = inside.iter().fold(said, |said, name| {
            said.replace(&name.display().to_string(), &own)
        });
        // The first of two readings tells the package's name.
        match said.split_at_checked(said.len() / 2) {
            Some((first, second)) if self.package.is_none() && first == second => first.to_owned(),
            _ => said,
        }
    }
}
