//! The plan: an immutable, acyclic graph of jobs in two compressed adjacency arrays.
//!
//! It is made by [`GraphBuilder`] alone, which rejects cycles; whoever holds a [`Graph`] may rely on every chain of
//! dependencies ending. It knows nothing of states or of running.

mod adjacency;
mod builder;
mod cycle;

use std::time::Duration;

pub use builder::GraphBuilder;
pub use cycle::CycleError;

use crate::job::{Estimate, JobId};
use crate::lane::Placement;
use adjacency::Adjacency;

/// An acyclic graph of jobs, each with a payload of the caller's.
///
/// A job takes about 40 bytes beside its payload, an edge 8.
#[derive(Debug)]
pub struct Graph<P> {
    payloads: Vec<P>,
    estimates: Vec<Estimate>,
    /// As long as it must be for the last job that has another placement than the default.
    placements: Vec<Placement>,
    dependencies: Adjacency,
    dependents: Adjacency,
    /// Nanoseconds, saturating: half the size of a `Duration`, and it is what the ready queue compares.
    remaining: Vec<u64>,
}

impl<P> Graph<P> {
    /// Returns the number of jobs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.payloads.len()
    }

    /// Tells whether the graph has no job.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    /// Iterates over all jobs in the order of addition.
    pub fn jobs(&self) -> impl ExactSizeIterator<Item = JobId> + use<P> {
        (0..self.len()).map(JobId::at)
    }

    /// Returns what the caller attached to the job.
    ///
    /// # Panics
    /// Here and below, when the id is of another, larger graph.
    #[must_use]
    pub fn payload(&self, job: JobId) -> &P {
        &self.payloads[job.index()]
    }

    /// Returns what the job is expected to cost.
    #[must_use]
    pub fn estimate(&self, job: JobId) -> Estimate {
        self.estimates[job.index()]
    }

    /// Returns in which lanes the job may run.
    #[must_use]
    pub fn placement(&self, job: JobId) -> Placement {
        assert!(job.index() < self.len(), "{job} is not a job of this graph");
        self.placements
            .get(job.index())
            .copied()
            .unwrap_or_default()
    }

    /// Returns the jobs that must succeed before this one starts, ascending, each once.
    #[must_use]
    pub fn dependencies(&self, job: JobId) -> &[JobId] {
        self.dependencies.of(job)
    }

    /// Returns the jobs that wait for this one, ascending, each once.
    #[must_use]
    pub fn dependents(&self, job: JobId) -> &[JobId] {
        self.dependents.of(job)
    }

    /// Returns the longest path by estimated duration from this job, itself included, to a job that none waits for.
    ///
    /// Saturates at `u64::MAX` nanoseconds, about 584 years.
    #[must_use]
    pub fn remaining_path(&self, job: JobId) -> Duration {
        Duration::from_nanos(self.remaining[job.index()])
    }

    pub(crate) fn remaining_nanos(&self, job: JobId) -> u64 {
        self.remaining[job.index()]
    }
}
