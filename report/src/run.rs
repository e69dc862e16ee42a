//! One run: the machine it ran on, and all of its cells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Cell, Outcome};

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The version of kiln.
    pub kiln: String,
    /// When it started, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it ended, in milliseconds since 1970.
    pub finished_ms: u64,
    /// Processes that could compile at once on this machine.
    pub cores: u32,
    /// Jobs that could run at once on remote workers.
    #[serde(default)]
    pub remote_slots: u32,
    /// What protected this machine from the code of packages: `bubblewrap`, `landlock` or `permissions`; empty if it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub protection: String,
    /// Whether it was stopped before its end.
    #[serde(default)]
    pub interrupted: bool,
    /// The cells: packages are rows and kernels columns, both in the order in which they first appear.
    pub cells: Vec<Cell>,
}

impl Run {
    /// How long it took, in milliseconds.
    #[must_use]
    pub fn wall_ms(&self) -> u64 {
        self.finished_ms.saturating_sub(self.started_ms)
    }

    /// The cells that a cell builds on, by their places; a place that does not exist is skipped.
    pub fn dependencies(&self, cell: &Cell) -> Vec<usize> {
        let places = cell.dependencies.iter().copied();
        places.filter(|place| *place < self.cells.len()).collect()
    }

    /// What its cells come to.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            cells: self.cells.len(),
            ..Totals::default()
        };
        for cell in &self.cells {
            *totals.outcomes.entry(cell.outcome).or_default() += 1;
            let cpu = cell.cost.map_or(0, |cost| cost.cpu_ms);
            match cell.outcome {
                Outcome::Built | Outcome::Failed => totals.spent_cpu_ms += cpu,
                Outcome::Hit | Outcome::RemoteHit | Outcome::KnownFailure => {
                    totals.saved_cpu_ms += cpu;
                }
                _ => {}
            }
        }
        totals
    }
}

/// What the cells of a run come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// How many there are.
    pub cells: usize,
    /// How many came to which end; those of which there are none are left out.
    pub outcomes: BTreeMap<Outcome, usize>,
    /// CPU time of what was built or failed in this run.
    pub spent_cpu_ms: u64,
    /// CPU time that outcomes from caches took when they were made.
    pub saved_cpu_ms: u64,
}

impl Totals {
    /// How many cells came to an end.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> usize {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }
}
