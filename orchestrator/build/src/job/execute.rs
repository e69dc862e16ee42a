//! One job, in either lane: looks whether it is known by now, has its scratch directory laid out, checks what
//! came out, and stores the outcome. How it runs is `local.rs` and `engine.rs`.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use kiln_cache::{ActionLock, ActionRecord, Status, StoreError};
use kiln_kernel::SymbolCrcs;
use kiln_sandbox::{Scratch, View, is_shortage};
use kiln_scheduler::{Lane, Task, TokenPool, Verdict};

use super::{
    Abort, FirstError,
    collect::{CollectError, Collected, check, collect},
    doubt_of,
    judge::{Ended, Ran},
    record::{HIDDEN_NOTE, Outcome, PROTECTION_NOTE},
    script::RESULT_STATUS,
};
use crate::{
    keys::{Keys, job_keys},
    plan::{BuildSite, CellId, DependencyRecords, JobSpec},
    probes::{Consulted, ProbeServer, Trust},
    sight::{Looker, find_candidates},
};

/// How often a job that another process runs is looked at.
const POLL: Duration = Duration::from_millis(100);

/// The key under which a record's note holds the first error, as JSON.
pub const FIRST_ERROR_NOTE: &str = "first_error";

/// A job in the graph.
#[derive(Debug)]
pub struct JobPayload {
    /// What to run.
    pub spec: Arc<JobSpec>,
    /// Its keys, where they did not have to wait for dependencies.
    pub keys: Option<Arc<Keys>>,
}

/// How a job ended.
#[derive(Debug)]
pub enum JobEnd {
    /// It was built.
    Built(Arc<ActionRecord>),
    /// Its outcome was in the cache once its dependencies were known, or another process
    /// made it meanwhile.
    Hit(Arc<ActionRecord>),
    /// It failed, and will fail again.
    Failed(Arc<ActionRecord>),
    /// It is known to fail.
    KnownFailure(Arc<ActionRecord>),
    /// It ended without an outcome.
    Aborted(Abort),
}

/// Runs the jobs of one plan.
pub struct JobRunner {
    pub(super) site: Arc<BuildSite>,
    pub(super) tokens: Arc<TokenPool>,
    /// The outcomes of cells that jobs depend on, by cell.
    outcomes: Vec<OnceLock<Arc<ActionRecord>>>,
    pub(super) probes: ProbeServer,
    use_cache: bool,
    retry_failed: bool,
}

impl JobRunner {
    /// Prepares for a plan of `cells` cells.
    pub fn new(
        site: Arc<BuildSite>,
        tokens: Arc<TokenPool>,
        cells: usize,
        use_cache: bool,
        retry_failed: bool,
    ) -> Self {
        Self {
            probes: ProbeServer::new(
                Arc::clone(&site),
                match use_cache {
                    true => Trust::Stored,
                    false => Trust::Nothing,
                },
            ),
            site,
            tokens,
            outcomes: (0..cells).map(|_| OnceLock::new()).collect(),
            use_cache,
            retry_failed,
        }
    }

    /// Whether an outcome that is known somewhere will do.
    #[cfg(feature = "remote")]
    pub(super) fn takes_known(&self) -> bool {
        self.use_cache && !self.retry_failed
    }

    /// Ends what the jobs shared. To be called when all have ended.
    pub fn close(&self) {
        self.probes.close();
        if self.site.system_files.is_changed() {
            self.site.system_files.save(self.site.index().as_ref());
        }
        if let Some(shared) = &self.site.shared {
            shared.finish();
        }
    }

    /// Makes a cell's outcome known to those that depend on it.
    pub fn provide(&self, cell: CellId, record: &Arc<ActionRecord>) {
        let _ = self.outcomes[cell.index()].set(Arc::clone(record));
    }

    /// Runs a job to its end.
    pub fn run(&self, task: &Task<JobPayload, JobEnd>) -> Verdict<JobEnd> {
        self.verdict(task, self.attempt(task))
    }

    /// What a job's end means for the graph; dependents find its record from here on.
    pub(super) fn verdict(
        &self,
        task: &Task<JobPayload, JobEnd>,
        end: Result<JobEnd, Abort>,
    ) -> Verdict<JobEnd> {
        let end = end.unwrap_or_else(JobEnd::Aborted);
        match &end {
            JobEnd::Built(record) | JobEnd::Hit(record) => {
                self.provide(task.payload().spec.cell, record);
                Verdict::Succeeded(end)
            }
            JobEnd::Failed(_) | JobEnd::KnownFailure(_) => Verdict::Failed(end),
            JobEnd::Aborted(_) => Verdict::Aborted(end),
        }
    }

