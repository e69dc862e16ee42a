//! Runs the jobs of a plan: the graph, its estimates, and what became of each cell.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kiln_cache::{Cost, Subject};
use kiln_scheduler::{
    CancelToken, Event, Graph, GraphBuilder, HandBack, JobId, Lanes, LocalExecutor, MemoryGuard,
    OnFailure, Place, Placement, RunOptions, TokenPool, WorkerError, run as run_graph,
};

#[cfg(feature = "remote")]
use crate::job::RemoteLane;
use crate::{
    estimates::Estimates,
    job::{Abort, JobEnd, JobPayload, JobRunner},
    outcome::{CellResult, Outcome},
    plan::{BuildSite, CellId, CellPlan, Plan},
};

/// Memory that is left to the rest of the machine.
const MEMORY_RESERVE: u64 = 256 << 20;

/// Who watches a run.
pub trait Observer {
    /// The jobs that will run, with their expected durations.
    fn start(&mut self, _plan: &Plan, _cells: &[(CellId, Duration)], _jobs: usize) {}
    /// A job has started, perhaps not for the first time.
    fn started(&mut self, _plan: &Plan, _cell: CellId, _place: Place) {}
    /// A job has entered a phase.
    fn phase(&mut self, _cell: CellId, _name: &str) {}
    /// A job does not run any more and has not ended; it may start again.
    fn handed_back(&mut self, _plan: &Plan, _cell: CellId) {}
    /// A cell is decided.
    fn finished(&mut self, plan: &Plan, cell: CellId, result: &CellResult);
    /// The engine cannot be used any more; what it had runs here.
    fn engine_lost(&mut self, _error: &dyn std::error::Error) {}
    /// Jobs with a toolchain root run here although there is an engine.
    fn roots_stay(&mut self) {}
    /// The user stopped the run; jobs are being ended.
    fn cancelling(&mut self) {}
    /// Some time has passed.
    fn tick(&mut self, _plan: &Plan) {}
}

/// The graph of the jobs of some cells, each after those of the cells that its own depends on.
pub fn graph_of<P>(
    plan: &Plan,
    jobs: &HashMap<CellId, JobId>,
    mut builder: GraphBuilder<P>,
) -> Graph<P> {
    for (id, job) in jobs {
        let spec = plan.cells[id.index()].spec.iter();
        for dependency in spec.flat_map(|spec| &spec.dependencies) {
            if let Some(on) = jobs.get(&dependency.cell) {
                builder.depend(*job, *on);
            }
        }
    }
    let Ok(graph) = builder.build() else {
        unreachable!("the plan has named and removed all circles");
    };
    graph
}

/// How the jobs of a plan are run.
pub struct JobRun<'a> {
    /// Where.
    pub site: &'a Arc<BuildSite>,
    /// The plan.
    pub plan: &'a Plan,
    /// The processors.
    pub tokens: &'a Arc<TokenPool>,
    /// How it is stopped.
    pub cancel: &'a CancelToken,
    /// What earlier jobs took.
    pub costs: &'a [(Subject, Cost)],
    /// Whether outcomes in the cache count.
    pub use_cache: bool,
    /// Whether known failures are tried again.
    pub retry_failed: bool,
    /// What a failure means for the others.
    pub on_failure: OnFailure,
}

