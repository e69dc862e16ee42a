//! One run of the real coordinator over the fake world, and whether it ended as the seed says.

use std::num::NonZeroUsize;
use std::sync::Arc;

use fastrand::Rng;
use kiln_scheduler::{
    CancelToken, Event, Graph, JobId, JobState, Lanes, Placement, RunOptions, RunReport, TokenPool,
    run,
};

use super::audit::Audit;
use super::clock::Time;
use super::engine::{Far, Near, Site, World};
use super::plan::{Job, Shape, draw, ideal};

/// How many lost attempts the scheduler makes good in the same lane.
const RETRIES: u8 = 3;

/// What a run came to. Times are virtual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) states: Vec<JobState>,
    pub(crate) makespan: Time,
    /// What no schedule can beat, see [`ideal`].
    pub(crate) ideal: Time,
    /// The work of workers for attempts that were lost.
    pub(crate) wasted: Time,
    pub(crate) attempts: usize,
    pub(crate) handed_back: usize,
}

impl Figures {
    /// The ideal time as a part of the real one.
    pub(crate) fn efficiency(&self) -> f64 {
        self.ideal as f64 / self.makespan as f64
    }

    pub(crate) fn count(&self, condition: impl Fn(JobState) -> bool) -> usize {
        let met = |state: &&JobState| condition(**state);
        self.states.iter().filter(met).count()
    }
}

/// Draws jobs and delays from a seed and runs them.
///
/// # Errors
/// What went another way than the seed and the promises of the scheduler say.
pub(crate) fn simulate(seed: u64, shape: Shape, site: Site) -> Result<Figures, String> {
    let mut rng = Rng::with_seed(seed);
    let graph = Arc::new(draw(&mut rng, shape));
    let world = World::new(site, graph.len(), rng);
    let cores = NonZeroUsize::new(site.cores).ok_or("no cores")?;
    let tokens = TokenPool::new(cores);
    let (near, far) = (Near(&world), Far(&world));
    let mut audit = Audit::new(&graph, [site.cores, site.remote_jobs]);
    let mut foreign = None;
    let report = run(
        Arc::clone(&graph),
        Lanes::both(&near, &far),
        &tokens,
        RunOptions::default(),
        &CancelToken::new(),
        &mut |event| {
            audit.hear(&event);
            if let Event::Finished { job, outcome, .. } = event
                && outcome != Some(job.index())
            {
                foreign = Some(job);
            }
        },
    );
    if let Some(job) = foreign {
        return Err(format!("job {job} ended with another's outcome"));
    }
    if tokens.available() != site.cores {
        return Err("a token is missing".to_owned());
    }
    let (attempts, handed_back) = audit.attempts();
    audit.close(&report)?;
    for job in graph.jobs() {
        check(&graph, &report, site, job)?;
    }
    let (makespan, wasted) = world.spent();
    Ok(Figures {
        ideal: ideal(&graph, &report.states, site.workers + site.cores),
        makespan,
        wasted,
        attempts,
        handed_back,
        states: report.states,
    })
}

/// Compares a job's end with what its own dice and the ends of its dependencies say.
fn check(graph: &Graph<Job>, report: &RunReport, site: Site, job: JobId) -> Result<(), String> {
    let dice = graph.payload(job);
    let succeeded = |on: &JobId| report.state(*on) == JobState::Succeeded;
    let state = report.state(job);
    let far_only = graph.placement(job) == Placement::RemoteOnly;
    let right = if !graph.dependencies(job).iter().all(succeeded) {
        matches!(state, JobState::Blocked { .. })
    } else if far_only && (dice.refused || dice.lost > RETRIES) {
        state == JobState::Stranded
    } else if state == JobState::Stranded {
        far_only && site.dies.is_some()
    } else if dice.fails {
        state == JobState::Failed
    } else {
        state == JobState::Succeeded
    };
    if right {
        Ok(())
    } else {
        Err(format!("job {job} ended as {state:?}: {dice:?}"))
    }
}
