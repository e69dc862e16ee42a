//! Builds that run in the background, side by side, while the front end goes through its
//! packages in dkms's order and waits for each.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use kiln_build::{
    conf::Conf,
    job_run::{JobRun, Observer},
    outcome::{CellResult, Outcome},
    plan::{BuildSite, CellId, GivenCell, GivenRequest, Plan, Planner},
};
use kiln_cache::ActionRecord;
use kiln_kernel::{
    KernelTree,
    fingerprints::Fingerprints,
    package::{Found, PackageId, PackageSource},
    witness::settle,
};
use kiln_scheduler::{CancelToken, OnFailure, Place, TokenPool};

use super::target::Target;
use crate::report::{Report, chain, result_cause};

/// One build to make.
pub(crate) struct BuildRequest {
    pub(crate) package: PackageId,
    /// Where its source is.
    pub(crate) source: std::path::PathBuf,
    pub(crate) target: Target,
    pub(crate) kernel: KernelTree,
    pub(crate) work: Work,
}

/// What there is to do about a package and a kernel.
pub(crate) enum Work {
    /// Build it as its conf says.
    Build(Box<Conf>),
    /// Nothing: these are its modules, for those that depend on it.
    Provided {
        /// The modules.
        record: Arc<ActionRecord>,
        /// Its conf, which says where they are installed.
        conf: Option<Box<Conf>>,
    },
}

/// How a build ended.
#[derive(Debug, Clone)]
pub(crate) enum BuildEnd {
    /// With these results.
    Success(Arc<ActionRecord>),
    /// Its commands failed; the record has the log.
    Failure(Arc<ActionRecord>),
    /// It could not be done, for reasons outside the package.
    Problem(String),
    /// The user stopped it.
    Interrupted,
}

type Key = (PackageId, Target);

/// All builds of this process. What still runs when they are dropped is stopped, and waited for: its scratch directory goes
/// with it.
#[derive(Default)]
pub(crate) struct Builds {
    shared: Arc<Shared>,
    running: Mutex<Vec<(CancelToken, JoinHandle<()>)>>,
}

impl Drop for Builds {
    fn drop(&mut self) {
        let running = self.running.get_mut();
        for (cancel, thread) in running.unwrap_or_else(PoisonError::into_inner).drain(..) {
            cancel.cancel();
            let _ = thread.join();
        }
    }
}

#[derive(Default)]
struct Shared {
    ends: Mutex<HashMap<Key, Option<BuildEnd>>>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Option<BuildEnd>>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self, key: &Key) -> bool {
        self.lock().get(key).is_some_and(Option::is_some)
    }

    fn set(&self, key: Key, end: BuildEnd) {
        self.lock().insert(key, Some(end));
        self.changed.notify_all();
    }
}

impl Builds {
    /// Whether a build was asked for.
    pub(crate) fn knows(&self, package: &PackageId, target: &Target) -> bool {
        self.shared
            .lock()
            .contains_key(&(package.clone(), target.clone()))
    }

    /// Has a build end before it begins.
    pub(crate) fn refuse(&self, package: &PackageId, target: &Target, problem: String) {
        let key = (package.clone(), target.clone());
        self.shared.set(key, BuildEnd::Problem(problem));
    }

    /// Forgets a build: it is to be made anew.
    pub(crate) fn forget(&self, package: &PackageId, target: &Target) {
        self.shared
            .lock()
            .remove(&(package.clone(), target.clone()));
    }

    /// Starts builds; returns at once, or, where somebody watches, when they are done.
    pub(crate) fn start(
        &self,
        site: Arc<BuildSite>,
        requests: Vec<BuildRequest>,
        retry_failed: bool,
        jobs: &str,
        cancel: CancelToken,
        live: Option<Box<dyn Report>>,
    ) {
        let wanted: Vec<Key> = requests
            .iter()
            .filter(|request| matches!(request.work, Work::Build(_)))
            .map(|request| (request.package.clone(), request.target.clone()))
            .collect();
        for key in &wanted {
            self.shared.lock().insert(key.clone(), None);
        }
        let shared = Arc::clone(&self.shared);
        let stop = cancel.clone();
        let cores = jobs
            .parse()
            .ok()
            .and_then(NonZeroUsize::new)
            .or_else(|| thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN);
        let work = move |live: Option<Box<dyn Report>>| {
            let ended = run(&site, requests, retry_failed, cores, &cancel, &shared, live);
            let problem = match ended {
                _ if cancel.is_cancelled() => BuildEnd::Interrupted,
                Ok(()) => BuildEnd::Problem("it was not built".to_owned()),
                Err(words) => BuildEnd::Problem(words),
            };
            // Whoever waits for what has no end by now would wait for ever.
            for key in wanted {
                let mut ends = shared.lock();
                if let Some(end @ None) = ends.get_mut(&key) {
                    *end = Some(problem.clone());
                }
            }
            shared.changed.notify_all();
        };
        if live.is_some() {
            work(live);
        } else {
            let thread = thread::spawn(move || work(None));
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.push((stop, thread));
        }
    }

