//! How long a plan would take, and what it would cost, from what earlier jobs took.
//!
//! The schedule is played through: on every core one job, longest remaining path first, as
//! the scheduler starts them. A job that could use cores that are idle is not credited with
//! them, so a run of few large jobs ends earlier than forecast.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    num::NonZeroUsize,
    time::Duration,
};

use kiln_build::{
    estimates::{Basis, Estimates},
    job_run::graph_of,
    plan::{CellId, CellPlan, Plan},
};
use kiln_scheduler::{Graph, GraphBuilder, JobId};

use super::manifest::Cost;

/// What one job would take.
#[derive(Debug, Clone, Copy)]
pub struct CellForecast {
    /// Processor time.
    pub cpu: Duration,
    /// Where that comes from.
    pub basis: Basis,
}

/// What a plan would take.
#[derive(Debug)]
pub struct Forecast {
    /// Each cell that would run.
    pub cells: BTreeMap<CellId, CellForecast>,
    /// Processor time in all.
    pub cpu: Duration,
    /// From start to end.
    pub wall: Duration,
    /// The longest chain of jobs of which each waits for the one before.
    pub critical_path: Duration,
    /// On so many cores.
    pub cores: NonZeroUsize,
}

/// What processor time costs.
#[derive(Debug, Clone)]
pub struct Price {
    per_hour: f64,
    currency: Option<String>,
}

impl Price {
    /// The manifest's price, if it states one.
    pub fn of(cost: &Cost) -> Option<Self> {
        Some(Self {
            per_hour: cost.cpu_hour?,
            currency: cost.currency.clone(),
        })
    }

    /// What some processor time costs.
    pub fn amount(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() / 3600.0 * self.per_hour
    }

    /// The currency, if the manifest states it.
    pub fn currency(&self) -> Option<&str> {
        self.currency.as_deref()
    }
}

impl Forecast {
    /// Plays the jobs of `plan` through on so many cores.
    pub fn new(plan: &Plan, estimates: &Estimates, cores: NonZeroUsize) -> Self {
        let mut cells = BTreeMap::new();
        let mut jobs: HashMap<CellId, JobId> = HashMap::new();
        let mut builder = GraphBuilder::new();
        for (index, cell) in plan.cells.iter().enumerate() {
            let (CellPlan::Build { .. } | CellPlan::AfterDependencies, Some(spec)) =
                (&cell.plan, &cell.spec)
            else {
                continue;
            };
            let id = CellId::new(index);
            let (estimate, basis) = estimates.of(&plan.subject(id), spec.package.weight());
            let cpu = estimate.duration;
            cells.insert(id, CellForecast { cpu, basis });
            jobs.insert(id, builder.add(id, estimate));
        }
        let graph = graph_of(plan, &jobs, builder);
        let critical = graph.jobs().map(|job| graph.remaining_path(job)).max();
        Self {
            cpu: cells.values().map(|cell| cell.cpu).sum(),
            wall: play(&graph, cores),
            critical_path: critical.unwrap_or_default(),
            cells,
            cores,
        }
    }

    /// How many estimates are no more than guesses.
    pub fn guesses(&self) -> usize {
        let guess = |cell: &&CellForecast| cell.basis == Basis::Guess;
        self.cells.values().filter(guess).count()
    }
}

/// The makespan of list scheduling, longest remaining path first.
fn play<P>(graph: &Graph<P>, cores: NonZeroUsize) -> Duration {
    let mut waiting: HashMap<JobId, usize> = graph
        .jobs()
        .map(|job| (job, graph.dependencies(job).len()))
        .collect();
    let rank = |job: JobId| (graph.remaining_path(job), Reverse(job));
    let mut ready: BinaryHeap<_> = graph
        .jobs()
        .filter(|job| waiting[job] == 0)
        .map(rank)
        .collect();
    let mut running: BinaryHeap<Reverse<(Duration, JobId)>> = BinaryHeap::new();
    let mut now = Duration::ZERO;
    loop {
        while running.len() < cores.get() {
            let Some((_, Reverse(job))) = ready.pop() else {
                break;
            };
            running.push(Reverse((now + graph.estimate(job).duration, job)));
        }
        let Some(Reverse((end, job))) = running.pop() else {
            return now;
        };
        now = end;
        for dependent in graph.dependents(job) {
            if let Some(left) = waiting.get_mut(dependent) {
                *left -= 1;
                if *left == 0 {
                    ready.push(rank(*dependent));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kiln_scheduler::Estimate;

    use super::*;

    #[test]
    fn the_schedule_is_played_through() {
        let seconds = Duration::from_secs;
        let wall = |durations: &[u64], edges: &[(usize, usize)], cores: usize| {
            let mut builder = GraphBuilder::new();
            let jobs: Vec<JobId> = durations
                .iter()
                .map(|n| {
                    let (duration, memory) = (seconds(*n), 0);
                    builder.add((), Estimate { duration, memory })
                })
                .collect();
            for (job, on) in edges {
                builder.depend(jobs[*job], jobs[*on]);
            }
            let graph = builder.build().unwrap();
            play(&graph, NonZeroUsize::new(cores).unwrap())
        };
        assert_eq!(wall(&[], &[], 4), seconds(0));
        assert_eq!(wall(&[3, 1, 2], &[], 1), seconds(6));
        // The longest first: 3 beside 1 and 2.
        assert_eq!(wall(&[1, 2, 3], &[], 2), seconds(3));
        // A chain leaves the second core idle.
        assert_eq!(wall(&[1, 2, 3], &[(1, 0), (2, 1)], 2), seconds(6));
        // What a chain hangs on goes first, however short it is.
        assert_eq!(wall(&[5, 1, 9], &[(2, 1)], 2), seconds(10));
    }
}
