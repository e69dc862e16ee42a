//! Changes from one run to another, as pages show them.

use serde::Serialize;

use super::shortened;
use crate::{Change, ChangeKind, Comparison, Outcome, Side};

/// What changed since an earlier report.
#[derive(Serialize)]
pub(super) struct ChangeList<'a> {
    before_started_ms: u64,
    /// All kinds with their words, in order.
    kinds: Vec<(ChangeKind, &'static str)>,
    changes: Vec<Changed<'a>>,
}

impl<'a> ChangeList<'a> {
    pub(super) fn of(comparison: &'a Comparison) -> Self {
        Self {
            before_started_ms: comparison.before_started_ms,
            kinds: ChangeKind::ALL.map(|kind| (kind, kind.words())).to_vec(),
            changes: comparison.changes.iter().map(changed).collect(),
        }
    }
}

#[derive(Serialize)]
struct Changed<'a> {
    kind: ChangeKind,
    label: String,
    kernel: &'a str,
    arch: &'a str,
    cell: Option<usize>,
    before: Option<Outcome>,
    after: Option<Outcome>,
    problem: Option<String>,
    /// What was wrong before, where nothing is now.
    former_problem: Option<String>,
    cpu_ms: [Option<u64>; 2],
}

fn changed(change: &Change) -> Changed<'_> {
    let sides = [&change.before, &change.after];
    let outcome = |side: &Option<Side>| side.as_ref().map(|side| side.outcome);
    let problem = |side: &Option<Side>| side.as_ref().and_then(Side::problem).map(shortened);
    let now = problem(&change.after);
    Changed {
        kind: change.kind,
        label: change.label(),
        kernel: &change.kernel,
        arch: &change.arch,
        cell: change.after.as_ref().map(|side| side.cell),
        before: outcome(&change.before),
        after: outcome(&change.after),
        former_problem: problem(&change.before).filter(|_| now.is_none()),
        problem: now,
        cpu_ms: sides.map(|side| side.as_ref().and_then(|side| side.cpu_ms)),
    }
}