    /// Waits for a build; `tick` is called every three seconds.
    pub(crate) fn wait(
        &self,
        package: &PackageId,
        target: &Target,
        mut tick: impl FnMut(),
    ) -> Option<BuildEnd> {
        let key = (package.clone(), target.clone());
        let mut ends = self.shared.lock();
        loop {
            match ends.get(&key) {
                None => return None,
                Some(Some(end)) => return Some(end.clone()),
                Some(None) => {}
            }
            let (guard, timeout) = self
                .shared
                .changed
                .wait_timeout(ends, Duration::from_secs(3))
                .unwrap_or_else(PoisonError::into_inner);
            ends = guard;
            if timeout.timed_out() {
                drop(ends);
                tick();
                ends = self.shared.lock();
            }
        }
    }
}

fn run(
    site: &Arc<BuildSite>,
    requests: Vec<BuildRequest>,
    retry_failed: bool,
    cores: NonZeroUsize,
    cancel: &CancelToken,
    shared: &Shared,
    live: Option<Box<dyn Report>>,
) -> Result<(), String> {
    let (mut request, keys) = matrix(requests, retry_failed);
    let tokens = Arc::new(TokenPool::new(cores));
    let mut live = live;
    let first = pass(
        site,
        request.clone(),
        &keys,
        &tokens,
        cancel,
        shared,
        &mut live,
        Pass::First,
    )?;
    match first.changed_input() {
        Some(path) if !cancel.is_cancelled() => settle(path),
        _ => return Ok(()),
    }
    // What has come to its end stays as it is.
    for ((cell, result), key) in request.cells.iter_mut().zip(&first.results).zip(&keys) {
        let has_ended = key.as_ref().is_some_and(|key| shared.has_ended(key));
        match result {
            CellResult::Hit(record) | CellResult::Built(record) => {
                let record = Arc::clone(record);
                let conf = match &*cell {
                    GivenCell::Build(conf) => Some(Arc::clone(conf)),
                    GivenCell::Provided { conf, .. } => conf.clone(),
                    GivenCell::NotAsked => None,
                };
                *cell = GivenCell::Provided { record, conf };
            }
            _ if has_ended => *cell = GivenCell::NotAsked,
            _ => {}
        }
    }
    pass(
        site,
        request,
        &keys,
        &tokens,
        cancel,
        shared,
        &mut live,
        Pass::Last,
    )?;
    Ok(())
}

/// Whether builds with touched inputs are made again after a pass.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    First,
    Last,
}

#[allow(clippy::too_many_arguments, reason = "one of two passes of one run")]
fn pass(
    site: &Arc<BuildSite>,
    request: GivenRequest,
    keys: &[Option<Key>],
    tokens: &Arc<TokenPool>,
    cancel: &CancelToken,
    shared: &Shared,
    live: &mut Option<Box<dyn Report>>,
    pass: Pass,
) -> Result<Outcome, String> {
    let retry_failed = request.retry_failed;
    let mut planner = Planner::new(site, Fingerprints::new(&site.store).heeding(cancel));
    let plan = planner
        .plan_given(request, tokens, cancel)
        .map_err(|error| chain(&error))?;
    let mut fingerprints = planner.into_fingerprints();
    let mut outcome = Outcome::of_plan(&plan);
    for (index, result) in outcome.results.iter().enumerate() {
        if let (Some(key), Some(end)) = (&keys[index], end(&plan, result)) {
            shared.set(key.clone(), end);
        }
    }
    if outcome.is_unfinished() {
        let costs = fingerprints.costs().to_vec();
        fingerprints.close();
        let jobs = JobRun {
            site,
            plan: &plan,
            tokens,
            cancel,
            costs: &costs,
            use_cache: true,
            retry_failed,
            on_failure: OnFailure::KeepGoing,
        };
        let mut watcher = Watcher {
            keys,
            shared,
            live,
            pass,
            void: HashSet::new(),
        };
        jobs.run(&mut watcher, &mut outcome)
            .map_err(|error| chain(&error))?;
        fingerprints.note(&outcome.new_records());
    }
    fingerprints.close();
    Ok(outcome)
}

