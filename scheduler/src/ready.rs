//! The jobs that may start, the most urgent first.
//!
//! Order: longest remaining path first, ties by job id, so that it is the same on every machine.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::graph::Graph;
use crate::job::JobId;

/// A priority queue of job ids.
#[derive(Debug, Default)]
pub(crate) struct ReadyQueue {
    heap: BinaryHeap<(u64, Reverse<JobId>)>,
}

impl ReadyQueue {
    /// Makes a queue of many jobs at once, in linear time.
    pub(crate) fn of<P>(graph: &Graph<P>, jobs: impl Iterator<Item = JobId>) -> Self {
        let entries: Vec<_> = jobs
            .map(|job| (graph.remaining_nanos(job), Reverse(job)))
            .collect();
        Self {
            heap: entries.into(),
        }
    }

    pub(crate) fn push<P>(&mut self, graph: &Graph<P>, job: JobId) {
        self.heap.push((graph.remaining_nanos(job), Reverse(job)));
    }

    pub(crate) fn pop(&mut self) -> Option<JobId> {
        self.heap.pop().map(|(_, Reverse(job))| job)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.heap = BinaryHeap::new();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::graph::GraphBuilder;
    use crate::job::Estimate;

    #[test]
    fn longest_path_first_then_lowest_id() {
        let mut builder = GraphBuilder::new();
        for seconds in [1, 3, 2, 3] {
            builder.add(
                (),
                Estimate {
                    duration: Duration::from_secs(seconds),
                    memory: 0,
                },
            );
        }
        let graph = builder.build().unwrap();
        let mut queue = ReadyQueue::of(&graph, graph.jobs().skip(1));
        queue.push(&graph, JobId::FIRST);
        let order: Vec<usize> = std::iter::from_fn(|| queue.pop())
            .map(JobId::index)
            .collect();
        assert_eq!(order, [1, 3, 2, 0]);
    }
}
