//! What every command that builds shares: plan, run what is missing, hand results on, report.
//!
//! What is built for whom is the caller's; where results go is its [`Destination`]'s.

use std::{sync::Arc, thread, time::Instant};

use kiln_build::{
    job_run::JobRun,
    outcome::Outcome,
    plan::{BuildSite, CellId, Plan, PlanError, PlanRequest, Planner, SharedUse},
};
use kiln_cache::ActionRecord;
use kiln_config::Settings;
use kiln_kernel::{
    fingerprints::{Fingerprints, Trust},
    witness::settle,
};
use kiln_scheduler::{CancelToken, OnFailure, TokenPool};
use rayon::prelude::*;

use super::delivery::Delivery;
use crate::{
    Exit,
    cli::RunArgs,
    error::CommandError,
    report::{self, Report},
    report_model::Recorder,
};

/// What a run wants of the shared cache: without building, only what is there.
pub(super) fn shared_use(arguments: &RunArgs) -> SharedUse {
    match arguments.dry_run {
        true => SharedUse::LookUp,
        false => SharedUse::Take,
    }
}

/// What an unchanged `stat` is worth to a run: nothing to one that uses no cache.
pub(super) fn trust(arguments: &RunArgs) -> Trust {
    match arguments.use_cache() {
        true => Trust::Stat,
        false => Trust::Nothing,
    }
}

/// Where the results of a run go.
///
/// Results are taken beside everything else that a run does, and several at once.
pub(super) trait Destination: Sync {
    /// Sees the plan before anything is built; an error ends the run.
    fn planned(&mut self, _plan: &Plan, _report: &mut dyn Report) -> Result<(), CommandError> {
        Ok(())
    }

    /// Takes the results of a cell that was asked for, as soon as they are there.
    fn deliver(
        &self,
        plan: &Plan,
        cell: CellId,
        record: &Arc<ActionRecord>,
    ) -> Result<(), CommandError>;

    /// Sees what became of everything; results of cells that were cut off are missing.
    fn finish(
        &mut self,
        _plan: &Plan,
        _outcome: &Outcome,
        _report: &mut dyn Report,
    ) -> Result<(), CommandError> {
        Ok(())
    }
}

/// One run, from its plan to its exit code.
pub(super) struct Execution<'a> {
    /// Where actions take place.
    pub(super) site: &'a Arc<BuildSite>,
    /// What is set.
    pub(super) settings: &'a Settings,
    /// How it goes.
    pub(super) arguments: &'a RunArgs,
    /// How it is stopped.
    pub(super) cancel: &'a CancelToken,
    /// When the command started.
    pub(super) started: Instant,
}

