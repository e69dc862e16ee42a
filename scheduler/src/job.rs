//! What the scheduler knows of a job before it runs: its number and what it is expected to cost.
//!
//! Everything else about a job is the caller's payload, which this crate carries and never looks at.

use std::fmt;
use std::time::Duration;

/// Names one job of one graph.
///
/// Numbers are dense and follow the order in which jobs were added, so a caller may keep its own data in a `Vec`
/// beside the graph. An id means nothing to another graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u32);

impl JobId {
    /// The job that was added first.
    pub(crate) const FIRST: Self = Self(0);

    /// Names the job at a position that the graph is known to have.
    pub(crate) fn at(index: usize) -> Self {
        Self(u32::try_from(index).expect("a graph holds fewer than 2^32 jobs"))
    }

    /// Returns the job's position in the order of addition, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What a job is expected to cost, as known before it runs. The default, all zeros, means unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Wall time. It orders the ready queue, so only its proportion to other jobs matters.
    pub duration: Duration,
    /// Peak memory in bytes. Zero exempts the job from the memory guard.
    pub memory: u64,
}
