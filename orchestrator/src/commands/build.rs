//! `kiln build`: plan, run what is missing, put results in place, report.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use kiln_cache::ActionRecord;
use kiln_scheduler::{CancelToken, OnFailure, TokenPool};

use super::session::{cancel_on_signals, kernels, open_site, packages};
use crate::{
    Exit,
    cli::{BuildArgs, Global},
    error::CommandError,
    job_run::{JobRun, Observer},
    kernel::select_kernels,
    outcome::{CellResult, Outcome},
    plan::{BuildSite, CellId, Fingerprints, Plan, PlanRequest, Planner},
    report::{self, Report},
    report_model::Recorder,
    results,
};

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
    let mut recorder = match &arguments.report {
        Some(directory) if !arguments.dry_run => {
            Some(Recorder::open(directory, tokens.size().get())?)
        }
        _ => None,
    };
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
        let mut delivery = Delivery {
            arguments,
            site: &site,
            report: report.as_mut(),
            recorder: recorder.as_mut(),
            failed: None,
        };
        let jobs = JobRun {
            site: &site,
            plan: &plan,
            tokens: &tokens,
            cancel: &cancel,
            costs: &costs,
            use_cache: !arguments.no_cache,
            retry_failed: arguments.retry_failed,
            on_failure: if arguments.fail_fast {
                OnFailure::FailFast
            } else {
                OnFailure::KeepGoing
            },
        };
        jobs.run(&mut delivery, &mut outcome)?;
        if let Some(error) = delivery.failed {
            return Err(error);
        }
        fingerprints.note(&outcome.new_records());
        fingerprints.close();
    }
    outcome.wall = started.elapsed();
    outcome.interrupted = cancel.is_cancelled();
    report.damage(&site.store.take_damage());
    report.summary(&plan, &outcome, &site.store);
    let mut exit = outcome.exit();
    if let Some(recorder) = recorder
        && let Err(error) = recorder.write(&plan, &outcome, &site.store)
    {
        // What was built is built: that its report is missing is told beside.
        let error = CommandError::from(error);
        report::command_error(&error);
        exit = exit.max(error.exit());
    }
    Ok(exit)
}

/// Reports what happens, and delivers results as they come.
struct Delivery<'a> {
    arguments: &'a BuildArgs,
    site: &'a BuildSite,
    report: &'a mut dyn Report,
    recorder: Option<&'a mut Recorder>,
    failed: Option<CommandError>,
}

impl Observer for Delivery<'_> {
    fn start(&mut self, plan: &Plan, cells: &[(CellId, Duration)], jobs: usize) {
        self.report.start(plan, cells, jobs);
    }

    fn started(&mut self, plan: &Plan, cell: CellId) {
        if let Some(recorder) = &mut self.recorder {
            recorder.started(plan, cell);
        }
        self.report.started(plan, cell);
    }

    fn phase(&mut self, cell: CellId, name: &str) {
        if let Some(recorder) = &mut self.recorder {
            recorder.phase(cell, name);
        }
        self.report.phase(cell, name);
    }

    fn finished(&mut self, plan: &Plan, cell: CellId, result: &CellResult) {
        if let Some(recorder) = &mut self.recorder {
            recorder.finished(plan, cell, result);
        }
        if let Some(record) = result.success()
            && let Err(error) = deliver(self.arguments, self.site, plan, cell, record)
        {
            self.failed.get_or_insert(error);
        }
        self.report.finished(plan, cell, result);
    }

    fn cancelling(&mut self) {
        self.report.cancelling();
    }

    fn tick(&mut self) {
        self.report.tick();
    }
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
