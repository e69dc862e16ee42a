//! What dkms.conf files say, read as dkms reads them: with its messages, at its moments.
//!
//! Most confs only assign and are evaluated natively; the others go to bash, in the sandbox,
//! and the answer is remembered under everything that it could depend on.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use kiln_cache::ObjectDigest;
use kiln_scheduler::CancelToken;

use super::{
    Session,
    console::{Console, Died},
    target::Target,
};
use crate::{
    conf::{
        Conf, ConfProblem, DIRECTIVES, EvaluateInput, Evaluation, RawConf, ResolveInput,
        driver_digest, evaluate, evaluate_literal, resolve,
    },
    kernel::{KernelConfig, KernelTree},
    package::PackageId,
    plan::{Fingerprints, KernelInput, Tools},
    sandbox::Layout,
    toolbox::PackageScope,
};

/// How a conf is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// What taking a package away needs.
    Lenient,
    /// What adding, building and installing need: also no module twice, and a word on
    /// directives that dkms has given up.
    Strict,
}

/// What a dkms.conf says about one kernel.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Its meaning.
    pub(crate) conf: Conf,
    /// Where each module is installed: the distribution's place, or the conf's.
    pub(crate) destinations: Vec<String>,
    /// PACKAGE_NAME and PACKAGE_VERSION as they stand there.
    pub(crate) name: Option<(String, String)>,
    /// The user's directives, each said when the conf is read.
    directives: Vec<String>,
    /// Deprecated directives, with the file that has them.
    deprecated: Vec<String>,
    path: PathBuf,
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

/// Why there are no facts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NoFacts {
    /// The action ends; it has been said why.
    Died(Died),
    /// The conf is wrong; it has been said how.
    Bad,
}

impl From<Died> for NoFacts {
    fn from(died: Died) -> Self {
        Self::Died(died)
    }
}

/// A conf that has been read, as dkms remembers it: package, kernel, arch and file.
pub(crate) type LastRead = Option<(PackageId, Target, PathBuf)>;

/// Confs that this process has evaluated.
#[derive(Default)]
pub(crate) struct Confs {
    known: HashMap<(Option<PackageId>, Target, PathBuf), Rc<Result<Facts, Vec<ConfProblem>>>>,
    configs: HashMap<PathBuf, Rc<KernelConfig>>,
}

impl Session {
    /// Reads a package's conf for a kernel, as dkms's `read_conf`.
    ///
    /// # Errors
    /// Ends where there is no such file; a wrong conf is for the caller to judge.
    pub(crate) fn read_conf(
        &mut self,
        package: Option<&PackageId>,
        target: &Target,
        path: Option<&Path>,
        strictness: Strictness,
    ) -> Result<Rc<Result<Facts, Vec<ConfProblem>>>, NoFacts> {
        let path = path
            .map(Path::to_owned)
            .or_else(|| self.arguments.conf.clone())
            .or_else(|| Some(self.tree.source(package?).join("dkms.conf")))
            .unwrap_or_else(|| self.tree.root.join("//source/dkms.conf"));
        if rustix::fs::access(&path, rustix::fs::Access::READ_OK).is_err() {
            return Err(NoFacts::Died(self.console.die(
                4,
                &[
                    "Could not locate dkms.conf file.",
                    &format!("File: {} does not exist.", path.display()),
                ],
            )));
        }
        let facts = self.evaluated(package, target, &path);
        let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        let reading = package.map(|package| (package.clone(), target.clone(), real));
        if reading.is_some() && self.last_read == reading {
            return Ok(facts);
        }
        if let Ok(facts) = &*facts {
            if strictness == Strictness::Strict {
                for directive in &facts.deprecated {
                    self.console.deprecated(directive);
                }
            }
            for directive in &facts.directives {
                let (name, value) = directive.split_once('=').unwrap_or((directive, directive));
                self.console
                    .line(format_args!("DIRECTIVE: {name}=\"{value}\""));
            }
        }
        let problems = match &*facts {
            Ok(facts) => &facts.conf.problems,
            Err(problems) => problems,
        };
        let mut bad = false;
        for problem in problems.iter().filter(|problem| !is_strict(problem)) {
            say(&mut self.console, problem);
            bad = true;
        }
        if bad {
            return Err(NoFacts::Bad);
        }
        self.last_read = reading;
        Ok(facts)
    }

