//! The graph's side of a run: which jobs are ready, and what an end means for the others.
//!
//! Pure bookkeeping without threads, clocks or tokens. Invariants: a job is in the ready queue or with the coordinator
//! exactly while its state is `Ready`, and only while some open lane may take it.

use std::collections::HashMap;

use crate::graph::Graph;
use crate::job::JobId;
use crate::lane::{Lane, Placement};
use crate::ready::ReadyQueue;
use crate::state::{JobState, StateTable};
use crate::task::HandBack;

/// How many lost attempts of a job are made good in the lane that lost them.
const MAX_RETRIES: u8 = 3;

/// What became of a job as a consequence of something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    Blocked { job: JobId, by: JobId },
    Stranded { job: JobId },
    Cancelled { job: JobId },
}

/// Hears of consequences, in their order.
pub(super) type Tell<'a> = &'a mut dyn FnMut(Consequence);

/// States of all jobs, and the queue of those that may start.
#[derive(Debug)]
pub(super) struct Progress<'g, P> {
    graph: &'g Graph<P>,
    states: StateTable,
    /// Dependencies that have not succeeded, for each job.
    unmet: Vec<u32>,
    pub(super) ready: ReadyQueue,
    /// Jobs that came back for a reason of their own; few.
    returned: HashMap<JobId, Returned>,
    open: [bool; 2],
    starting: Starting,
}

/// What is known of a job that came back.
#[derive(Debug)]
struct Returned {
    retries: u8,
    /// `None` when each lane has refused it.
    placement: Option<Placement>,
}

/// Whether anything may still start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Starting {
    Goes,
    Over,
}

