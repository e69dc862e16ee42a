//! One direction of the edges as two flat arrays: where each job's neighbours begin, and the neighbours.
//!
//! Rows are ascending and free of duplicates because the edge list that they are made from is.

use crate::job::JobId;

/// One edge: the first job waits for the second.
pub(super) type Edge = (JobId, JobId);

/// The neighbours of every job, in compressed rows.
#[derive(Debug)]
pub(super) struct Adjacency {
    starts: Vec<u32>,
    neighbours: Vec<JobId>,
}

impl Adjacency {
    /// Makes the rows "job -> what it waits for" from edges that are sorted and unique.
    pub(super) fn of_dependencies(jobs: usize, edges: &[Edge]) -> Self {
        Self {
            starts: row_starts(jobs, edges.iter().map(|edge| edge.0)),
            neighbours: edges.iter().map(|edge| edge.1).collect(),
        }
    }

    /// Makes the rows "job -> who waits for it" from edges that are sorted and unique.
    pub(super) fn of_dependents(jobs: usize, edges: &[Edge]) -> Self {
        let starts = row_starts(jobs, edges.iter().map(|edge| edge.1));
        let mut next = starts.clone();
        let mut neighbours = vec![JobId::FIRST; edges.len()];
        for &(job, on) in edges {
            let slot = &mut next[on.index()];
            neighbours[*slot as usize] = job;
            *slot += 1;
        }
        Self { starts, neighbours }
    }

    /// Returns one job's neighbours, ascending.
    pub(super) fn of(&self, job: JobId) -> &[JobId] {
        let row = job.index();
        &self.neighbours[self.starts[row] as usize..self.starts[row + 1] as usize]
    }
}

/// Returns where each row begins, and as a last element where the last one ends.
fn row_starts(jobs: usize, owners: impl Iterator<Item = JobId>) -> Vec<u32> {
    let mut starts = vec![0u32; jobs + 1];
    for owner in owners {
        starts[owner.index() + 1] += 1;
    }
    for row in 0..jobs {
        starts[row + 1] += starts[row];
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_hold_every_edge_in_order() {
        let [a, b, c] = [0, 1, 2].map(JobId::at);
        let edges = [(b, a), (c, a), (c, b)];
        let dependencies = Adjacency::of_dependencies(3, &edges);
        let dependents = Adjacency::of_dependents(3, &edges);
        assert_eq!(
            [a, b, c].map(|job| dependencies.of(job).to_vec()),
            [vec![], vec![a], vec![a, b]]
        );
        assert_eq!(
            [a, b, c].map(|job| dependents.of(job).to_vec()),
            [vec![b, c], vec![c], vec![]]
        );
    }
}
