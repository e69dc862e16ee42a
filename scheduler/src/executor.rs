//! The one trait behind which work is done, here or far away, and the lanes of a run.
//!
//! The coordinator counts slots and tokens; an executor only takes what it is given and reports each end through
//! the task.

use std::fmt;

use crate::lane::Lane;
use crate::task::Task;

/// Takes started jobs and sees to their end.
///
/// A task needs no thread while it is under way: an executor may keep thousands and end each from wherever it learns of
/// its end.
pub trait Executor<P>: Sync {
    /// What a finished task hands to the sink.
    type Outcome: Send + 'static;

    /// Returns how many tasks it takes at once. It is asked once a run; zero is taken as one.
    fn slots(&self) -> usize;

    /// Takes one task. Called by the coordinator's thread, it must return at once; the task ends when
    /// [`Task::finish`] is called or the task is dropped, on whatever thread.
    fn start(&self, task: Task<P, Self::Outcome>);

    /// Called by the coordinator's thread each time that it has started all it can and is about to wait. An executor that
    /// gathers tasks, to ask for many in one call, does so here. It must return at once.
    fn flush(&self) {}
}

/// Where the jobs of one run may go: to a local executor, to a remote one, or to both side by side.
pub struct Lanes<'a, P, O> {
    executors: [Option<&'a dyn Executor<P, Outcome = O>>; 2],
}

impl<'a, P, O> Lanes<'a, P, O> {
    /// Runs everything on this machine.
    #[must_use]
    pub fn local(executor: &'a dyn Executor<P, Outcome = O>) -> Self {
        Self {
            executors: [Some(executor), None],
        }
    }

    /// Runs nothing on this machine.
    #[must_use]
    pub fn remote(executor: &'a dyn Executor<P, Outcome = O>) -> Self {
        Self {
            executors: [None, Some(executor)],
        }
    }

    /// Runs jobs in both lanes at the same time.
    #[must_use]
    pub fn both(
        local: &'a dyn Executor<P, Outcome = O>,
        remote: &'a dyn Executor<P, Outcome = O>,
    ) -> Self {
        Self {
            executors: [Some(local), Some(remote)],
        }
    }

    pub(crate) fn of(&self, lane: Lane) -> Option<&'a dyn Executor<P, Outcome = O>> {
        self.executors[lane.index()]
    }
}

impl<P, O> Clone for Lanes<'_, P, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, O> Copy for Lanes<'_, P, O> {}

impl<P, O> fmt::Debug for Lanes<'_, P, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = |lane: &Lane| self.executors[lane.index()].is_some();
        f.debug_list()
            .entries(Lane::ALL.into_iter().filter(present))
            .finish()
    }
}
