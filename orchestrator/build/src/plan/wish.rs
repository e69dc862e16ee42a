//! Which cells of a plan are wanted, and which are there only for those that depend on them.
//!
//! Whoever asks for packages x kernels may want only some of the pairs. A pair that is not
//! wanted is built all the same where a wanted one depends on it (BUILD_DEPENDS).

use std::sync::Arc;

use kiln_kernel::KernelTree;

use super::{CellId, CellPlan, Plan};

/// What is wanted of one pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Its results.
    Wanted,
    /// Nothing, by a rule that the user is told.
    LeftOut(Arc<str>),
    /// Nothing in this run.
    NotAsked,
}

/// Judges a pair: the package's label (`name/version`) and the kernel.
pub type Wishes<'a> = dyn Fn(&str, &KernelTree) -> Wish + 'a;

/// Takes out of the plan what is neither wanted nor needed by what is wanted.
pub(super) fn apply(plan: &mut Plan, wishes: &Wishes<'_>) {
    let wish_of: Vec<Wish> = plan
        .cells
        .iter()
        .map(|cell| {
            let package = &plan.packages[cell.package];
            if package.asked_for {
                wishes(&package.label, &plan.kernels[cell.kernel].tree)
            } else {
                Wish::NotAsked
            }
        })
        .collect();
    let mut needed = vec![false; plan.cells.len()];
    let mut open: Vec<CellId> = (0..plan.cells.len())
        .map(CellId)
        .filter(|id| wish_of[id.0] == Wish::Wanted)
        .collect();
    while let Some(id) = open.pop() {
        if std::mem::replace(&mut needed[id.0], true) {
            continue;
        }
        let cell = &plan.cells[id.0];
        if matches!(cell.plan, CellPlan::AfterDependencies) {
            let spec = cell.spec.iter();
            open.extend(spec.flat_map(|spec| spec.dependencies.iter().map(|d| d.cell)));
        }
    }
    for ((cell, wish), needed) in plan.cells.iter_mut().zip(wish_of).zip(needed) {
        cell.asked_for = wish == Wish::Wanted;
        match wish {
            _ if needed => {}
            Wish::LeftOut(rule) => cell.plan = CellPlan::LeftOut { rule },
            Wish::NotAsked | Wish::Wanted => cell.plan = CellPlan::NotAsked,
        }
    }
}
