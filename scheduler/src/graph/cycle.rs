//! Finds one cycle in edges that admit no order, and names it with the caller's own payloads.
//!
//! The choice is deterministic: the walk starts at the lowest stuck job and takes the lowest stuck dependency.

use std::fmt::Debug;

use super::adjacency::Adjacency;
use crate::job::JobId;

/// The dependencies run in a circle, so no order exists.
///
/// Building moves the payloads into the graph; those of the cycle are handed back so that the caller can name them.
#[derive(Debug, thiserror::Error)]
#[error("dependency cycle of {} jobs", cycle.len())]
pub struct CycleError<P> {
    /// The jobs of one cycle, each waiting for the next and the last for the first, beginning with the lowest id.
    pub cycle: Vec<(JobId, P)>,
}

/// Reports one cycle among the jobs whose count of unmet dependencies is not zero.
pub(super) fn report<P>(
    dependencies: &Adjacency,
    unmet: &[u32],
    payloads: Vec<P>,
) -> CycleError<P> {
    let cycle = find(dependencies, unmet);
    let mut payloads: Vec<Option<P>> = payloads.into_iter().map(Some).collect();
    let cycle = cycle
        .into_iter()
        .map(|job| {
            (
                job,
                payloads[job.index()]
                    .take()
                    .expect("a cycle visits each job once"),
            )
        })
        .collect();
    CycleError { cycle }
}

fn find(dependencies: &Adjacency, unmet: &[u32]) -> Vec<JobId> {
    let stuck = |job: &JobId| unmet[job.index()] > 0;
    let mut job = JobId::at(
        unmet
            .iter()
            .position(|&count| count > 0)
            .expect("some job is stuck when no order exists"),
    );
    let mut position = vec![None; unmet.len()];
    let mut walk = Vec::new();
    let start = loop {
        if let Some(start) = position[job.index()] {
            break start;
        }
        position[job.index()] = Some(walk.len());
        walk.push(job);
        job = *dependencies
            .of(job)
            .iter()
            .find(|on| stuck(on))
            .expect("a stuck job waits for another stuck job");
    };
    let mut cycle = walk.split_off(start);
    let lowest = (0..cycle.len())
        .min_by_key(|&index| cycle[index])
        .expect("a cycle has a job");
    cycle.rotate_left(lowest);
    cycle
}
