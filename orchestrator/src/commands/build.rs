//! `kiln build`: plan, run what is missing, put results in place, report.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use kiln_cache::{ActionRecord, Cost, Subject};
use kiln_scheduler::{
    CancelToken, Estimate, Event, GraphBuilder, LocalExecutor, MemoryGuard, OnFailure, RunOptions,
    TokenPool, run as run_graph,
};

use super::session::{cancel_on_signals, kernels, open_site, packages};
use crate::{
    Exit,
    cli::{BuildArgs, Global},
    error::CommandError,
    job::{Abort, JobEnd, JobPayload, JobRunner},
    kernel::select_kernels,
    outcome::{CellResult, Outcome},
    plan::{BuildSite, CellId, CellPlan, Fingerprints, Plan, PlanRequest, Planner},
    report::{self, Report},
    results,
};

/// Memory that is left to the rest of the machine.
const MEMORY_RESERVE: u64 = 256 << 20;

/// How long a first build of an unknown package is taken to last: a base, and some for
/// each file of its source.
const UNKNOWN_BASE: Duration = Duration::from_millis(1200);
const UNKNOWN_PER_FILE: Duration = Duration::from_millis(60);

pub(super) fn run(global: &Global, arguments: &BuildArgs) -> Result<Exit, CommandError> {
    let started = Instant::now();
    let cancel = CancelToken::new();
    cancel_on_signals(&cancel);
    let site = open_site(global, &arguments.selection, arguments.timeout, &cancel)?;
    let mut report = report::choose(global, arguments);
    if let Some(reason) = &site.bare_because {
        report.bare(reason);
    }
    let request = PlanRequest {
        packages: packages(&arguments.selection, arguments.all, &site)?,
        kernels: select_kernels(&kernels(&arguments.selection, arguments.all_kernels))?,
        use_cache: !arguments.no_cache,
        retry_failed: arguments.retry_failed,
    };
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let tokens = Arc::new(TokenPool::new(arguments.jobs.unwrap_or(cores))?);
    let mut planner = Planner::new(&site, Fingerprints::new(&site.store));
    let plan = planner.plan(request, &tokens, &cancel, &mut |done, total| {
        report.conf(done, total);
    })?;
    if arguments.explain || arguments.dry_run {
        let differences = super::explain::differences_of_misses(&site, &plan, &mut planner)?;
        report.plan(&plan, &differences);
        if arguments.dry_run {
            return Ok(Exit::Success);
        }
    }
    let mut fingerprints = planner.into_fingerprints();
    let mut outcome = Outcome::of_plan(&plan);
    for (cell, record) in outcome.hits() {
        deliver(arguments, &site, &plan, cell, &record)?;
    }
    if outcome.is_unfinished() {
        let costs = fingerprints.costs();
        fingerprints.close();
        build(
            arguments,
            &site,
            &plan,
            &tokens,
            &cancel,
            &costs,
            report.as_mut(),
            &mut outcome,
        )?;
        fingerprints.note(&outcome.new_records());
        fingerprints.close();
    }
    outcome.wall = started.elapsed();
    outcome.interrupted = cancel.is_cancelled();
    report.damage(&site.store.take_damage());
    report.summary(&plan, &outcome, &site.store);
    Ok(outcome.exit())
}

/// Runs the jobs that the plan asks for.
#[allow(clippy::too_many_arguments, reason = "the whole of one run")]
fn build(
    arguments: &BuildArgs,
    site: &Arc<BuildSite>,
    plan: &Plan,
    tokens: &Arc<TokenPool>,
    cancel: &CancelToken,
    costs: &[(Subject, Cost)],
    report: &mut dyn Report,
    outcome: &mut Outcome,
) -> Result<(), CommandError> {
    let estimates = Estimates::new(costs);
    let runner = JobRunner::new(
        Arc::clone(site),
        Arc::clone(tokens),
        plan.cells.len(),
        !arguments.no_cache,
        arguments.retry_failed,
    );
    for (cell, record) in outcome.hits() {
        runner.provide(cell, &record);
    }
    let mut builder = GraphBuilder::new();
    let mut jobs = HashMap::new();
    let mut cells = Vec::new();
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
            key: cell.key.clone(),
        };
        let estimate = estimates.of(&plan.subject(id), spec.package.weight());
        jobs.insert(id, builder.add(payload, estimate));
        cells.push((id, estimate.duration));
    }
    for (id, job) in &jobs {
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
    report.start(plan, &cells, tokens.size().get());
    let executor = LocalExecutor::new(tokens.size(), move |task| runner.run(task))?;
    let options = RunOptions {
        on_failure: if arguments.fail_fast {
            OnFailure::FailFast
        } else {
            OnFailure::KeepGoing
        },
        memory: Some(MemoryGuard::system(MEMORY_RESERVE)),
    };
    let mut failed = None;
    run_graph(
        Arc::new(graph),
        &executor,
        tokens,
        options,
        cancel,
        &mut |event| match event {
            Event::Started { job } => report.started(plan, cells[job.index()].0),
            Event::Phase { job, name } => report.phase(cells[job.index()].0, &name),
            Event::Finished {
                job, outcome: end, ..
            } => {
                let cell = cells[job.index()].0;
                let end = end.unwrap_or(JobEnd::Aborted(Abort::Panicked));
                let result = CellResult::of_end(end);
                if let Some(record) = result.success()
                    && let Err(error) = deliver(arguments, site, plan, cell, record)
                {
                    failed.get_or_insert(error);
                }
                report.finished(plan, cell, &result);
                outcome.set(cell, result);
            }
            Event::Blocked { job, by } => {
                let result = CellResult::Blocked {
                    by: cells[by.index()].0,
                };
                report.finished(plan, cells[job.index()].0, &result);
                outcome.set(cells[job.index()].0, result);
            }
            Event::Cancelled { job } => {
                outcome.set(cells[job.index()].0, CellResult::Cancelled);
            }
            Event::Cancelling => report.cancelling(),
            Event::Tick => report.tick(),
            _ => {}
        },
    );
    failed.map_or(Ok(()), Err)
}

/// Puts a cell's results where the user wants them.
fn deliver(
    arguments: &BuildArgs,
    site: &BuildSite,
    plan: &Plan,
    cell: CellId,
    record: &ActionRecord,
) -> Result<(), CommandError> {
    match &arguments.output {
        Some(directory) if plan.packages[plan.cells[cell.index()].package].asked_for => {
            results::deliver(&site.store, directory, plan, cell, record)
        }
        _ => Ok(()),
    }
}

/// Expected durations and memory, from what earlier jobs took.
struct Estimates {
    exact: HashMap<Subject, Estimate>,
    by_name: HashMap<String, Estimate>,
}

impl Estimates {
    fn new(costs: &[(Subject, Cost)]) -> Self {
        let mut exact = HashMap::new();
        let mut by_name = HashMap::new();
        for (subject, cost) in costs {
            let estimate = Estimate {
                duration: cost.cpu,
                memory: cost.peak_memory,
            };
            by_name.insert(subject.name.clone(), estimate);
            exact.insert(subject.clone(), estimate);
        }
        Self { exact, by_name }
    }

    fn of(&self, subject: &Subject, weight: u64) -> Estimate {
        let known = self
            .exact
            .get(subject)
            .or_else(|| self.by_name.get(&subject.name));
        known.copied().unwrap_or_else(|| Estimate {
            duration: UNKNOWN_BASE
                + UNKNOWN_PER_FILE.saturating_mul(u32::try_from(weight).unwrap_or(u32::MAX)),
            memory: 0,
        })
    }
}