    /// Looks whether the outcome is known by now, and else takes the action's lock.
    pub(super) fn begin(&self, task: &Task<JobPayload, JobEnd>) -> Result<Beginning, Abort> {
        let JobPayload { spec, keys } = task.payload();
        let dependencies = spec
            .resolve(|cell| self.outcomes[cell.index()].get().cloned())
            .map_err(|dependency| Abort::NoDependency {
                package: dependency.package_id.clone(),
            })?;
        let (keys, mut stale) = match keys {
            Some(keys) => (Arc::clone(keys), false),
            None => (Arc::new(job_keys(spec, &dependencies)), true),
        };
        let lock = loop {
            if let Some(lock) = self.site.store.lock_action(&keys.trace.key)? {
                break lock;
            }
            if task.cancel().is_cancelled() {
                return Err(Abort::Interrupted);
            }
            stale = true;
            task.phase("waiting for another kiln");
            thread::sleep(POLL);
        };
        if stale
            && self.use_cache
            && let Some(record) = self.known(task, &keys)?
        {
            let record = Arc::new(record);
            match record.status {
                Status::Success => return Ok(Beginning::Known(JobEnd::Hit(record))),
                Status::Failure { .. } if !self.retry_failed && doubt_of(&record).is_none() => {
                    return Ok(Beginning::Known(JobEnd::KnownFailure(record)));
                }
                Status::Failure { .. } => {}
            }
        }
        let steady = keys.trace.steady();
        steady.map_err(|path| Abort::InputChanged { path })?;
        Ok(Beginning::Build(Begun {
            keys,
            dependencies,
            _lock: lock,
        }))
    }

