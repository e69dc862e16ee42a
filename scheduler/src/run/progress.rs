//! The graph's side of a run: which jobs are ready, and what an end means for the others.
//!
//! Pure bookkeeping without threads, clocks or tokens. Invariant: a job is in the ready queue or with the coordinator
//! exactly while its state is `Ready`.

use crate::graph::Graph;
use crate::job::JobId;
use crate::ready::ReadyQueue;
use crate::state::{JobState, StateTable};

/// What became of a job as a consequence of something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    Blocked { job: JobId, by: JobId },
    Cancelled { job: JobId },
}

/// States of all jobs, and the queue of those that may start.
#[derive(Debug)]
pub(super) struct Progress<'g, P> {
    graph: &'g Graph<P>,
    states: StateTable,
    /// Dependencies that have not succeeded, for each job.
    unmet: Vec<u32>,
    pub(super) ready: ReadyQueue,
}

impl<'g, P> Progress<'g, P> {
    /// Starts with every job waiting, except those without dependencies, which are ready.
    pub(super) fn new(graph: &'g Graph<P>) -> Self {
        let unmet: Vec<u32> = graph
            .jobs()
            .map(|job| graph.dependencies(job).len() as u32)
            .collect();
        let free = || graph.jobs().filter(|job| unmet[job.index()] == 0);
        let ready = ReadyQueue::of(graph, free());
        let mut states = StateTable::new(graph.len());
        for job in free() {
            advance(&mut states, job, JobState::Ready);
        }
        Self {
            graph,
            states,
            unmet,
            ready,
        }
    }

    /// Notes that a job, taken from the ready queue, runs.
    pub(super) fn start(&mut self, job: JobId) {
        advance(&mut self.states, job, JobState::Running);
    }

    /// Notes a running job's end, readies or blocks its dependents, and tells whom it blocked.
    pub(super) fn finish(
        &mut self,
        job: JobId,
        state: JobState,
        tell: &mut dyn FnMut(Consequence),
    ) {
        advance(&mut self.states, job, state);
        if state == JobState::Succeeded {
            self.release_dependents(job);
        } else {
            self.block_dependents(job, tell);
        }
    }

    /// Ends the run early: whatever has not started never will.
    pub(super) fn close(&mut self, tell: &mut dyn FnMut(Consequence)) {
        self.ready.clear();
        for job in self.graph.jobs() {
            if matches!(self.states.of(job), JobState::Waiting | JobState::Ready) {
                advance(&mut self.states, job, JobState::Cancelled);
                tell(Consequence::Cancelled { job });
            }
        }
    }

    pub(super) fn into_states(self) -> Vec<JobState> {
        self.states.into_states()
    }

    fn release_dependents(&mut self, job: JobId) {
        for &dependent in self.graph.dependents(job) {
            let unmet = &mut self.unmet[dependent.index()];
            *unmet -= 1;
            // It may have been cancelled in the meantime.
            if *unmet == 0 && self.states.of(dependent) == JobState::Waiting {
                advance(&mut self.states, dependent, JobState::Ready);
                self.ready.push(self.graph, dependent);
            }
        }
    }

    fn block_dependents(&mut self, root: JobId, tell: &mut dyn FnMut(Consequence)) {
        let mut stuck = vec![root];
        while let Some(job) = stuck.pop() {
            for &dependent in self.graph.dependents(job) {
                if self.states.of(dependent) == JobState::Waiting {
                    advance(&mut self.states, dependent, JobState::Blocked { by: root });
                    tell(Consequence::Blocked {
                        job: dependent,
                        by: root,
                    });
                    stuck.push(dependent);
                }
            }
        }
    }
}

fn advance(states: &mut StateTable, job: JobId, to: JobState) {
    states
        .advance(job, to)
        .expect("the coordinator only makes legal moves, and each task ends once");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::GraphBuilder;
    use crate::job::Estimate;

    /// a <- b <- c, and d alone.
    fn chain_and_single() -> (Graph<()>, [JobId; 4]) {
        let mut builder = GraphBuilder::new();
        let jobs = [(); 4].map(|()| builder.add((), Estimate::default()));
        builder.depend(jobs[1], jobs[0]);
        builder.depend(jobs[2], jobs[1]);
        (builder.build().unwrap(), jobs)
    }

    #[test]
    fn success_readies_the_next_only() {
        let (graph, [a, b, _, d]) = chain_and_single();
        let mut progress = Progress::new(&graph);
        assert_eq!(
            (
                progress.ready.pop(),
                progress.ready.pop(),
                progress.ready.pop()
            ),
            (Some(a), Some(d), None)
        );
        progress.start(a);
        progress.finish(a, JobState::Succeeded, &mut |_| {
            panic!("success has no victims")
        });
        assert_eq!(
            (progress.ready.pop(), progress.ready.pop()),
            (Some(b), None)
        );
    }

    #[test]
    fn an_aborted_job_blocks_all_behind_it_and_is_named() {
        let (graph, [a, b, c, d]) = chain_and_single();
        let mut progress = Progress::new(&graph);
        progress.ready.pop();
        progress.start(a);
        let mut told = Vec::new();
        progress.finish(a, JobState::Aborted, &mut |consequence| {
            told.push(consequence)
        });
        assert_eq!(told, [b, c].map(|job| Consequence::Blocked { job, by: a }));
        assert_eq!(progress.ready.pop(), Some(d));
    }

    #[test]
    fn closing_cancels_what_has_not_started_and_later_ends_change_nothing() {
        let (graph, [a, b, c, d]) = chain_and_single();
        let mut progress = Progress::new(&graph);
        progress.ready.pop();
        progress.start(a);
        let mut told = Vec::new();
        progress.close(&mut |consequence| told.push(consequence));
        assert_eq!(told, [b, c, d].map(|job| Consequence::Cancelled { job }));
        progress.finish(a, JobState::Succeeded, &mut |_| {
            panic!("nothing is left to block")
        });
        assert!(progress.ready.is_empty());
        let cancelled = JobState::Cancelled;
        assert_eq!(
            progress.into_states(),
            [JobState::Succeeded, cancelled, cancelled, cancelled]
        );
    }
}
