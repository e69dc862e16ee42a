//! The jobs that may start, the most urgent first.
//!
//! Order: longest remaining path first, ties by job id, so that it is the same on every machine. A lane chooses among the
//! jobs that allow it: those that allow no other, and those that allow both.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::graph::Graph;
use crate::job::JobId;
use crate::lane::{Lane, Placement};

/// How a job compares to others: the greater starts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Urgency {
    remaining: u64,
    job: Reverse<JobId>,
}

impl Urgency {
    pub(crate) fn of<P>(graph: &Graph<P>, job: JobId) -> Self {
        Self {
            remaining: graph.remaining_nanos(job),
            job: Reverse(job),
        }
    }
}

/// A priority queue of job ids, in parts by placement.
#[derive(Debug, Default)]
pub(crate) struct ReadyQueue {
    parts: [BinaryHeap<Urgency>; 3],
}

impl ReadyQueue {
    /// Makes a queue of many jobs at once, in linear time, each with the placement that the graph gives it.
    pub(crate) fn of<P>(graph: &Graph<P>, jobs: impl Iterator<Item = JobId>) -> Self {
        let mut parts: [Vec<Urgency>; 3] = Default::default();
        for job in jobs {
            parts[part(graph.placement(job))].push(Urgency::of(graph, job));
        }
        Self {
            parts: parts.map(BinaryHeap::from),
        }
    }

    pub(crate) fn push<P>(&mut self, graph: &Graph<P>, job: JobId, placement: Placement) {
        self.parts[part(placement)].push(Urgency::of(graph, job));
    }

    /// Returns how urgent the most urgent job is that allows the lane.
    pub(crate) fn peek(&self, lane: Lane) -> Option<Urgency> {
        self.parts[self.leading(lane)].peek().copied()
    }

    /// Takes the most urgent job that allows the lane.
    pub(crate) fn pop(&mut self, lane: Lane) -> Option<JobId> {
        let leading = self.leading(lane);
        self.parts[leading].pop().map(|urgency| urgency.job.0)
    }

    /// Takes the most urgent job of exactly this placement.
    pub(crate) fn pop_placed(&mut self, placement: Placement) -> Option<JobId> {
        self.parts[part(placement)]
            .pop()
            .map(|urgency| urgency.job.0)
    }

    pub(crate) fn has_for(&self, lane: Lane) -> bool {
        !self.parts[self.leading(lane)].is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.iter().all(BinaryHeap::is_empty)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the part that has the lane's most urgent job.
    fn leading(&self, lane: Lane) -> usize {
        let (either, only) = (part(Placement::Either), part(Placement::only(lane)));
        if self.parts[only].peek() > self.parts[either].peek() {
            only
        } else {
            either
        }
    }
}

fn part(placement: Placement) -> usize {
    match placement {
        Placement::Either => 0,
        Placement::LocalOnly => 1,
        Placement::RemoteOnly => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::graph::GraphBuilder;
    use crate::job::Estimate;

    fn lasting(all: &[(u64, Placement)]) -> Graph<()> {
        let mut builder = GraphBuilder::new();
        for &(seconds, placement) in all {
            let duration = Duration::from_secs(seconds);
            let job = builder.add(
                (),
                Estimate {
                    duration,
                    memory: 0,
                },
            );
            builder.place(job, placement);
        }
        builder.build().unwrap()
    }

    fn drained(queue: &mut ReadyQueue, lane: Lane) -> Vec<usize> {
        std::iter::from_fn(|| queue.pop(lane))
            .map(JobId::index)
            .collect()
    }

    #[test]
    fn longest_path_first_then_lowest_id() {
        let graph = lasting(&[1, 3, 2, 3].map(|seconds| (seconds, Placement::Either)));
        let mut queue = ReadyQueue::of(&graph, graph.jobs().skip(1));
        queue.push(&graph, JobId::FIRST, Placement::Either);
        assert_eq!(drained(&mut queue, Lane::Local), [1, 3, 2, 0]);
    }

    #[test]
    fn a_lane_gets_what_allows_it_in_one_order() {
        use Placement::{Either, LocalOnly, RemoteOnly};
        let graph = lasting(&[
            (1, LocalOnly),
            (2, Either),
            (3, RemoteOnly),
            (4, LocalOnly),
            (4, Either),
        ]);
        let mut queue = ReadyQueue::of(&graph, graph.jobs());
        assert_eq!(drained(&mut queue, Lane::Local), [3, 4, 1, 0]);
        assert!(!queue.has_for(Lane::Local) && queue.has_for(Lane::Remote));
        assert_eq!(drained(&mut queue, Lane::Remote), [2]);
        assert!(queue.is_empty());
    }
}