    /// Reads a conf; a wrong one ends the action.
    ///
    /// # Errors
    /// Ends with 4 or 8.
    pub(crate) fn read_conf_or_die(
        &mut self,
        package: &PackageId,
        target: &Target,
        path: Option<&Path>,
        strictness: Strictness,
    ) -> Result<Known, Died> {
        let facts = match self.read_conf(Some(package), target, path, strictness) {
            Ok(facts) => facts,
            Err(NoFacts::Died(died)) => return Err(died),
            Err(NoFacts::Bad) => return Err(self.bad_conf(path)),
        };
        if strictness == Strictness::Strict
            && let Ok(facts) = &*facts
        {
            if facts.conf.modules.is_empty() {
                self.console
                    .note("dkms.conf: Warning! Zero modules specified.");
            }
            let mut bad = false;
            for directive in ["BUILT_MODULE_NAME", "DEST_MODULE_NAME"] {
                for problem in &facts.conf.problems {
                    if matches!(problem, ConfProblem::Duplicate { directive: d, .. } if d == directive)
                    {
                        say(&mut self.console, problem);
                        bad = true;
                    }
                }
            }
            if bad {
                return Err(self.bad_conf(path));
            }
        }
        Known::new(facts).ok_or_else(|| self.bad_conf(path))
    }

    /// The end for a conf that is no valid one.
    pub(crate) fn bad_conf(&mut self, path: Option<&Path>) -> Died {
        let path = path.or(self.arguments.conf.as_deref());
        let name = path.map(|p| p.display().to_string()).unwrap_or_default();
        self.console.die(
            8,
            &[
                "Bad conf file.",
                &format!("File: {name} does not represent a valid dkms.conf file."),
            ],
        )
    }

    /// What a package's conf says, without a word; none if it cannot be read or is wrong.
    pub(crate) fn silent_facts(&mut self, package: &PackageId, target: &Target) -> Option<Known> {
        let path = self
            .arguments
            .conf
            .clone()
            .unwrap_or_else(|| self.tree.source(package).join("dkms.conf"));
        if !path.is_file() {
            return None;
        }
        let known = Known::new(self.evaluated(Some(package), target, &path))?;
        known.conf.problems.is_empty().then_some(known)
    }

    /// What a conf says, defects and all, without a word.
    pub(crate) fn silent_facts_of(
        &mut self,
        package: &PackageId,
        target: &Target,
        path: &Path,
    ) -> Option<Known> {
        Known::new(self.evaluated(Some(package), target, path))
    }

    fn evaluated(
        &mut self,
        package: Option<&PackageId>,
        target: &Target,
        path: &Path,
    ) -> Rc<Result<Facts, Vec<ConfProblem>>> {
        let key = (package.cloned(), target.clone(), path.to_owned());
        if let Some(known) = self.confs.known.get(&key) {
            return Rc::clone(known);
        }
        let layout = self.layout();
        let facts = Rc::new(self.evaluate(package, target, path, &layout));
        self.confs.known.insert(key, Rc::clone(&facts));
        facts
    }

    /// What the conf says to a build in a place where things have other names.
    pub(crate) fn conf_in(
        &mut self,
        known: &Known,
        target: &Target,
        layout: &Layout,
    ) -> Option<Conf> {
        let package = known.conf.package.clone();
        let facts = self.evaluate(Some(&package), target, known.path(), layout);
        facts.ok().map(|facts| facts.conf)
    }

    /// Forgets what was evaluated: the source has been replaced.
    pub(crate) fn forget_confs(&mut self) {
        self.confs.known.clear();
        self.last_read = None;
    }

