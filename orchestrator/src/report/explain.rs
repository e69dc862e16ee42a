//! `kiln explain`: a cell's decision, its key, and what differs from the nearest record.

use std::collections::BTreeMap;

use kiln_build::{
    job::UNTRACED_NOTE,
    plan::{CellId, CellPlan, Difference, Plan},
};
use kiln_cache::Store;

use super::{out, plan as plan_report, words};

/// How many changed files of one tree are shown.
const SHOWN: usize = 20;

/// Prints the explanation of every cell.
pub(crate) fn explain(plan: &Plan, differences: &BTreeMap<CellId, Vec<Difference>>, store: &Store) {
    for (index, cell) in plan.cells.iter().enumerate() {
        let package = &plan.packages[cell.package].label;
        let kernel = &plan.kernels[cell.kernel].tree.release;
        out::line(&format!(
            "{package} for {kernel}: {}",
            plan_report::decision(plan, cell)
        ));
        let changed = differences.get(&CellId::new(index)).into_iter().flatten();
        for line in changed.flat_map(|one| words::difference(one, SHOWN)) {
            out::line(&format!("    {line}"));
        }
        let components = match &cell.plan {
            CellPlan::Hit(record) | CellPlan::KnownFailure(record) => {
                if let Some(reason) = record.note.get(UNTRACED_NOTE) {
                    out::line(&format!("    depends on everything installed: {reason}"));
                }
                Some(&record.components)
            }
            _ => cell.keys.as_ref().map(|keys| &keys.shown().components),
        };
        if let (Some(key), Some(components)) = (cell.key(), components) {
            out::line(&format!("    key {key}"));
            for component in components {
                out::line(&format!("        {} {}", component.digest, component.name));
            }
        }
        if let CellPlan::Hit(record) = &cell.plan {
            for output in &record.outputs {
                out::line(&format!(
                    "    {}  {}",
                    output.path,
                    store.object_path(&output.object).display()
                ));
            }
        }
    }
}