    /// An outcome that the store has, or the shared cache.
    fn known(
        &self,
        task: &Task<JobPayload, JobEnd>,
        keys: &Keys,
    ) -> Result<Option<ActionRecord>, Abort> {
        let (store, system) = (&self.site.store, &task.payload().spec.kernel.system);
        if let Some(shared) = &self.site.shared
            && store.lookup(&keys.trace.key)?.is_none()
        {
            task.phase("ask the shared cache");
            shared.fetch(&keys.trace.key, store)?;
        }
        let mut looker = Looker::new(system.clone(), &self.site.system_files);
        let mut keys = keys.clone();
        find_candidates(store, &mut keys, &task.payload().spec.layout, &mut looker)?;
        for key in keys.outcomes() {
            if let Some(record) = store.lookup_verified(&key.key)? {
                return Ok(Some(record));
            }
            if let Some(shared) = &self.site.shared
                && let Some(record) = shared.fetch(&key.key, store)?
            {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Fills a scratch directory for a job that runs in a lane.
    pub(super) fn prepare(
        &self,
        task: &Task<JobPayload, JobEnd>,
        begun: &Begun,
        lane: Lane,
        neighbours: &BTreeSet<PathBuf>,
    ) -> Result<LaidOut, Abort> {
        let spec = &task.payload().spec;
        // What a worker has nobody knows here.
        if (lane == Lane::Local || !spec.kernel.system.is_host())
            && let Some(lack) = spec.lack()
        {
            return Err(lack.into());
        }
        task.phase("prepare");
        let scratch = self
            .site
            .scratch(&spec.scratch_name())
            .map_err(|error| Abort::Io {
                path: self.site.store.directory().to_owned(),
                source: io::Error::other(error),
            })?;
        let (mut view, links, consulted) =
            self.lay_out(task, &begun.dependencies, &scratch, lane)?;
        let trees = [&*spec.layout.source_tree, &*spec.layout.dkms_tree];
        view.show_neighbours(neighbours, trees, &scratch.dkms_tree());
        Ok(LaidOut {
            scratch,
            view,
            links,
            consulted,
        })
    }

    /// Judges a job that has ended, checks what came out, and stores the outcome.
    pub(super) fn conclude(
        &self,
        task: &Task<JobPayload, JobEnd>,
        begun: &Begun,
        laid: &LaidOut,
        log: &Path,
        ran: &Ran,
    ) -> Result<JobEnd, Abort> {
        let spec = &task.payload().spec;
        let over = Instant::now();
        let scratch = &laid.scratch;
        let mut note = laid.consulted.note();
        if ran.lane == Lane::Local {
            let protection = self.site.protection().name();
            note.insert(PROTECTION_NOTE.to_owned(), protection.to_owned());
        }
        let ended = self.judge(spec, ran, scratch, log)?;
        let (status, collected, first) = match ended {
            Ended::Failed { code, error, doubt } => {
                note.extend(doubt.map(|doubt| doubt.note()));
                note.extend(ran.hidden().map(|hidden| (HIDDEN_NOTE.to_owned(), hidden)));
                let cause = error
                    .as_ref()
                    .map_or_else(|| format!("exit status {code}"), ToString::to_string);
                (Status::Failure { code, cause }, Vec::new(), error)
            }
            Ended::Built => {
                task.phase("check");
                self.accept(spec, &begun.dependencies, scratch)?
            }
        };
        let found = self.found_key(&begun.keys, spec, ran)?;
        if let Some(path) = found.key.moved(over) {
            return Err(Abort::InputChanged { path });
        }
        task.phase("store");
        let outcome = Outcome {
            status,
            collected: &collected,
            log,
            exit: &ran.exit,
            first,
            note,
        };
        let record = self
            .store(spec, &begun.keys, found, outcome)
            .map_err(|error| self.store_error(error, scratch))?;
        Ok(match record.status {
            Status::Success => JobEnd::Built(record),
            Status::Failure { .. } => JobEnd::Failed(record),
        })
    }

    /// Collects and checks the results of a build that ended well.
    #[allow(clippy::type_complexity, reason = "used once, taken apart at once")]
    fn accept(
        &self,
        spec: &JobSpec,
        dependencies: &DependencyRecords,
        scratch: &Scratch,
    ) -> Result<(Status, Collected, Option<FirstError>), Abort> {
        let refused = |message: String| {
            let error = FirstError {
                file: None,
                line: None,
                message: message.clone(),
            };
            let status = Status::Failure {
                code: RESULT_STATUS,
                cause: message,
            };
            (status, Vec::new(), Some(error))
        };
        let safe = scratch.path().join("results");
        let limit = self.site.allowance.results;
        let collected = match collect(&spec.conf, &scratch.out(), &safe, limit) {
            Ok(collected) => collected,
            Err(error @ CollectError::TooMuch { .. }) => return Err(Abort::Results(error)),
            Err(CollectError::Io(error)) if error.kind() == io::ErrorKind::StorageFull => {
                return Err(Abort::DiskFull { path: safe });
            }
            Err(CollectError::Io(source)) if is_shortage(&source) => {
                return Err(Abort::Io { path: safe, source });
            }
            Err(error) => return Ok(refused(format!("results cannot be taken over: {error}"))),
        };
        let mut symbols = Vec::new();
        for (_, record) in dependencies.iter() {
            let Some(output) = record.outputs.iter().find(|o| o.path == "Module.symvers") else {
                continue;
            };
            if let Some(file) = self.site.store.open_object(&output.object)? {
                let read = SymbolCrcs::of_open(&file);
                let path = || self.site.store.object_path(&output.object);
                symbols.push(read.map_err(|source| Abort::Io {
                    path: path(),
                    source,
                })?);
            }
        }
        let checked = check(
            &collected,
            &spec.kernel.tree.uts_release,
            spec.kernel.symbols()?,
            &symbols,
        )
        .map_err(|source| Abort::Io { path: safe, source })?;
        Ok(match checked {
            Ok(()) => (Status::Success, collected, None),
            Err(failure) => refused(failure.to_string()),
        })
    }

    pub(super) fn io_error(&self, source: io::Error, path: &Path, scratch: &Scratch) -> Abort {
        if source.kind() == io::ErrorKind::StorageFull {
            Abort::DiskFull {
                path: scratch.path().to_owned(),
            }
        } else {
            Abort::Io {
                path: path.to_owned(),
                source,
            }
        }
    }

    fn store_error(&self, error: StoreError, scratch: &Scratch) -> Abort {
        match error {
            StoreError::NoSpace { .. } => Abort::DiskFull {
                path: scratch.path().to_owned(),
            },
            other => Abort::Store(other),
        }
    }
}

/// What is known when a job's turn has come.
pub(super) enum Beginning {
    /// Its outcome.
    Known(JobEnd),
    /// That it has to be built.
    Build(Begun),
}

/// A job that is being built.
pub(super) struct Begun {
    keys: Arc<Keys>,
    dependencies: DependencyRecords,
    /// Keeps other processes from building the same.
    _lock: ActionLock,
}

/// A job's files, and what it may see of them.
pub(super) struct LaidOut {
    pub(super) scratch: Scratch,
    pub(super) view: View,
    /// Where the links lead that it has.
    pub(super) links: Vec<PathBuf>,
    /// What its probes are answered from.
    pub(super) consulted: Consulted,
}