    fn evaluate(
        &mut self,
        package: Option<&PackageId>,
        target: &Target,
        path: &Path,
        layout: &Layout,
    ) -> Result<Facts, Vec<ConfProblem>> {
        let raw = self
            .raw_conf(package, target, path, layout)
            .ok_or_else(|| {
                vec![ConfProblem::Name(
                    "it cannot be evaluated; is bash installed?".to_owned(),
                )]
            })?;
        let config = self.kernel_config(target);
        let own = raw
            .scalar("PACKAGE_NAME")
            .zip(raw.scalar("PACKAGE_VERSION"))
            .map(|(name, version)| (name.to_owned(), version.to_owned()));
        let named = own
            .as_ref()
            .and_then(|(name, version)| PackageId::new(name, version).ok());
        let conf = resolve(&ResolveInput {
            raw: &raw,
            registered: package.or(named.as_ref()),
            release: &target.kernel,
            arch: &target.arch,
            config: &config,
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

    /// Bash's view of a conf, with the overrides of /etc/dkms.
    fn raw_conf(
        &mut self,
        package: Option<&PackageId>,
        target: &Target,
        path: &Path,
        layout: &Layout,
    ) -> Option<RawConf> {
        let mut files = vec![path.to_owned()];
        files.extend(overrides(package, target));
        let texts: Vec<Vec<u8>> = files
            .iter()
            .map(|file| fs::read(file).unwrap_or_default())
            .collect();
        let slices: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let scope = self.scope(package, target, layout);
        let scope: Vec<(&str, &str)> = scope
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let directives = self.arguments.directives.clone();
        if let Some(raw) = evaluate_literal(&slices, DIRECTIVES, &scope, &directives) {
            return Some(raw);
        }
        self.ask_bash(package, target, path, layout, &slices)
    }

    fn ask_bash(
        &mut self,
        package: Option<&PackageId>,
        target: &Target,
        path: &Path,
        layout: &Layout,
        texts: &[&[u8]],
    ) -> Option<RawConf> {
        let site = self.site()?;
        let source = fs::canonicalize(path.parent()?).ok()?;
        let source = match package {
            Some(package) if self.tree.source(package).is_dir() => {
                fs::canonicalize(self.tree.source(package)).ok()?
            }
            _ => source,
        };
        let kernel = self.kernel_tree(target).unwrap_or_else(|| {
            KernelTree::absent(&target.kernel, &target.arch, &self.install_tree)
        });
        let mut fingerprints = Fingerprints::new(&site.store);
        let mut state: Vec<u8> = driver_digest().to_string().into_bytes();
        for text in texts {
            state.extend_from_slice(ObjectDigest::of(text).to_string().as_bytes());
        }
        for (name, value) in self.scope(package, target, layout) {
            state.extend_from_slice(format!("\n{name}={value}").as_bytes());
        }
        for directive in &self.arguments.directives {
            state.extend_from_slice(format!("\ndirective {directive}").as_bytes());
        }
        let mut trees = vec![source.clone()];
        if Path::new("/etc/dkms").is_dir() {
            trees.push("/etc/dkms".into());
        }
        for tree in &trees {
            let digest = fingerprints.tree(tree).ok()?.digest;
            state.extend_from_slice(format!("\n{} {digest}", tree.display()).as_bytes());
        }
        let mut roots = Vec::new();
        if kernel.build.is_dir() {
            let input = KernelInput::new(kernel.clone(), &mut fingerprints).ok()?;
            for root in &input.roots {
                state.extend_from_slice(
                    format!("\n{} {}", root.path.display(), root.digest).as_bytes(),
                );
                roots.push(root.path.clone());
            }
        }
        let tools = Tools::detect()
            .components(&[], false, PackageScope::Everything, &mut fingerprints)
            .ok()?;
        for tool in tools {
            state.extend_from_slice(tool.digest.to_string().as_bytes());
        }
        let state = ObjectDigest::of(&state);
        let directives = self.arguments.directives.clone();
        let evaluated = || -> Option<RawConf> {
            let base = site.base().ok()?;
            let readable = match base.user().barrier(&source) {
                None => source.clone(),
                Some(_) => return None,
            };
            let name = match package {
                Some(id) => format!(
                    "{}-{}-{}-{}",
                    id.name, id.version, target.kernel, target.arch
                ),
                None => format!("conf-{}-{}", target.kernel, target.arch),
            };
            let scratch = site.scratch(&name).ok()?;
            let run = Evaluation {
                isolation: site.isolation,
                user: site.user,
                scratch: &scratch,
                layout,
                time_limit: site.conf_time_limit,
            };
            let input = EvaluateInput::Package {
                source: &readable,
                conf: Some(path),
                directives: &directives,
                registered: package,
                kernel: &kernel,
                kernel_roots: &roots,
                build_environment: None,
            };
            let (raw, _) = evaluate(&input, &run, &CancelToken::new()).ok()?;
            Some(raw)
        };
        // An evaluation that did not come about is not remembered.
        let Ok(bytes) = fingerprints.memo::<()>("dkms conf", state, || {
            let raw = evaluated().ok_or(())?;
            serde_json::to_vec(&raw).map_err(|_| ())
        }) else {
            return None;
        };
        serde_json::from_slice(&bytes).ok()
    }

    /// What a conf may mention.
    pub(crate) fn scope(
        &self,
        package: Option<&PackageId>,
        target: &Target,
        layout: &Layout,
    ) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.display().to_string();
        let source_dir = match &self.arguments.kernel_source_dir {
            Some(directory) => directory.clone(),
            None => layout.kernel_source_dir(&target.kernel),
        };
        let (module, version) = package
            .map(|id| (id.name.to_string(), id.version.to_string()))
            .unwrap_or_default();
        vec![
            ("kernelver", target.kernel.to_string()),
            ("arch", target.arch.to_string()),
            ("kernel_source_dir", text(&source_dir)),
            ("kernel_config", text(&KernelConfig::path(&source_dir))),
            ("dkms_tree", text(&layout.dkms_tree)),
            ("source_tree", text(&layout.source_tree)),
            ("install_tree", text(&layout.install_tree)),
            ("module", module),
            ("module_version", version),
        ]
    }

    /// The kernel's configuration.
    pub(crate) fn kernel_config(&mut self, target: &Target) -> Rc<KernelConfig> {
        let path = self.kernel_config_path(target);
        let read = || Rc::new(KernelConfig::read_file(&path).unwrap_or_default());
        Rc::clone(self.confs.configs.entry(path.clone()).or_insert_with(read))
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

/// Facts that are there.
#[derive(Debug, Clone)]
pub(crate) struct Known(Rc<Result<Facts, Vec<ConfProblem>>>);

impl Known {
    fn new(facts: Rc<Result<Facts, Vec<ConfProblem>>>) -> Option<Self> {
        facts.is_ok().then_some(Self(facts))
    }

    /// The file that was read.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl std::ops::Deref for Known {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        match &*self.0 {
            Ok(facts) => facts,
            Err(_) => unreachable!("Known::new has looked"),
        }
    }
}

/// Override files that are there, from the general to the particular.
fn overrides(package: Option<&PackageId>, target: &Target) -> Vec<PathBuf> {
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
    .map(|name| Path::new("/etc/dkms").join(name))
    .filter(|path| path.exists())
    .collect()
}

/// Whether only [`Strictness::Strict`] minds a problem, or only the build does.
fn is_strict(problem: &ConfProblem) -> bool {
    matches!(
        problem,
        ConfProblem::Duplicate { .. } | ConfProblem::Escapes { .. }
    )
}

fn say(console: &mut Console, problem: &ConfProblem) {
    match problem {
        ConfProblem::Destination { index } => {
            console.note("dkms.conf: Error! Directive 'DEST_MODULE_LOCATION' does not begin with");
            console.note(format_args!(
                "'/kernel', '/updates', or '/extra' in record #{index}."
            ));
        }
        _ => console.note(format_args!("dkms.conf: Error! {problem}")),
    }
}

fn deprecation(directive: &str, path: &Path) -> String {
    let path = path.display();
    if directive == "OBSOLETE_BY" {
        format!("OBSOLETE_BY ({path}): use BUILD_EXCLUSIVE_KERNEL_MAX instead")
    } else {
        format!("{directive} ({path})")
    }
}
