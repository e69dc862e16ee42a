//! How many slots and cores were busy over the time of a run.
//!
//! A job's CPU time is spread evenly over the time in which it ran: kiln measures it once, when the job ends.

use serde::{Deserialize, Serialize};

use crate::Run;

/// The most points that a run is described by.
const POINTS: u64 = 400;

/// Use over time: one value for each interval from the start of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CoreUse {
    /// The length of an interval.
    pub interval_ms: u64,
    /// Mean number of jobs that ran.
    pub jobs: Vec<f64>,
    /// Mean number of cores that were busy with them, of this machine and remote ones together.
    pub cores: Vec<f64>,
}

/// Derives the use of cores from when jobs ran and what they took.
#[must_use]
pub fn core_use(run: &Run) -> CoreUse {
    let spans = run.cells.iter().filter_map(|cell| cell.span);
    let last = spans.map(|span| span.end_ms).max().unwrap_or(0);
    let wall = run.wall_ms().max(last);
    if wall == 0 {
        return CoreUse::default();
    }
    let interval_ms = wall.div_ceil(POINTS).max(1);
    let count = usize::try_from(wall.div_ceil(interval_ms)).unwrap_or(usize::MAX);
    let mut used = CoreUse {
        interval_ms,
        jobs: vec![0.0; count],
        cores: vec![0.0; count],
    };
    for cell in &run.cells {
        let Some(span) = cell.span.filter(|span| span.length() > 0) else {
            continue;
        };
        let cpu = cell.cost.map_or(0.0, |cost| cost.cpu_ms as f64) / span.length() as f64;
        for index in (span.start_ms / interval_ms)..=((span.end_ms - 1) / interval_ms) {
            let from = span.start_ms.max(index * interval_ms);
            let to = span.end_ms.min((index + 1) * interval_ms);
            let share = to.saturating_sub(from) as f64 / interval_ms as f64;
            let index = index as usize;
            used.jobs[index] += share;
            if cell.outcome.is_from_this_run() {
                used.cores[index] += share * cpu;
            }
        }
    }
    let round = |values: &mut Vec<f64>| {
        values
            .iter_mut()
            .for_each(|value| *value = (*value * 100.0).round() / 100.0);
    };
    round(&mut used.jobs);
    round(&mut used.cores);
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cell, Cost, Outcome, Span};

    #[test]
    fn use_adds_up() {
        let cell = |start_ms, end_ms, cpu_ms| {
            let mut cell = Cell::new("a", "1", "k", "x", Outcome::Built);
            cell.span = Some(Span { start_ms, end_ms });
            cell.cost = Some(Cost {
                cpu_ms,
                ..Cost::default()
            });
            cell
        };
        let run = Run {
            kiln: String::new(),
            started_ms: 0,
            finished_ms: 1000,
            cores: 2,
            remote_slots: 0,
            protection: String::new(),
            interrupted: false,
            cells: vec![cell(0, 1000, 1000), cell(500, 1000, 250), cell(3, 3, 9)],
        };
        let used = core_use(&run);
        assert_eq!(used.interval_ms, 3);
        assert_eq!((used.jobs[0], used.jobs[250]), (1.0, 2.0));
        assert_eq!((used.cores[0], used.cores[250]), (1.0, 1.5));
        let total: f64 = used.cores.iter().sum::<f64>() * used.interval_ms as f64;
        assert!((total - 1250.0).abs() < 10.0, "{total}");
    }
}
