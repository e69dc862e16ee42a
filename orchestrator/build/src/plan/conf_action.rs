//! The evaluation of one dkms.conf, or of a kernel's `.kernelvariables`, as an action: known by its keys, or run and
//! stored.
//!
//! What is stored is bash's answer. What that means for a kernel is worked out anew each time
//! ([`crate::conf::resolve`]): it follows from the answer and takes no time.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime},
};

use kiln_cache::{ActionKind, ActionRecord, Cost, Output, Status, Store, StoreError, Subject};
use kiln_durable::regular;
use kiln_kernel::{
    KERNEL_VARIABLES, KernelConfig, KernelInput, KernelTree,
    package::{PackageId, literal_identity},
    sizes,
    witness::{Witness, settle},
};
use kiln_sandbox::{Isolation, Layout, package_dir};
use kiln_scheduler::CancelToken;
use serde::{Deserialize, Serialize};

use super::{BuildSite, PackageInput, PackageInputError, SiteError, scratch_name_of};
use crate::{
    conf::{
        ConfError, ConfTarget, DIRECTIVES, EvaluateInput, Evaluated, Evaluation, LiteralInput,
        RawConf, evaluate, read_result,
    },
    keys::Keys,
    sight::{
        FoundKey, Looker, OwnLink, Since, Traced, Void, find_candidates, found_key, own_links,
        remember,
    },
};

/// The exit code that dkms gives a bad dkms.conf.
const BAD_CONF: i32 = 8;

/// How often it is evaluated again, with more to see.
const ROUNDS: usize = 4;

/// How often it is evaluated again because something was touched meanwhile, or a moment before.
const PATIENCE: usize = 4;

/// Where override files are.
const OVERRIDES: &str = "/etc/dkms";

/// The name under which an answer is stored.
const ANSWER: &str = "answer.json";

/// What bash makes of a dkms.conf.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// The directives.
    pub raw: RawConf,
    /// What was printed meanwhile, by bash or by what the conf runs.
    pub said: String,
}

/// How an evaluation ended; what went wrong will go wrong as long as the conf is the same.
pub type ConfOutcome = Result<Answer, String>;

/// What the evaluation for a kernel can depend on.
pub struct ConfAction {
    /// The package whose dkms.conf it is; without one it is the kernel's own `.kernelvariables`.
    pub package: Option<Arc<PackageInput>>,
    /// The kernel.
    pub kernel: Arc<KernelInput>,
    /// The names of things inside.
    pub layout: Layout,
    /// The dkms.conf, where it is not the source's own.
    pub conf: Option<(PathBuf, Arc<Witness>)>,
    /// What the user directs, `NAME=VALUE` each.
    pub directives: Vec<String>,
    /// `/etc/dkms`, if it is there.
    pub overrides: Option<Arc<Witness>>,
    /// framework.conf's file of variables, if there is one.
    pub build_environment: Option<(PathBuf, Arc<Witness>)>,
}

