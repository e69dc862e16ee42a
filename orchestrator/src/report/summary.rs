//! The end of a build: failures, the matrix, totals, and where the results are.

use std::path::Path;

use kiln_build::{
    outcome::{CellResult, Outcome},
    plan::{CellId, Plan},
    results,
};
use kiln_cache::Store;

use super::{matrix, out, printable::printable, words};

/// More results than this are listed only on request.
const LISTED: usize = 24;

/// How many cells came to which end.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Totals {
    pub(super) hits: usize,
    pub(super) built: usize,
    pub(super) failed: usize,
    pub(super) excluded: usize,
    pub(super) blocked: usize,
    pub(super) aborted: usize,
    pub(super) not_run: usize,
}

impl Totals {
    pub(super) fn of(outcome: &Outcome) -> Self {
        let mut totals = Self::default();
        for result in &outcome.results {
            let count = match words::word(result) {
                "hit" => &mut totals.hits,
                "built" => &mut totals.built,
                "failed" => &mut totals.failed,
                "excluded" => &mut totals.excluded,
                "blocked" => &mut totals.blocked,
                "aborted" => &mut totals.aborted,
                "" => continue,
                _ => &mut totals.not_run,
            };
            *count += 1;
        }
        totals
    }

    fn text(&self) -> String {
        [
            (self.hits, "from the cache"),
            (self.built, "built"),
            (self.failed, "failed"),
            (self.excluded, "excluded"),
            (self.blocked, "blocked"),
            (self.aborted, "aborted"),
            (self.not_run, "not run"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect::<Vec<_>>()
        .join(", ")
    }
}

/// Describes why a cell has no results, on standard error: what, first error, log, hint.
pub(super) fn problem(plan: &Plan, cell: CellId, result: &CellResult) {
    let planned = &plan.cells[cell.index()];
    let package = &plan.packages[planned.package].label;
    let input = &plan.kernels[planned.kernel];
    let kernel = &input.tree.release;
    let word = matrix::style(result).apply_to(words::word(result));
    let cause = words::cause(plan, result).unwrap_or_default();
    let said = format!("{package} for {kernel}: {cause}");
    out::composed_error(&format!("{word} {}", printable(&said)));
    if let Some(record) = result.failure()
        && record.log.is_some()
    {
        let argument = plan.packages[planned.package].argument();
        out::error_line(&format!("    log: kiln log {argument} {}", input.arguments));
    }
    let hidden = result.failure().map(|record| words::hidden_files(record));
    for line in hidden.unwrap_or_default() {
        out::error_line(&format!("    note: {line}"));
    }
    if let Some(hint) = words::hint(result) {
        out::error_line(&format!("    hint: {hint}"));
    }
}

/// Prints the matrix, the totals and where the results are.
pub(super) fn print(
    plan: &Plan,
    outcome: &Outcome,
    store: &Store,
    output: Option<&Path>,
    verbose: bool,
) {
    for line in matrix::matrix(plan, outcome) {
        out::composed(&line);
    }
    out::line(&format!(
        "{} in {}",
        Totals::of(outcome).text(),
        words::duration(outcome.wall)
    ));
    if verbose {
        exclusions(plan, outcome);
    }
    if let Some(directory) = output {
        if outcome.undelivered {
            return;
        }
        out::line(&format!("results in {}", directory.display()));
        return;
    }
    let results = listing(plan, outcome, store);
    if verbose || results.len() <= LISTED {
        for line in results {
            out::line(&line);
        }
    } else {
        out::line(&format!(
            "{} results in {}; -o DIR copies them, -v lists them",
            results.len(),
            store.directory().display()
        ));
    }
}

/// Says which rule excluded which cell.
fn exclusions(plan: &Plan, outcome: &Outcome) {
    for (cell, result) in plan.cells.iter().zip(&outcome.results) {
        if let CellResult::Excluded(_) | CellResult::LeftOut(_) = result {
            out::line(&format!(
                "{} for {} {}",
                plan.packages[cell.package].label,
                plan.kernels[cell.kernel].tree.release,
                words::cause(plan, result).unwrap_or_default()
            ));
        }
    }
}

/// Where each result is in the store.
fn listing(plan: &Plan, outcome: &Outcome, store: &Store) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, result) in outcome.results.iter().enumerate() {
        let Some(record) = result.success() else {
            continue;
        };
        let place = results::directory(Path::new(""), plan, CellId::new(index));
        for output in record.outputs.iter().filter(|o| o.path.ends_with(".ko")) {
            lines.push(format!(
                "{}/{}  {}",
                place.display(),
                output.path,
                store.object_path(&output.object).display()
            ));
        }
    }
    lines
}