impl JobRun<'_> {
    fn has_engine(&self) -> bool {
        #[cfg(feature = "remote")]
        return self.site.engine.is_some();
        #[cfg(not(feature = "remote"))]
        false
    }

    /// Whether no worker is known that would take a job with a toolchain root.
    fn keeps_roots(&self) -> bool {
        #[cfg(feature = "remote")]
        return (self.site.engine.iter()).all(|engine| engine.root_platform.is_none());
        #[cfg(not(feature = "remote"))]
        true
    }

    /// Runs the jobs that the plan asks for and notes their results in `outcome`.
    ///
    /// # Errors
    /// Fails if workers cannot be started.
    pub fn run(
        &self,
        observer: &mut dyn Observer,
        outcome: &mut Outcome,
    ) -> Result<(), WorkerError> {
        let plan = self.plan;
        let estimates = Estimates::new(self.costs);
        let runner = Arc::new(JobRunner::new(
            Arc::clone(self.site),
            Arc::clone(self.tokens),
            plan.cells.len(),
            self.use_cache,
            self.retry_failed,
        ));
        for (cell, record) in outcome.hits() {
            runner.provide(cell, &record);
        }
        let mut builder = GraphBuilder::new();
        let mut jobs = HashMap::new();
        let mut cells = Vec::new();
        let mut roots_stay = false;
        for (index, cell) in plan.cells.iter().enumerate() {
            let (CellPlan::Build { .. } | CellPlan::AfterDependencies, Some(spec)) =
                (&cell.plan, &cell.spec)
            else {
                continue;
            };
            let id = plan.cell(cell.package, cell.kernel);
            debug_assert_eq!(id.index(), index);
            let payload = JobPayload {
                spec: Arc::clone(spec),
                keys: cell.keys.clone(),
            };
            let (estimate, _) = estimates.of(&plan.subject(id), spec.package.weight());
            let job = builder.add(payload, estimate);
            // An engine's workers have their own programs: what the key names must be those.
            let root_stays = !spec.kernel.system.is_host() && self.keeps_roots();
            roots_stay |= root_stays;
            if root_stays || !spec.extra_tools.is_empty() {
                builder.place(job, Placement::LocalOnly);
            }
            jobs.insert(id, job);
            cells.push((id, estimate.duration));
        }
        let graph = graph_of(plan, &jobs, builder);
        observer.start(plan, &cells, self.tokens.size().get());
        if roots_stay && self.has_engine() {
            observer.roots_stay();
        }
        let running = Arc::clone(&runner);
        let executor = LocalExecutor::new(self.tokens.size(), move |task| running.run(task))?;
        let options = RunOptions {
            on_failure: self.on_failure,
            memory: Some(MemoryGuard::system(MEMORY_RESERVE)),
        };
        #[cfg(feature = "remote")]
        let remote = self
            .site
            .engine
            .clone()
            .map(|engine| RemoteLane::new(Arc::clone(&runner), engine, self.cancel));
        #[cfg(feature = "remote")]
        let lanes = match &remote {
            Some(remote) => Lanes::both(&executor, remote),
            None => Lanes::local(&executor),
        };
        #[cfg(not(feature = "remote"))]
        let lanes = Lanes::local(&executor);
        let mut lost = false;
        run_graph(
            Arc::new(graph),
            lanes,
            self.tokens,
            options,
            self.cancel,
            &mut |event| match event {
                Event::Started { job, place } => {
                    observer.started(plan, cells[job.index()].0, place);
                }
                Event::Phase { job, name } => observer.phase(cells[job.index()].0, &name),
                Event::Finished {
                    job, outcome: end, ..
                } => {
                    let cell = cells[job.index()].0;
                    let end = end.unwrap_or(JobEnd::Aborted(Abort::Panicked));
                    let result = CellResult::of_end(end);
                    observer.finished(plan, cell, &result);
                    outcome.set(cell, result);
                }
                Event::Blocked { job, by } => {
                    let result = CellResult::Blocked {
                        by: cells[by.index()].0,
                    };
                    observer.finished(plan, cells[job.index()].0, &result);
                    outcome.set(cells[job.index()].0, result);
                }
                Event::HandedBack {
                    job, why, outcome, ..
                } => {
                    observer.handed_back(plan, cells[job.index()].0);
                    if let (HandBack::LaneLost, Some(JobEnd::Aborted(Abort::Engine(error)))) =
                        (why, outcome)
                        && !lost
                    {
                        lost = true;
                        observer.engine_lost(error.as_ref());
                    }
                }
                // No engine is left that would run it, and none here may.
                Event::Stranded { job } => {
                    let result = CellResult::Aborted(Abort::NoEngine);
                    observer.finished(plan, cells[job.index()].0, &result);
                    outcome.set(cells[job.index()].0, result);
                }
                Event::Cancelled { job } => {
                    outcome.set(cells[job.index()].0, CellResult::Cancelled);
                }
                Event::Cancelling => observer.cancelling(),
                Event::Tick => observer.tick(plan),
                _ => {}
            },
        );
        runner.close();
        Ok(())
    }
}
