//! What dkms.conf files say, read as dkms reads them: with its messages, at its moments.
//!
//! Each conf is evaluated once a process, however often dkms would have read it.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use kiln_build::conf::{Conf, ConfProblem};
use kiln_durable::regular;
use kiln_kernel::{KernelConfig, package::PackageId, sizes};
use kiln_sandbox::Layout;

use super::{
    Session,
    conf_reader::{ConfReader, Facts, override_names},
    console::{Console, Died, Stream},
    target::Target,
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

/// Why there are no facts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NoFacts {
    /// The action ends; it has been said why.
    Died(Died),
    /// The conf is wrong; it has been said how.
    Bad,
}

/// A conf that has been read, as dkms remembers it: package, kernel, arch and file.
pub(crate) type LastRead = Option<(PackageId, Target, PathBuf)>;

/// What came of an evaluation: facts, or the defects of a conf that has no meaning at all.
pub(crate) type Evaluated = Result<Facts, Vec<ConfProblem>>;

/// Confs that this process has evaluated.
#[derive(Default)]
pub(crate) struct Confs {
    known: HashMap<(Option<PackageId>, Target, PathBuf), Rc<Evaluated>>,
    configs: HashMap<PathBuf, Rc<KernelConfig>>,
}

impl Session {
    /// What reads confs without bash.
    pub(crate) fn conf_reader(&self) -> ConfReader<'_> {
        ConfReader {
            arguments: &self.arguments,
            distribution: &self.distribution,
            addon_modules_dir: &self.addon_modules_dir,
            overrides: self.override_names.get_or_init(override_names),
        }
    }

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
    ) -> Result<Rc<Evaluated>, NoFacts> {
        let path = path
            .map(Path::to_owned)
            .or_else(|| self.arguments.conf.clone())
            .or_else(|| Some(self.tree.source(package?).join("dkms.conf")))
            .unwrap_or_else(|| self.tree.root.join("source/dkms.conf"));
        if rustix::fs::access(&path, rustix::fs::Access::READ_OK).is_err() {
            return Err(NoFacts::Died(self.console.die(
                4,
                &[
                    "Could not locate dkms.conf file.",
                    &format!("File: {} does not exist.", path.display()),
                ],
            )));
        }
        if let Some(package) = package {
            self.judge_source(package, &path).map_err(NoFacts::Died)?;
        }
        let facts = self.evaluated(package, target, &path);
        let reading = package.map(|package| (package.clone(), target.clone(), path.clone()));
        if is_same_reading(&self.last_read, &reading) {
            return Ok(facts);
        }
        if let Ok(facts) = &*facts {
            if !facts.said.is_empty() {
                self.console.words(Stream::Err, facts.said.clone());
            }
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
    ) -> Rc<Evaluated> {
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
    }

    fn evaluate(
        &mut self,
        package: Option<&PackageId>,
        target: &Target,
        path: &Path,
        layout: &Layout,
    ) -> Evaluated {
        let text = regular::read_at_once(path, sizes::TEXT)
            .map_err(|error| vec![ConfProblem::Name(format!("it cannot be read: {error}"))])?;
        let literal = self.conf_reader().raw(package, target, &text, layout);
        let (raw, said) = match literal {
            Some(raw) => (raw, String::new()),
            None => self
                .ask_bash(package, target, path, layout)
                .map_err(|error| {
                    let why = crate::report::chain(&error);
                    vec![ConfProblem::Name(format!("it cannot be evaluated: {why}"))]
                })?,
        };
        let config = self.kernel_config(target);
        let reader = self.conf_reader();
        let facts = reader.facts(&raw, package, target, path, &config, layout)?;
        Ok(Facts { said, ..facts })
    }

    /// The kernel's configuration.
    pub(crate) fn kernel_config(&mut self, target: &Target) -> Rc<KernelConfig> {
        let path = self.kernel_config_path(target);
        if let Some(known) = self.confs.configs.get(&path) {
            return Rc::clone(known);
        }
        let read = KernelConfig::read_file(&path).unwrap_or_else(|error| {
            let said = format!("cannot read {}: {error}.", path.display());
            self.console.warn(&[&said]);
            KernelConfig::default()
        });
        let read = Rc::new(read);
        self.confs.configs.insert(path, Rc::clone(&read));
        read
    }
}

/// Facts that are there.
#[derive(Debug, Clone)]
pub(crate) struct Known(Rc<Evaluated>);

impl Known {
    fn new(facts: Rc<Evaluated>) -> Option<Self> {
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

/// Whether a conf was read last, perhaps under another name of its file.
fn is_same_reading(last: &LastRead, now: &LastRead) -> bool {
    let (Some((package, target, path)), Some((now_package, now_target, now_path))) = (last, now)
    else {
        return false;
    };
    package == now_package
        && target == now_target
        && (path == now_path || fs::canonicalize(path).ok() == fs::canonicalize(now_path).ok())
}

/// Whether only [`Strictness::Strict`] minds a problem, or only the build does.
pub(crate) fn is_strict(problem: &ConfProblem) -> bool {
    matches!(
        problem,
        ConfProblem::Duplicate { .. } | ConfProblem::Escapes { .. }
    )
}

pub(crate) fn say(console: &mut Console, problem: &ConfProblem) {
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
