//! A plan as text: what each cell needs, and why (`--dry-run`, `--explain`).

use std::collections::BTreeMap;

use kiln_build::plan::{Cell, CellId, CellPlan, Difference, Plan};

use super::{out, words};

/// How many changed files of one tree are shown.
const SHOWN: usize = 5;

/// Prints a line for each cell, and what differs below it.
pub(super) fn print(plan: &Plan, differences: &BTreeMap<CellId, Vec<Difference>>) {
    for (index, cell) in plan.cells.iter().enumerate() {
        if matches!(cell.plan, CellPlan::NotAsked) {
            continue;
        }
        let package = &plan.packages[cell.package].label;
        let kernel = &plan.kernels[cell.kernel].tree.release;
        out::line(&format!("{package} for {kernel}: {}", decision(plan, cell)));
        let lines = differences.get(&CellId::new(index)).into_iter().flatten();
        for line in lines.flat_map(|one| words::difference(one, SHOWN)) {
            out::line(&format!("    {line}"));
        }
    }
}

/// What a cell needs, and why.
pub(super) fn decision(plan: &Plan, cell: &Cell) -> String {
    match &cell.plan {
        CellPlan::NotAsked => "not asked for".to_owned(),
        CellPlan::Hit(_) => "hit".to_owned(),
        CellPlan::KnownFailure(record) => match words::first_error(record) {
            Some(error) => format!("known to fail: {error}"),
            None => "known to fail".to_owned(),
        },
        CellPlan::Build { reason } => match cell.spec.as_ref().and_then(|spec| spec.lack()) {
            Some(lack) => format!("cannot be built here: {lack}; {}", words::lack_hint(&lack)),
            None => format!("build, {}", words::miss(reason)),
        },
        CellPlan::AfterDependencies => "build or hit, when its dependencies are built".to_owned(),
        CellPlan::Excluded(rule) => words::exclusion(rule),
        CellPlan::LeftOut { rule } => rule.to_string(),
        CellPlan::Fault(fault) => format!("cannot be built: {}", words::chain(fault)),
        CellPlan::Blocked { by } => format!(
            "blocked by {}",
            plan.packages[plan.cells[by.index()].package].label
        ),
    }
}