impl<'g, P> Progress<'g, P> {
    /// Starts with every job waiting, except those without dependencies, which are ready, and both lanes open.
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
            returned: HashMap::new(),
            open: [true; 2],
            starting: Starting::Goes,
        }
    }

    /// Tells whether a lane is open and the job may run in it.
    pub(super) fn may_run(&self, job: JobId, lane: Lane) -> bool {
        let allowed = self
            .placement(job)
            .is_some_and(|placement| placement.allows(lane));
        allowed && self.open[lane.index()]
    }

    /// Notes that a job, taken from the ready queue, runs.
    pub(super) fn start(&mut self, job: JobId) {
        advance(&mut self.states, job, JobState::Running);
    }

    /// Notes a running job's end, readies or blocks its dependents, and tells what that means for others.
    pub(super) fn finish(&mut self, job: JobId, state: JobState, tell: Tell<'_>) {
        advance(&mut self.states, job, state);
        if state == JobState::Succeeded {
            self.release_dependents(job, tell);
        } else {
            self.block_dependents(job, tell);
        }
    }

    /// Notes that a running job came back from a lane: it is ready again, or has nowhere left to go.
    pub(super) fn hand_back(&mut self, job: JobId, lane: Lane, why: HandBack, tell: Tell<'_>) {
        advance(&mut self.states, job, JobState::Ready);
        if why != HandBack::LaneLost {
            let given = self.graph.placement(job);
            let returned = self.returned.entry(job).or_insert(Returned {
                retries: 0,
                placement: Some(given),
            });
            if why == HandBack::Retry && returned.retries < MAX_RETRIES {
                returned.retries += 1;
            } else {
                returned.placement = returned
                    .placement
                    .and_then(|placement| placement.without(lane));
            }
        }
        self.admit(job, tell);
    }

    /// Shuts a lane. `aside` are ready jobs that the coordinator has put aside; those that may not start any more, and
    /// all such in the queue, are stranded, the others are in the queue afterwards.
    pub(super) fn shut(&mut self, lane: Lane, aside: Vec<JobId>, tell: Tell<'_>) {
        self.open[lane.index()] = false;
        for job in aside {
            self.admit(job, tell);
        }
        for placement in Placement::ALL {
            if !self.is_startable(placement) {
                while let Some(job) = self.ready.pop_placed(placement) {
                    self.strand(job, tell);
                }
            }
        }
    }

    /// Ends the run early: whatever has not started never will.
    pub(super) fn close(&mut self, tell: Tell<'_>) {
        self.starting = Starting::Over;
        self.ready.clear();
        for job in self.graph.jobs() {
            if matches!(self.states.of(job), JobState::Waiting | JobState::Ready) {
                self.cancel(job, tell);
            }
        }
    }

    pub(super) fn into_states(self) -> Vec<JobState> {
        self.states.into_states()
    }

    fn placement(&self, job: JobId) -> Option<Placement> {
        match self.returned.get(&job) {
            Some(returned) => returned.placement,
            None => Some(self.graph.placement(job)),
        }
    }

    fn is_startable(&self, placement: Placement) -> bool {
        Lane::ALL
            .into_iter()
            .any(|lane| self.open[lane.index()] && placement.allows(lane))
    }

    /// Finds the right place for a job that is ready.
    fn admit(&mut self, job: JobId, tell: Tell<'_>) {
        if self.starting == Starting::Over {
            self.cancel(job, tell);
            return;
        }
        let placement = self
            .placement(job)
            .filter(|&placement| self.is_startable(placement));
        match placement {
            Some(placement) => self.ready.push(self.graph, job, placement),
            None => self.strand(job, tell),
        }
    }

    fn strand(&mut self, job: JobId, tell: Tell<'_>) {
        advance(&mut self.states, job, JobState::Stranded);
        tell(Consequence::Stranded { job });
        self.block_dependents(job, tell);
    }

    fn cancel(&mut self, job: JobId, tell: Tell<'_>) {
        advance(&mut self.states, job, JobState::Cancelled);
        tell(Consequence::Cancelled { job });
    }

    fn release_dependents(&mut self, job: JobId, tell: Tell<'_>) {
        let graph = self.graph;
        for &dependent in graph.dependents(job) {
            let unmet = &mut self.unmet[dependent.index()];
            *unmet -= 1;
            // It may have been cancelled in the meantime.
            if *unmet == 0 && self.states.of(dependent) == JobState::Waiting {
                advance(&mut self.states, dependent, JobState::Ready);
                self.admit(dependent, tell);
            }
        }
    }

    fn block_dependents(&mut self, root: JobId, tell: Tell<'_>) {
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
                progress.ready.pop(Lane::Local),
                progress.ready.pop(Lane::Local),
                progress.ready.pop(Lane::Local)
            ),
            (Some(a), Some(d), None)
        );
        progress.start(a);
        progress.finish(a, JobState::Succeeded, &mut |_| {
            panic!("success has no victims")
        });
        assert_eq!(
            (
                progress.ready.pop(Lane::Local),
                progress.ready.pop(Lane::Local)
            ),
            (Some(b), None)
        );
    }

    #[test]
    fn an_aborted_job_blocks_all_behind_it_and_is_named() {
        let (graph, [a, b, c, d]) = chain_and_single();
        let mut progress = Progress::new(&graph);
        progress.ready.pop(Lane::Local);
        progress.start(a);
        let mut told = Vec::new();
        progress.finish(a, JobState::Aborted, &mut |consequence| {
            told.push(consequence)
        });
        assert_eq!(told, [b, c].map(|job| Consequence::Blocked { job, by: a }));
        assert_eq!(progress.ready.pop(Lane::Local), Some(d));
    }

    #[test]
    fn closing_cancels_what_has_not_started_and_later_ends_change_nothing() {
        let (graph, [a, b, c, d]) = chain_and_single();
        let mut progress = Progress::new(&graph);
        progress.ready.pop(Lane::Local);
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

    #[test]
    fn a_job_handed_back_is_ready_again_where_it_was_not_refused() {
        let (graph, [a, ..]) = chain_and_single();
        let mut progress = Progress::new(&graph);
        for _ in 0..=MAX_RETRIES {
            assert!(progress.may_run(a, Lane::Remote));
            assert_eq!(progress.ready.pop(Lane::Remote), Some(a));
            progress.start(a);
            progress.hand_back(a, Lane::Remote, HandBack::Retry, &mut |_| {
                panic!("it may still run here")
            });
        }
        assert!(!progress.may_run(a, Lane::Remote));
        assert_eq!(progress.ready.pop(Lane::Local), Some(a));
        progress.start(a);
        let mut told = Vec::new();
        progress.hand_back(a, Lane::Local, HandBack::Refused, &mut |consequence| {
            told.push(consequence)
        });
        assert_eq!(told[0], Consequence::Stranded { job: a });
        assert_eq!(told.len(), 3, "and two behind it are blocked");
    }

    #[test]
    fn a_lane_that_shuts_strands_what_only_it_could_take() {
        let mut builder = GraphBuilder::new();
        let jobs = [(); 5].map(|()| builder.add((), Estimate::default()));
        let [either, local, remote, behind, aside] = jobs;
        builder.place(local, Placement::LocalOnly);
        builder.place(remote, Placement::RemoteOnly);
        builder.place(behind, Placement::RemoteOnly);
        builder.depend(behind, either);
        let graph = builder.build().unwrap();
        let mut progress = Progress::new(&graph);
        let mut told = Vec::new();
        progress.shut(Lane::Remote, Vec::new(), &mut |told_now| {
            told.push(told_now)
        });
        assert_eq!(told, [Consequence::Stranded { job: remote }]);
        assert_eq!(progress.ready.pop(Lane::Local), Some(either));
        progress.start(either);
        told.clear();
        progress.finish(either, JobState::Succeeded, &mut |told_now| {
            told.push(told_now)
        });
        assert_eq!(told, [Consequence::Stranded { job: behind }]);
        assert_eq!(progress.ready.pop(Lane::Local), Some(local));
        assert_eq!(progress.ready.pop(Lane::Local), Some(aside));
        told.clear();
        progress.shut(Lane::Local, vec![local, aside], &mut |told_now| {
            told.push(told_now)
        });
        assert_eq!(
            told,
            [local, aside].map(|job| Consequence::Stranded { job })
        );
        assert!(progress.ready.is_empty());
    }

    #[test]
    fn a_job_handed_back_after_the_close_is_cancelled() {
        let (graph, [a, ..]) = chain_and_single();
        let mut progress = Progress::new(&graph);
        progress.ready.pop(Lane::Remote);
        progress.start(a);
        progress.close(&mut |_| {});
        let mut told = Vec::new();
        progress.hand_back(a, Lane::Remote, HandBack::LaneLost, &mut |consequence| {
            told.push(consequence)
        });
        assert_eq!(told, [Consequence::Cancelled { job: a }]);
        assert!(progress.ready.is_empty());
    }
}
