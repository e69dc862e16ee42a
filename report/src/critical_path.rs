//! What kept a run from ending earlier: the chain of jobs that ends with the last one.
//!
//! Each link began when the one before it ended, because it builds on it or because it had to wait for its
//! slot. A change to any other job would not have made the run shorter.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Run, Span};

/// Why a link of the path did not begin earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// It is the first.
    First,
    /// It builds on the link before.
    Dependency,
    /// The link before was in its slot.
    Slot,
}

/// A job on the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The cell, by its place in [`crate::Run::cells`].
    pub cell: usize,
    /// Why it did not begin earlier.
    pub because: Because,
    /// When it ran.
    #[serde(flatten)]
    pub span: Span,
}

/// What decided how long a run took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CriticalPath {
    /// The chain that ends with the last job, first job first.
    pub links: Vec<Link>,
    /// The longest chain of dependencies: no number of slots makes the run shorter than that.
    pub bound_ms: u64,
}

/// Finds what decided how long a run took.
#[must_use]
pub fn critical_path(run: &Run) -> CriticalPath {
    CriticalPath {
        links: links(run),
        bound_ms: bound(run),
    }
}

fn links(run: &Run) -> Vec<Link> {
    let cells = &run.cells;
    let ran = |index: &usize| cells[*index].span.is_some();
    let end = |index: &usize| cells[*index].span.map_or(0, |span| span.end_ms);
    let mut lanes: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, cell) in cells.iter().enumerate() {
        if let (Some(lane), Some(_)) = (cell.lane, cell.span) {
            lanes.entry(lane).or_default().push(index);
        }
    }
    for jobs in lanes.values_mut() {
        jobs.sort_by_key(end);
    }
    let mut links = Vec::new();
    let mut next = (0..cells.len()).filter(ran).max_by_key(end);
    while let Some(index) = next {
        let cell = &cells[index];
        let Some(span) = cell.span else { break };
        let earlier = |other: &usize| {
            *other != index && ran(other) && cells[*other].span.is_some_and(|s| before(s, span))
        };
        let dependency = run
            .dependencies(cell)
            .into_iter()
            .filter(earlier)
            .max_by_key(end);
        let neighbour = cell.lane.and_then(|lane| {
            let jobs = lanes.get(&lane)?;
            let until = jobs.partition_point(|job| end(job) <= span.start_ms);
            jobs[..until].iter().copied().rev().find(|job| earlier(job))
        });
        let because = match (dependency, neighbour) {
            (Some(one), Some(other)) if end(&one) < end(&other) => Some((other, Because::Slot)),
            (Some(one), _) => Some((one, Because::Dependency)),
            (None, Some(other)) => Some((other, Because::Slot)),
            (None, None) => None,
        };
        links.push(Link {
            cell: index,
            because: because.map_or(Because::First, |(_, because)| because),
            span,
        });
        next = because.map(|(before, _)| before);
    }
    links.reverse();
    links
}

/// Whether one stretch is over when another begins; two empty ones at the same time are not.
fn before(one: Span, other: Span) -> bool {
    one.end_ms <= other.start_ms && one != other
}

fn bound(run: &Run) -> u64 {
    let cells = &run.cells;
    let length = |index: usize| cells[index].span.map_or(0, Span::length);
    let mut order: Vec<usize> = (0..cells.len()).collect();
    order.sort_by_key(|index| cells[*index].span.map_or(0, |span| span.start_ms));
    let mut chains = vec![0; cells.len()];
    for index in order {
        let below = run
            .dependencies(&cells[index])
            .into_iter()
            .map(|one| chains[one])
            .max();
        chains[index] = below.unwrap_or(0) + length(index);
    }
    chains.into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cell, Lane, Outcome, Place};

    fn job(slot: u32, start_ms: u64, end_ms: u64, dependencies: &[usize]) -> Cell {
        let mut cell = Cell::new("a", "1", "k", "x", Outcome::Built);
        cell.span = Some(Span { start_ms, end_ms });
        cell.lane = Some(Lane {
            place: Place::Local,
            slot,
        });
        cell.dependencies = dependencies.to_vec();
        cell
    }

    fn run(cells: impl Into<Vec<Cell>>) -> Run {
        Run {
            kiln: String::new(),
            started_ms: 0,
            finished_ms: 0,
            cores: 2,
            remote_slots: 0,
            protection: String::new(),
            interrupted: false,
            cells: cells.into(),
        }
    }

    #[test]
    fn the_path_goes_back_over_slots_and_dependencies() {
        let run = run([
            job(0, 0, 100, &[]),
            job(1, 0, 40, &[]),
            job(1, 100, 180, &[0]),
            job(0, 180, 300, &[1]),
            job(1, 180, 400, &[]),
        ]);
        let found = links(&run);
        let path: Vec<_> = found.iter().map(|link| (link.cell, link.because)).collect();
        assert_eq!(
            path,
            [
                (0, Because::First),
                (2, Because::Dependency),
                (4, Because::Slot)
            ]
        );
        assert_eq!(bound(&run), 220);
    }

    #[test]
    fn jobs_without_length_make_no_circle() {
        let jobs = [job(0, 5, 5, &[1]), job(0, 5, 5, &[0]), job(0, 5, 9, &[7])];
        assert_eq!(links(&run(jobs)).len(), 2);
        assert!(links(&run([])).is_empty());
    }
}