/// Lays requests out as a matrix; the keys are those of the cells that are to be built.
fn matrix(requests: Vec<BuildRequest>, retry_failed: bool) -> (GivenRequest, Vec<Option<Key>>) {
    let mut packages: Vec<Found> = Vec::new();
    let mut kernels: Vec<KernelTree> = Vec::new();
    let mut places = Vec::new();
    for request in &requests {
        let found = Found {
            source: PackageSource::Tree(request.source.clone()),
            registered: Some(request.package.clone()),
        };
        let row = position(&mut packages, found);
        let column = position(&mut kernels, request.kernel.clone());
        places.push((row, column));
    }
    let width = kernels.len();
    let mut cells = vec![GivenCell::NotAsked; packages.len() * width];
    let mut keys = vec![None; cells.len()];
    for (request, (row, column)) in requests.into_iter().zip(places) {
        let index = row * width + column;
        cells[index] = match request.work {
            Work::Build(conf) => {
                keys[index] = Some((request.package, request.target));
                GivenCell::Build(Arc::new(*conf))
            }
            Work::Provided { record, conf } => GivenCell::Provided {
                record,
                conf: conf.map(|conf| Arc::new(*conf)),
            },
        };
    }
    let request = GivenRequest {
        packages,
        kernels,
        cells,
        retry_failed,
    };
    (request, keys)
}

fn position<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter()
        .position(|known| *known == item)
        .unwrap_or_else(|| {
            list.push(item);
            list.len() - 1
        })
}

struct Watcher<'a> {
    keys: &'a [Option<Key>],
    shared: &'a Shared,
    live: &'a mut Option<Box<dyn Report>>,
    pass: Pass,
    /// Builds with touched inputs, and what depends on them.
    void: HashSet<CellId>,
}

impl Observer for Watcher<'_> {
    fn start(&mut self, plan: &Plan, cells: &[(CellId, Duration)], jobs: usize) {
        if let Some(live) = self.live.as_mut() {
            live.start(plan, cells, jobs);
        }
    }

    fn started(&mut self, plan: &Plan, cell: CellId, place: Place) {
        if let Some(live) = self.live.as_mut() {
            live.started(plan, cell, place.lane);
        }
    }

    fn phase(&mut self, cell: CellId, name: &str) {
        if let Some(live) = self.live.as_mut() {
            live.phase(cell, name);
        }
    }

    fn handed_back(&mut self, plan: &Plan, cell: CellId) {
        if let Some(live) = self.live.as_mut() {
            live.handed_back(plan, cell);
        }
    }

    fn cancelling(&mut self) {
        if let Some(live) = self.live.as_mut() {
            live.cancelling();
        }
    }

    fn tick(&mut self, _plan: &Plan) {
        if let Some(live) = self.live.as_mut() {
            live.tick();
        }
    }

    fn finished(&mut self, plan: &Plan, cell: CellId, result: &CellResult) {
        let void = match result {
            CellResult::Blocked { by } => self.void.contains(by),
            other => other.changed_input().is_some(),
        };
        if void && self.pass == Pass::First {
            self.void.insert(cell);
            self.handed_back(plan, cell);
            return;
        }
        if let Some(live) = self.live.as_mut() {
            live.finished(plan, cell, result);
        }
        if let (Some(key), Some(end)) = (&self.keys[cell.index()], end(plan, result)) {
            self.shared.set(key.clone(), end);
        }
    }
}

/// How a build ended, if it has.
fn end(plan: &Plan, result: &CellResult) -> Option<BuildEnd> {
    Some(match result {
        CellResult::Hit(record) | CellResult::Built(record) => {
            BuildEnd::Success(Arc::clone(record))
        }
        CellResult::Failed(record) | CellResult::KnownFailure(record) => {
            BuildEnd::Failure(Arc::clone(record))
        }
        CellResult::Pending | CellResult::NotAsked => return None,
        CellResult::Cancelled => BuildEnd::Interrupted,
        other => BuildEnd::Problem(result_cause(plan, other)),
    })
}
