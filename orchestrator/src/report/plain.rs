//! The report off a terminal: one plain line for each finished job.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use kiln_build::{
    outcome::{CellResult, Outcome},
    plan::{BuildSite, CellId, Difference, Plan},
};
use kiln_cache::Store;
use kiln_scheduler::Lane;

use super::{Report, out, plan as plan_report, summary, words};

/// What the user wants to see.
pub(super) struct Style {
    pub(super) quiet: bool,
    pub(super) verbose: bool,
    pub(super) output: Option<PathBuf>,
}

impl Style {
    /// Ends a report for people: what went wrong, then the summary.
    pub(super) fn summarize(&self, plan: &Plan, outcome: &Outcome, store: &Store) {
        problems(plan, outcome);
        if !self.quiet {
            summary::print(plan, outcome, store, self.output.as_deref(), self.verbose);
        }
    }
}

pub(super) struct Plain {
    style: Style,
    finished: usize,
    total: usize,
}

impl Plain {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            finished: 0,
            total: 0,
        }
    }
}

impl Report for Plain {
    fn conf(&mut self, _done: usize, _total: usize) {}

    fn plan(&mut self, plan: &Plan, differences: &BTreeMap<CellId, Vec<Difference>>) {
        plan_report::print(plan, differences);
    }

    fn start(&mut self, _: &Plan, cells: &[(CellId, Duration)], _: usize) {
        self.total = cells.len();
    }

    fn started(&mut self, _: &Plan, _: CellId, _: Lane) {}

    fn phase(&mut self, _: CellId, _: &str) {}

    fn finished(&mut self, plan: &Plan, cell: CellId, result: &CellResult) {
        self.finished += 1;
        if !self.style.quiet {
            let count = format!("[{}/{}]", self.finished, self.total);
            out::line(&format!("{count} {}", line(plan, cell, result)));
        }
    }

    fn cancelling(&mut self) {
        out::notice("stopping; what is finished is kept");
    }

    fn summary(&mut self, plan: &Plan, outcome: &Outcome, site: &BuildSite) {
        self.style.summarize(plan, outcome, &site.store);
    }
}

/// One finished job in one line.
pub(super) fn line(plan: &Plan, cell: CellId, result: &CellResult) -> String {
    let planned = &plan.cells[cell.index()];
    let package = &plan.packages[planned.package].label;
    let kernel = &plan.kernels[planned.kernel].tree.release;
    let word = words::word(result);
    match result {
        CellResult::Built(record) => format!(
            "{word} {package} for {kernel} in {}",
            words::duration(record.cost.wall)
        ),
        _ => match words::cause(plan, result) {
            Some(cause) => format!("{word} {package} for {kernel}: {cause}"),
            None => format!("{word} {package} for {kernel}"),
        },
    }
}

/// Describes every cell that has no results and should have.
fn problems(plan: &Plan, outcome: &Outcome) {
    for (index, result) in outcome.results.iter().enumerate() {
        match result {
            CellResult::NotAsked
            | CellResult::LeftOut(_)
            | CellResult::Hit(_)
            | CellResult::Built(_)
            | CellResult::Excluded(_)
            | CellResult::Cancelled
            | CellResult::Pending => {}
            _ => summary::problem(plan, CellId::new(index), result),
        }
    }
}