/// Why a conf was not evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ConfFault {
    /// The source cannot be used.
    #[error(transparent)]
    Source(#[from] PackageInputError),
    /// The build user cannot get at something.
    #[error("{path} cannot be read by the user that bash runs as")]
    Unreachable {
        /// The first directory in the way.
        path: PathBuf,
    },
    /// An input was touched meanwhile.
    #[error("{path} changed while dkms.conf was evaluated")]
    InputChanged {
        /// What was touched.
        path: PathBuf,
    },
    /// It ran, and did not end well.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// There is no scratch space.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// A file that it looked at cannot be read.
    #[error(transparent)]
    Scan(#[from] kiln_cache::ScanError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Void> for ConfFault {
    fn from(void: Void) -> Self {
        match void {
            Void::InputChanged { path } => Self::InputChanged { path },
            Void::Scan(error) => Self::Scan(error),
        }
    }
}

impl ConfAction {
    /// Looks up what earlier evaluations looked at.
    ///
    /// # Errors
    /// Fails if the store cannot be read.
    pub fn look_up(
        &self,
        keys: &mut Keys,
        store: &Store,
        looker: &mut Looker<'_>,
    ) -> Result<Option<ConfOutcome>, StoreError> {
        find_candidates(store, keys, &self.layout, looker)?;
        for key in keys.outcomes() {
            if let Some(record) = store.lookup_verified(&key.key)?
                && let Some(outcome) = outcome_of(store, &record)?
            {
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }

    /// Makes sure that what the keys name was not touched until now.
    fn unmoved(&self, keys: &Keys) -> Result<(), ConfFault> {
        match keys.trace.moved(Instant::now()) {
            Some(path) => Err(ConfFault::InputChanged { path }),
            None => Ok(()),
        }
    }

    /// Evaluates, and stores the outcome. Where a file of the system was touched it does so again: scripts write one
    /// and call `dkms` in the same moment.
    ///
    /// # Errors
    /// Fails if there is no outcome.
    pub fn run(
        &self,
        keys: &Keys,
        site: &BuildSite,
        cancel: &CancelToken,
    ) -> Result<ConfOutcome, ConfFault> {
        for _ in 0..PATIENCE {
            match self.attempt(keys, site, cancel) {
                Err(ConfFault::InputChanged { path }) => settle(&path),
                outcome => return outcome,
            }
        }
        self.attempt(keys, site, cancel)
    }

    fn attempt(
        &self,
        keys: &Keys,
        site: &BuildSite,
        cancel: &CancelToken,
    ) -> Result<ConfOutcome, ConfFault> {
        let started = Instant::now();
        let since = Since::now();
        let steady = keys.trace.steady();
        steady.map_err(|path| ConfFault::InputChanged { path })?;
        let source = match &self.package {
            Some(package) => Some(package.readable_directory(site.base()?)?),
            None => None,
        };
        if let Some(answer) = source.as_ref().and_then(|source| self.literal(source)) {
            self.unmoved(keys)?;
            let (found, outcome) = (FoundKey::of_nothing(keys), Ok(answer));
            self.store(keys, &found, site, &outcome, started)?;
            return Ok(outcome);
        }
        let system = self.kernel.system.host_path(Path::new("/usr"));
        let roots = self.kernel.roots.iter().map(|root| root.host.as_path());
        let mut needed = roots.chain([system.as_path()]);
        if let Some(path) = needed.find_map(|path| site.user.barrier(path)) {
            return Err(ConfFault::Unreachable { path });
        }
        let evaluated = match &source {
            None => self.evaluate_kernel(site, cancel)?,
            Some(source) => self.evaluate(source, site, cancel)?,
        };
        let (result, traced) = evaluated.judged();
        let outcome = match result {
            Ok((raw, said)) => Ok(Answer { raw, said }),
            Err(error @ ConfError::Dump { .. }) => Err(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        self.unmoved(keys)?;
        let place = (&self.layout, &self.kernel.system);
        let found = found_key(keys, since, traced.as_ref(), place, &site.system_files)?;
        let subject = match &self.package {
            Some(package) => format!("dkms.conf of {}", package.label),
            None => KERNEL_VARIABLES.to_owned(),
        };
        let subject = format!("{subject} for {}", self.kernel.tree.release);
        site.audit.judge(&subject, traced.as_ref(), &found);
        // Without a sandbox nobody can tell what else it has read: its answer is good for this run.
        if site.isolation == Isolation::Bubblewrap {
            self.store(keys, &found, site, &outcome, started)?;
        }
        Ok(outcome)
    }

    /// Has bash evaluate it. Where the name is not known, that is tried which the conf states in so many words, and stands if
    /// bash says the same.
    fn evaluate(
        &self,
        source: &Path,
        site: &BuildSite,
        cancel: &CancelToken,
    ) -> Result<Evaluated, ConfFault> {
        let known = self.registered().cloned();
        let known = known.or_else(|| self.literally(source, |input| input.name()));
        if known.is_none()
            && let Some(stated) = self.stated_name(source)
        {
            let tried = self.evaluate_whole(Some(stated.clone()), source, site, cancel)?;
            if says(&tried, &stated) {
                return Ok(tried);
            }
            let last = self.evaluate_whole(None, source, site, cancel)?;
            // That it was evaluated once more depends on what was looked at before.
            return Ok(Evaluated {
                traced: both(tried.traced, last.traced),
                ..last
            });
        }
        self.evaluate_whole(known, source, site, cancel)
    }

    /// Has bash evaluate it with all that it looks for. Without a name the first time only finds that out, for there are files
    /// below it; and there is one more when it has looked for other packages, which are shown then.
    fn evaluate_whole(
        &self,
        mut name: Option<PackageId>,
        source: &Path,
        site: &BuildSite,
        cancel: &CancelToken,
    ) -> Result<Evaluated, ConfFault> {
        let mut neighbours = BTreeSet::new();
        let mut last = self.evaluate_as(name.as_ref(), &neighbours, source, site, cancel)?;
        for _ in 0..ROUNDS {
            let before = (name.clone(), neighbours.clone());
            if let (Ok((raw, _)), None) = (&last.result, &name) {
                name = name_of(raw);
            }
            if let (Some(traced), Some(_)) = (&last.traced, &name) {
                neighbours.extend(traced.neighbours(true));
            }
            if (&name, &neighbours) == (&before.0, &before.1) {
                break;
            }
            let next = self.evaluate_as(name.as_ref(), &neighbours, source, site, cancel)?;
            last = Evaluated {
                traced: both(last.traced, next.traced),
                ..next
            };
        }
        Ok(last)
    }

    /// The name and version that the conf states literally, whatever else it does.
    fn stated_name(&self, source: &Path) -> Option<PackageId> {
        let (name, version) = literal_identity(&self.text(source)?);
        PackageId::new(&name?, &version?).ok()
    }

    /// The conf's text, where the conf in `source` is a file of its own.
    fn text(&self, source: &Path) -> Option<Vec<u8>> {
        match &self.conf {
            Some((path, _)) => regular::read_at_once(path, sizes::TEXT).ok(),
            None => read_result(&source.join("dkms.conf")).ok(),
        }
    }

    /// What bash would answer, for a conf in `source` that only assigns.
    ///
    /// Such a conf looks at nothing but itself and the override files of /etc/dkms.
    pub(crate) fn literal(&self, source: &Path) -> Option<Answer> {
        // Directives and that file set variables of builds, too, which only bash's answer has.
        if self.build_environment.is_some() || !self.directives.is_empty() {
            return None;
        }
        let raw = self.literally(source, |input| {
            let package = match self.registered() {
                Some(id) => id.clone(),
                None => input.name()?,
            };
            let mut overrides = Vec::new();
            if self.overrides.is_some() {
                for name in input.target.override_names(Some(&package)) {
                    let path = Path::new(OVERRIDES).join(name);
                    match regular::read_at_once(&path, sizes::TEXT) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        content => overrides.push(content.ok()?),
                    }
                }
            }
            let mut raw = input.evaluate(DIRECTIVES, Some(&package), &overrides)?;
            raw.set_module(&package);
            Some(raw)
        })?;
        let said = String::new();
        Some(Answer { raw, said })
    }

    /// Has a conf in `source` evaluated without bash.
    fn literally<T>(
        &self,
        source: &Path,
        what: impl FnOnce(&LiteralInput<'_>) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(source)?;
        let KernelTree { release, arch, .. } = &self.kernel.tree;
        let build = self.layout.kernel_source_dir(release);
        let config = || build.join(KernelConfig::name(&self.kernel.tree));
        what(&LiteralInput {
            text: &text,
            target: ConfTarget {
                release,
                arch,
                layout: &self.layout,
                kernel_source_dir: build.clone(),
            },
            kernel_config: &config,
            directives: &self.directives,
        })
    }

    fn evaluate_as(
        &self,
        registered: Option<&PackageId>,
        neighbours: &BTreeSet<PathBuf>,
        source: &Path,
        site: &BuildSite,
        cancel: &CancelToken,
    ) -> Result<Evaluated, ConfFault> {
        let input = EvaluateInput::Package {
            source,
            conf: self.conf.as_ref().map(|(path, _)| path.as_path()),
            directives: &self.directives,
            registered,
            kernel: &self.kernel.tree,
            kernel_roots: &self.kernel.mounts(),
            system: &self.kernel.system,
            build_environment: self.build_environment.as_ref().map(|(path, _)| &**path),
            neighbours,
        };
        let links = self.links(registered, site)?;
        self.ask_bash(&input, links, site, cancel)
    }

    /// Has make evaluate the kernel's Makefile fragment.
    fn evaluate_kernel(
        &self,
        site: &BuildSite,
        cancel: &CancelToken,
    ) -> Result<Evaluated, ConfFault> {
        let input = EvaluateInput::KernelVariables {
            kernel: &self.kernel.tree,
            kernel_roots: &self.kernel.mounts(),
            system: &self.kernel.system,
        };
        self.ask_bash(&input, Vec::new(), site, cancel)
    }

    /// The links in what the conf is shown: its source, by both its names, and the override files.
    fn links(
        &self,
        registered: Option<&PackageId>,
        site: &BuildSite,
    ) -> Result<Vec<OwnLink>, ConfFault> {
        let Layout { run, dkms_tree, .. } = &self.layout;
        let mut links = Vec::new();
        if let Some(package) = &self.package {
            let manifest = package.manifest(site.base()?)?;
            let places = match registered {
                Some(id) => vec![
                    self.layout.package_source(id),
                    package_dir(dkms_tree, id).join("source"),
                ],
                None => vec![run.join("source")],
            };
            links.extend(places.iter().flat_map(|place| own_links(&manifest, place)));
        }
        if let Some(scan) = self.overrides.as_ref().and_then(|seen| seen.scan()) {
            links.extend(own_links(&scan.manifest(), Path::new(OVERRIDES)));
        }
        Ok(links)
    }

    fn ask_bash(
        &self,
        input: &EvaluateInput<'_>,
        links: Vec<OwnLink>,
        site: &BuildSite,
        cancel: &CancelToken,
    ) -> Result<Evaluated, ConfFault> {
        let tree = &self.kernel.tree;
        let name = scratch_name_of(self.label(), &tree.release, &tree.arch);
        let scratch = site.scratch(&name)?;
        // Without a sandbox kiln's own files are in the scratch directory, and all else is where the caller has it.
        let layout = match site.isolation {
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
            allowance: site.allowance,
            user: site.user,
            scratch: &scratch,
            layout: &layout,
            time_limit: site.conf_time_limit,
            audited: site.audit.is_on(),
            links,
        };
        Ok(evaluate(input, &run, cancel))
    }

    /// The name and version that the package is registered under, if it is.
    pub(super) fn registered(&self) -> Option<&PackageId> {
        self.package.as_ref()?.registered.as_ref()
    }

    fn label(&self) -> &str {
        match &self.package {
            Some(package) => &package.label,
            None => KERNEL_VARIABLES,
        }
    }

    fn store(
        &self,
        keys: &Keys,
        found: &FoundKey,
        site: &BuildSite,
        outcome: &ConfOutcome,
        started: Instant,
    ) -> Result<(), StoreError> {
        let store = &site.store;
        let key = &found.key;
        let mut publication = store.publication();
        key.put_ingredients(store, &mut publication)?;
        let mut outputs = Vec::new();
        let status = match outcome {
            Ok(answer) => {
                let content = serde_json::to_vec(answer).expect("an answer is plain data");
                outputs.push(Output {
                    path: ANSWER.to_owned(),
                    object: publication.put_bytes(&content)?,
                    size: content.len() as u64,
                    executable: false,
                });
                Status::Success
            }
            Err(cause) => Status::Failure {
                code: BAD_CONF,
                cause: cause.clone(),
            },
        };
        let subject = Subject {
            name: self.label().to_owned(),
            target: self.kernel.tree.target(),
        };
        let record = ActionRecord {
            key: key.key,
            kind: ActionKind::Conf,
            subject: subject.clone(),
            components: key.components.clone(),
            status,
            cost: Cost {
                wall: started.elapsed(),
                output_bytes: outputs.iter().map(|output| output.size).sum(),
                ..Cost::default()
            },
            outputs,
            log: None,
            note: BTreeMap::new(),
            created: unix_time(),
        };
        publication.commit_with(&record)?;
        let trace = remember(store, keys, found, subject)?;
        if let Some(shared) = &site.shared {
            shared.offer(&record, store);
            if let Some(trace) = &trace {
                shared.offer(trace, store);
            }
        }
        Ok(())
    }
}

/// Whether bash says that the package is called so.
fn says(evaluated: &Evaluated, package: &PackageId) -> bool {
    let Ok((raw, _)) = &evaluated.result else {
        return false;
    };
    raw.scalar("PACKAGE_NAME") == Some(package.name.as_str())
        && raw.scalar("PACKAGE_VERSION") == Some(package.version.as_str())
}

/// What two evaluations looked at, one after the other; none if one was not looked at.
fn both(first: Option<Traced>, second: Option<Traced>) -> Option<Traced> {
    Some(Traced::extend(first?, second?))
}

/// The name that a conf gives its package.
fn name_of(raw: &RawConf) -> Option<PackageId> {
    let (name, version) = (raw.element("@module", 0)?, raw.element("@module", 1)?);
    PackageId::new(name, version).ok()
}

/// What a record says; none if what it names cannot be read.
fn outcome_of(store: &Store, record: &ActionRecord) -> Result<Option<ConfOutcome>, StoreError> {
    match &record.status {
        Status::Failure { cause, .. } => Ok(Some(Err(cause.clone()))),
        Status::Success => {
            let Some(output) = record.outputs.first() else {
                return Ok(None);
            };
            let content = store.read(&output.object)?;
            Ok(content
                .and_then(|bytes| serde_json::from_slice(&bytes).ok())
                .map(Ok))
        }
    }
}

/// Nanoseconds since 1970, enough until the year 2554.
pub fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| u64::try_from(elapsed.as_nanos()).ok())
        .unwrap_or(0)
}
