//! What became of every cell of a plan, and of the run as a whole.

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use kiln_cache::{ActionKey, ActionRecord};

use crate::{
    conf::Exclusion,
    job::{Abort, JobEnd},
    plan::{CellFault, CellId, CellPlan, Plan},
};

/// What became of one cell.
#[derive(Debug)]
pub enum CellResult {
    /// Nobody asked for it.
    NotAsked,
    /// Its outcome was in the cache.
    Hit(Arc<ActionRecord>),
    /// It was built.
    Built(Arc<ActionRecord>),
    /// It failed in this run.
    Failed(Arc<ActionRecord>),
    /// It is known to fail.
    KnownFailure(Arc<ActionRecord>),
    /// A rule of whoever asked leaves it out.
    LeftOut(Arc<str>),
    /// Its own conf excludes the kernel.
    Excluded(Exclusion),
    /// It could not become a job.
    Fault(CellFault),
    /// It depends on a cell that came to no good end.
    Blocked {
        /// That cell.
        by: CellId,
    },
    /// It ended without an outcome.
    Aborted(Abort),
    /// It was not started, because the run ended early.
    Cancelled,
    /// It has not been decided yet.
    Pending,
}

impl CellResult {
    /// The result of a job that ended.
    pub(crate) fn of_end(end: JobEnd) -> Self {
        match end {
            JobEnd::Built(record) => Self::Built(record),
            JobEnd::Hit(record) => Self::Hit(record),
            JobEnd::Failed(record) => Self::Failed(record),
            JobEnd::KnownFailure(record) => Self::KnownFailure(record),
            JobEnd::Aborted(abort) => Self::Aborted(abort),
        }
    }

    fn of_plan(plan: &CellPlan) -> Self {
        match plan {
            CellPlan::NotAsked => Self::NotAsked,
            CellPlan::LeftOut { rule } => Self::LeftOut(Arc::clone(rule)),
            CellPlan::Excluded(rule) => Self::Excluded(rule.clone()),
            CellPlan::Fault(fault) => Self::Fault(fault.clone()),
            CellPlan::Hit(record) => Self::Hit(Arc::clone(record)),
            CellPlan::KnownFailure(record) => Self::KnownFailure(Arc::clone(record)),
            CellPlan::Blocked { by } => Self::Blocked { by: *by },
            CellPlan::Build { .. } | CellPlan::AfterDependencies => Self::Pending,
        }
    }

    /// The record, if the cell has good results.
    pub fn success(&self) -> Option<&Arc<ActionRecord>> {
        match self {
            Self::Hit(record) | Self::Built(record) => Some(record),
            _ => None,
        }
    }

    /// The same again, of a cell that has results.
    pub fn of_success(&self) -> Option<Self> {
        match self {
            Self::Hit(record) => Some(Self::Hit(Arc::clone(record))),
            Self::Built(record) => Some(Self::Built(Arc::clone(record))),
            _ => None,
        }
    }

    /// The record of a failure.
    pub fn failure(&self) -> Option<&Arc<ActionRecord>> {
        match self {
            Self::Failed(record) | Self::KnownFailure(record) => Some(record),
            _ => None,
        }
    }

    /// The record that this run made.
    fn new_record(&self) -> Option<&Arc<ActionRecord>> {
        match self {
            Self::Built(record) | Self::Failed(record) => Some(record),
            _ => None,
        }
    }

    /// The input that was touched meanwhile, if that is why there is no outcome.
    pub fn changed_input(&self) -> Option<&Path> {
        match self {
            Self::Aborted(Abort::InputChanged { path })
            | Self::Fault(CellFault::InputChanged { path }) => Some(path),
            _ => None,
        }
    }

    /// The same outcome, known as what this run made of it rather than as what the cache has.
    fn made_before(&self, before: &Self) -> Option<Self> {
        match (self, before) {
            (Self::Hit(now), Self::Built(made)) if now.key == made.key => {
                Some(Self::Built(Arc::clone(made)))
            }
            (Self::KnownFailure(now), Self::Failed(made)) if now.key == made.key => {
                Some(Self::Failed(Arc::clone(made)))
            }
            _ => None,
        }
    }
}

/// What became of a plan.
pub struct Outcome {
    /// A result for each cell.
    pub results: Vec<CellResult>,
    /// How long the run took.
    pub wall: Duration,
    /// Whether the user stopped it.
    pub interrupted: bool,
    /// Whether results did not get where they were to go.
    pub undelivered: bool,
}

impl Outcome {
    /// The outcome as far as the plan decides it.
    pub fn of_plan(plan: &Plan) -> Self {
        Self {
            results: plan
                .cells
                .iter()
                .map(|cell| CellResult::of_plan(&cell.plan))
                .collect(),
            wall: Duration::ZERO,
            interrupted: false,
            undelivered: false,
        }
    }

    /// Sets a cell's result.
    pub(crate) fn set(&mut self, cell: CellId, result: CellResult) {
        self.results[cell.index()] = result;
    }

    /// Whether any cell is still to be decided.
    pub fn is_unfinished(&self) -> bool {
        self.results
            .iter()
            .any(|result| matches!(result, CellResult::Pending))
    }

    /// Cells whose outcome was in the cache.
    pub fn hits(&self) -> Vec<(CellId, Arc<ActionRecord>)> {
        let hit = |(index, result): (usize, &CellResult)| match result {
            CellResult::Hit(record) => Some((CellId::new(index), Arc::clone(record))),
            _ => None,
        };
        self.results.iter().enumerate().filter_map(hit).collect()
    }

    /// Records that this run made.
    pub fn new_records(&self) -> Vec<Arc<ActionRecord>> {
        self.results
            .iter()
            .filter_map(CellResult::new_record)
            .cloned()
            .collect()
    }

    /// The first input that was touched while something ran that was made from it.
    pub fn changed_input(&self) -> Option<&Path> {
        self.results.iter().find_map(CellResult::changed_input)
    }

    /// The keys of the outcomes that this run made.
    pub fn made(&self) -> HashSet<ActionKey> {
        let records = self.results.iter().filter_map(CellResult::new_record);
        records.map(|record| record.key).collect()
    }

    /// Takes over from an earlier pass of the same run what it made.
    pub fn carry_over(&mut self, before: &Self) {
        for (now, before) in self.results.iter_mut().zip(&before.results) {
            if let Some(made) = now.made_before(before) {
                *now = made;
            }
        }
    }
}