impl Execution<'_> {
    /// Builds what the request asks for; `fingerprints` are what choosing it has found out.
    ///
    /// # Errors
    /// Fails if there can be no plan, if workers cannot be started, or with the first error
    /// of the destination, after all jobs have ended.
    pub(super) fn run(
        &self,
        request: PlanRequest<'_>,
        fingerprints: Fingerprints<'_>,
        destination: &mut dyn Destination,
        report: &mut dyn Report,
    ) -> Result<Exit, CommandError> {
        let (site, arguments, cancel) = (self.site, self.arguments, self.cancel);
        if let Some(reason) = &site.bare_because {
            report.bare(reason);
        }
        if cfg!(not(feature = "remote")) {
            for setting in self.settings.servers() {
                report.no_remote(setting);
            }
        }
        if arguments.audit {
            site.audit.enable();
        }
        let tokens = Arc::new(TokenPool::new(self.settings.build.jobs_or_cores()));
        let mut recorder = match &arguments.report {
            Some(directory) if !arguments.dry_run => {
                Some(Recorder::open(directory, tokens.size().get())?)
            }
            _ => None,
        };
        let mut fingerprints = fingerprints;
        let mut before: Option<Outcome> = None;
        let (plan, mut outcome) = loop {
            let made = before.as_ref().map(Outcome::made).unwrap_or_default();
            let mut planner = Planner::new(site, fingerprints).after(made);
            let plan = planner.plan(request.clone(), &tokens, cancel, &mut |done, total| {
                report.conf(done, total);
            });
            let plan = plan.map_err(PlanError::or_interrupted)?;
            if before.is_none() {
                for (package, line) in plan.complaints() {
                    report.complaint(package, line);
                }
            }
            destination.planned(&plan, report)?;
            if arguments.explain || arguments.dry_run {
                let differences = super::explain::differences_of_misses(site, &plan, &mut planner)?;
                report.plan(&plan, &differences);
                if arguments.dry_run {
                    if let Some(shared) = &site.shared {
                        report.shared(&shared.take_notices());
                    }
                    return Ok(Exit::Success);
                }
            }
            fingerprints = planner.into_fingerprints();
            let mut outcome = Outcome::of_plan(&plan);
            let target: &dyn Destination = destination;
            outcome
                .hits()
                .par_iter()
                .try_for_each(|(cell, record)| deliver(target, &plan, *cell, record))?;
            if outcome.is_unfinished() {
                let costs = fingerprints.costs().to_vec();
                fingerprints.close();
                let jobs = JobRun {
                    site,
                    plan: &plan,
                    tokens: &tokens,
                    cancel,
                    costs: &costs,
                    use_cache: arguments.use_cache(),
                    retry_failed: arguments.retry_failed,
                    on_failure: if arguments.fail_fast {
                        OnFailure::FailFast
                    } else {
                        OnFailure::KeepGoing
                    },
                };
                let is_last = before.is_some();
                let target: &dyn Destination = destination;
                let hand_on = |cell, record: &_| deliver(target, &plan, cell, record);
                let failed = thread::scope(|scope| {
                    let recorder = recorder.as_mut();
                    let mut delivery =
                        Delivery::new(scope, &hand_on, &mut *report, recorder, is_last)?;
                    jobs.run(&mut delivery, &mut outcome)?;
                    Ok::<_, CommandError>(delivery.finish(&plan))
                })?;
                fingerprints.note(&outcome.new_records());
                fingerprints.close();
                if let Some(error) = failed {
                    return Err(error);
                }
            }
            if let Some(before) = &before {
                outcome.carry_over(before);
                break (plan, outcome);
            }
            // Once: inputs that do not come to rest are the user's to stop.
            match outcome.changed_input().filter(|_| !cancel.is_cancelled()) {
                None => break (plan, outcome),
                Some(path) => {
                    report.input_changed(path);
                    settle(path);
                }
            }
            fingerprints = Fingerprints::new(&site.store)
                .trusting(trust(arguments))
                .heeding(cancel);
            before = Some(outcome);
        };
        outcome.wall = self.started.elapsed();
        outcome.interrupted = cancel.is_cancelled();
        let finished = destination.finish(&plan, &outcome, report);
        outcome.undelivered = finished.is_err();
        outcome.interrupted = cancel.is_cancelled();
        report.damage(&site.store.take_damage());
        if let Some(shared) = &site.shared {
            shared.finish();
            report.shared(&shared.take_notices());
        }
        report.summary(&plan, &outcome, site);
        let mut exit = Exit::of_run(&outcome);
        if arguments.audit {
            let findings = site.audit.findings();
            report.audit(&findings);
            if !findings.is_empty() {
                exit = exit.max(Exit::Failed);
            }
        }
        if let Some(recorder) = recorder
            && let Err(error) = recorder.write(&plan, &outcome, site)
        {
            // What was built is built: that its report is missing is told beside.
            let error = CommandError::from(error);
            report::command_error(&error);
            exit = exit.max(error.exit());
        }
        finished?;
        Ok(exit)
    }
}

/// Hands a cell's results on, unless they are only there for a dependent.
fn deliver(
    destination: &dyn Destination,
    plan: &Plan,
    cell: CellId,
    record: &Arc<ActionRecord>,
) -> Result<(), CommandError> {
    if plan.cells[cell.index()].asked_for {
        destination.deliver(plan, cell, record)?;
    }
    Ok(())
}
