//! Reports what happens in a run, and has results handed on as they come, by a thread beside: the coordinator has jobs
//! to start.

use std::{
    collections::HashSet,
    error::Error,
    sync::Arc,
    thread::{self, Scope},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use kiln_build::{
    job_run::Observer,
    outcome::CellResult,
    plan::{CellId, Plan},
};
use kiln_cache::ActionRecord;
use kiln_scheduler::Place;

use crate::{error::CommandError, report::Report, report_model::Recorder};

/// Hands a cell's results on.
pub(super) type HandOn<'a> =
    dyn Fn(CellId, &Arc<ActionRecord>) -> Result<(), CommandError> + Sync + 'a;

/// A cell whose results were handed on, or could not be.
struct Delivered {
    cell: CellId,
    result: CellResult,
    outcome: Result<(), CommandError>,
}

impl Delivered {
    /// Reports the cell, and keeps the first reason why something could not be handed on.
    fn note(self, plan: &Plan, report: &mut dyn Report, failed: &mut Option<CommandError>) {
        if let Err(error) = self.outcome {
            failed.get_or_insert(error);
        }
        report.finished(plan, self.cell, &self.result);
    }
}

/// What watches a run.
pub(super) struct Delivery<'a> {
    report: &'a mut dyn Report,
    recorder: Option<&'a mut Recorder>,
    /// To the thread that hands on, and back.
    results: Sender<(CellId, CellResult)>,
    delivered: Receiver<Delivered>,
    /// Why something could not be handed on: the first reason.
    failed: Option<CommandError>,
    /// Whether what has no outcome for a touched input ends so: else it is run again after this.
    is_last: bool,
    /// What is run again, and what depends on it.
    void: HashSet<CellId>,
}

impl<'a> Delivery<'a> {
    /// Starts the thread.
    ///
    /// # Errors
    /// Fails if there may be no more threads.
    pub(super) fn new<'scope>(
        scope: &'scope Scope<'scope, '_>,
        hand_on: &'scope HandOn<'_>,
        report: &'a mut dyn Report,
        recorder: Option<&'a mut Recorder>,
        is_last: bool,
    ) -> Result<Self, CommandError> {
        let (results, to_do) = unbounded::<(CellId, CellResult)>();
        let (done, delivered) = unbounded();
        let run = move || {
            for (cell, result) in to_do {
                let outcome = result
                    .success()
                    .map_or(Ok(()), |record| hand_on(cell, record));
                let one = Delivered {
                    cell,
                    result,
                    outcome,
                };
                if done.send(one).is_err() {
                    return;
                }
            }
        };
        let started = thread::Builder::new().spawn_scoped(scope, run);
        started.map_err(CommandError::Thread)?;
        Ok(Self {
            report,
            recorder,
            results,
            delivered,
            failed: None,
            is_last,
            void: HashSet::new(),
        })
    }

    /// Waits until all is handed on; gives the first reason why something could not be.
    pub(super) fn finish(mut self, plan: &Plan) -> Option<CommandError> {
        drop(self.results);
        for one in &self.delivered {
            one.note(plan, self.report, &mut self.failed);
        }
        self.failed
    }

    /// Reports what was handed on meanwhile.
    fn report_delivered(&mut self, plan: &Plan) {
        while let Ok(one) = self.delivered.try_recv() {
            one.note(plan, self.report, &mut self.failed);
        }
    }
}

impl Observer for Delivery<'_> {
    fn start(&mut self, plan: &Plan, cells: &[(CellId, Duration)], jobs: usize) {
        self.report.start(plan, cells, jobs);
    }

    fn started(&mut self, plan: &Plan, cell: CellId, place: Place) {
        if let Some(recorder) = &mut self.recorder {
            recorder.started(plan, cell, place);
        }
        self.report.started(plan, cell, place.lane);
    }

    fn phase(&mut self, cell: CellId, name: &str) {
        if let Some(recorder) = &mut self.recorder {
            recorder.phase(cell, name);
        }
        self.report.phase(cell, name);
    }

    fn handed_back(&mut self, plan: &Plan, cell: CellId) {
        if let Some(recorder) = &mut self.recorder {
            recorder.handed_back(plan, cell);
        }
        self.report.handed_back(plan, cell);
    }

    fn finished(&mut self, plan: &Plan, cell: CellId, result: &CellResult) {
        let void = match result {
            CellResult::Blocked { by } => self.void.contains(by),
            other => other.changed_input().is_some(),
        };
        if void && !self.is_last {
            self.void.insert(cell);
            self.handed_back(plan, cell);
            return;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.finished(plan, cell, result);
        }
        match result.of_success() {
            // Reported when its results are in their place.
            Some(result) => drop(self.results.send((cell, result))),
            None => self.report.finished(plan, cell, result),
        }
        self.report_delivered(plan);
    }

    fn engine_lost(&mut self, error: &dyn Error) {
        self.report.engine_lost(error);
    }

    fn roots_stay(&mut self) {
        self.report.roots_stay();
    }

    fn cancelling(&mut self) {
        self.report.cancelling();
    }

    fn tick(&mut self, plan: &Plan) {
        self.report_delivered(plan);
        self.report.tick();
    }
}
