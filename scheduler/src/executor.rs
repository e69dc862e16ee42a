//! The one trait behind which work is done, here or far away.
//!
//! The coordinator counts slots and tokens; an executor only takes what it is given and reports each end through
//! the task.

use crate::task::Task;

/// Takes started jobs and sees to their end.
pub trait Executor<P>: Sync {
    /// What a finished task hands to the sink.
    type Outcome: Send + 'static;

    /// Returns how many tasks it takes at once. It must stay the same during a run; zero is taken as one.
    fn slots(&self) -> usize;

    /// Tells whether each running task must hold a token of the local pool. True for work on this machine's cores,
    /// false for work elsewhere.
    fn needs_token(&self) -> bool;

    /// Takes one task. Called by the coordinator's thread, it must return at once; the task ends when
    /// [`Task::finish`] is called or the task is dropped, on whatever thread.
    fn start(&self, task: Task<P, Self::Outcome>);
}
