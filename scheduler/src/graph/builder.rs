//! Collects jobs and edges in any order and turns them into a [`Graph`], or into the cycle that forbids it.
//!
//! The only place where a graph is made. Duplicate edges are dropped here so that nothing later needs to mind them.

use std::time::Duration;

use super::Graph;
use super::adjacency::{Adjacency, Edge};
use super::cycle::{self, CycleError};
use crate::job::{Estimate, JobId};
use crate::lane::Placement;

/// Collects jobs and their dependencies.
#[derive(Debug)]
pub struct GraphBuilder<P> {
    payloads: Vec<P>,
    estimates: Vec<Estimate>,
    placements: Vec<Placement>,
    edges: Vec<Edge>,
}

impl<P> Default for GraphBuilder<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> GraphBuilder<P> {
    /// Makes an empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// Makes an empty builder with room for a number of jobs.
    #[must_use]
    pub fn with_capacity(jobs: usize) -> Self {
        Self {
            payloads: Vec::with_capacity(jobs),
            estimates: Vec::with_capacity(jobs),
            placements: Vec::new(),
            edges: Vec::new(),
        }
    }

    /// Adds a job and returns its id. Jobs of equal priority start in the order of addition.
    ///
    /// # Panics
    /// At 2^32 jobs.
    pub fn add(&mut self, payload: P, estimate: Estimate) -> JobId {
        let job = JobId::at(self.payloads.len());
        self.payloads.push(payload);
        self.estimates.push(estimate);
        job
    }

    /// Says in which lanes a job may run. Without it, in either.
    ///
    /// # Panics
    /// When the id was not returned by this builder's [`add`](Self::add).
    pub fn place(&mut self, job: JobId, placement: Placement) {
        let (index, known) = (job.index(), self.payloads.len());
        assert!(index < known, "{job} is not a job of this graph");
        if index >= self.placements.len() {
            self.placements.resize(index + 1, Placement::default());
        }
        self.placements[index] = placement;
    }

    /// Lets `job` wait until `on` has succeeded. The same edge may be given more than once; an edge from a job to
    /// itself is a cycle, reported by [`build`](Self::build).
    ///
    /// # Panics
    /// When either id was not returned by this builder's [`add`](Self::add).
    pub fn depend(&mut self, job: JobId, on: JobId) {
        let known = self.payloads.len();
        assert!(
            job.index() < known && on.index() < known,
            "{job} or {on} is not a job of this graph"
        );
        self.edges.push((job, on));
    }

    /// Freezes the graph and computes every job's remaining path.
    ///
    /// # Errors
    /// [`CycleError`] with the payloads of one cycle when there is any.
    pub fn build(mut self) -> Result<Graph<P>, CycleError<P>> {
        let jobs = self.payloads.len();
        self.edges.sort_unstable();
        self.edges.dedup();
        let dependencies = Adjacency::of_dependencies(jobs, &self.edges);
        let dependents = Adjacency::of_dependents(jobs, &self.edges);
        drop(std::mem::take(&mut self.edges));
        let order = match topological_order(jobs, &dependencies, &dependents) {
            Ok(order) => order,
            Err(unmet) => return Err(cycle::report(&dependencies, &unmet, self.payloads)),
        };
        let remaining = remaining_paths(&self.estimates, &order, &dependents);
        Ok(Graph {
            payloads: self.payloads,
            estimates: self.estimates,
            placements: self.placements,
            dependencies,
            dependents,
            remaining,
        })
    }
}

/// Orders the jobs so that each comes after its dependencies, or returns how many dependencies each job still misses.
fn topological_order(
    jobs: usize,
    dependencies: &Adjacency,
    dependents: &Adjacency,
) -> Result<Vec<JobId>, Vec<u32>> {
    let mut unmet: Vec<u32> = (0..jobs)
        .map(|job| dependencies.of(JobId::at(job)).len() as u32)
        .collect();
    let mut order = Vec::with_capacity(jobs);
    order.extend(
        (0..jobs)
            .map(JobId::at)
            .filter(|job| unmet[job.index()] == 0),
    );
    let mut next = 0;
    while let Some(&job) = order.get(next) {
        next += 1;
        for &dependent in dependents.of(job) {
            let left = &mut unmet[dependent.index()];
            *left -= 1;
            if *left == 0 {
                order.push(dependent);
            }
        }
    }
    if order.len() == jobs {
        Ok(order)
    } else {
        Err(unmet)
    }
}

/// Computes each job's longest path to a sink, in nanoseconds.
fn remaining_paths(estimates: &[Estimate], order: &[JobId], dependents: &Adjacency) -> Vec<u64> {
    let mut remaining = vec![0u64; estimates.len()];
    for &job in order.iter().rev() {
        let longest = dependents
            .of(job)
            .iter()
            .map(|next| remaining[next.index()])
            .max()
            .unwrap_or(0);
        remaining[job.index()] = nanos(estimates[job.index()].duration).saturating_add(longest);
    }
    remaining
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lasting(seconds: u64) -> Estimate {
        Estimate {
            duration: Duration::from_secs(seconds),
            memory: 0,
        }
    }

    #[test]
    fn remaining_path_takes_the_longer_branch() {
        let mut builder = GraphBuilder::new();
        let root = builder.add("root", lasting(1));
        let short = builder.add("short", lasting(2));
        let long = builder.add("long", lasting(5));
        builder.depend(short, root);
        builder.depend(long, root);
        let graph = builder.build().unwrap();
        assert_eq!(graph.remaining_path(root), Duration::from_secs(6));
        assert_eq!(graph.remaining_path(short), Duration::from_secs(2));
        assert_eq!(graph.remaining_path(long), Duration::from_secs(5));
    }

    #[test]
    fn endless_estimates_saturate() {
        let mut builder = GraphBuilder::new();
        let first = builder.add(
            (),
            Estimate {
                duration: Duration::MAX,
                memory: 0,
            },
        );
        let second = builder.add(
            (),
            Estimate {
                duration: Duration::MAX,
                memory: 0,
            },
        );
        builder.depend(second, first);
        assert_eq!(
            builder.build().unwrap().remaining_path(first),
            Duration::from_nanos(u64::MAX)
        );
    }

    #[test]
    fn duplicate_edges_count_once() {
        let mut builder = GraphBuilder::new();
        let first = builder.add((), Estimate::default());
        let second = builder.add((), Estimate::default());
        builder.depend(second, first);
        builder.depend(second, first);
        let graph = builder.build().unwrap();
        assert_eq!(graph.dependencies(second), [first]);
        assert_eq!(graph.dependents(first), [second]);
    }

    #[test]
    #[should_panic(expected = "not a job of this graph")]
    fn a_foreign_id_is_refused() {
        let mut other = GraphBuilder::new();
        other.add((), Estimate::default());
        let foreign = other.add((), Estimate::default());
        let mut builder = GraphBuilder::new();
        let own = builder.add((), Estimate::default());
        builder.depend(own, foreign);
    }
}
