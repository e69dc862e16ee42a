//! What there is to do: packages for kernels, as the seed has it, and the least time in which it can be done.

use std::time::Duration;

use fastrand::Rng;
use kiln_scheduler::{Estimate, Graph, GraphBuilder, JobState, Placement};

use super::clock::{SECOND, Time};

/// A job, with all that is going to become of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Until it succeeds or fails by itself.
    pub(crate) lasts: Time,
    pub(crate) fails: bool,
    /// How many of its first attempts the engine loses.
    pub(crate) lost: u8,
    /// Whether the engine takes it at all.
    pub(crate) refused: bool,
}

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) kernels: usize,
    pub(crate) packages: usize,
    pub(crate) odds: Odds,
}

/// How often something is so, of ten thousand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Odds {
    pub(crate) fails: u16,
    pub(crate) lost: u16,
    pub(crate) refused: u16,
    pub(crate) local_only: u16,
    pub(crate) remote_only: u16,
    /// A package that waits for one or two others.
    pub(crate) depends: u16,
    /// A package that was never built before.
    pub(crate) unknown: u16,
}

/// The shortest and the longest package; evenly spread by their logarithm.
const SPREAD: (f64, f64) = (1.0, 300.0);
/// What a package that was never built is taken to last: more than most, since a short job that starts too early costs
/// nothing, and a long one that starts too late, and is then lost, all that it lasts.
const GUESS: Time = 120 * SECOND;
/// How far back a package looks for those it depends on.
const REACH: usize = 20;

struct Package {
    lasts: Time,
    known: bool,
    dependencies: Vec<usize>,
}

/// Makes the jobs of all packages for all kernels. A dependency always has a lower id.
pub(crate) fn draw(rng: &mut Rng, shape: Shape) -> Graph<Job> {
    let odds = shape.odds;
    let packages: Vec<Package> = (0..shape.packages)
        .map(|index| package(rng, odds, index))
        .collect();
    let mut builder = GraphBuilder::with_capacity(shape.kernels * shape.packages);
    for _ in 0..shape.kernels {
        let mut jobs = Vec::with_capacity(packages.len());
        for package in &packages {
            let scale = 0.75 + 0.5 * rng.f64();
            let payload = Job {
                lasts: ((package.lasts as f64) * scale) as Time,
                fails: chance(rng, odds.fails),
                lost: (0..10).take_while(|_| chance(rng, odds.lost)).count() as u8,
                refused: chance(rng, odds.refused),
            };
            let expected = if package.known { package.lasts } else { GUESS };
            let duration = Duration::from_micros(expected);
            let job = builder.add(
                payload,
                Estimate {
                    duration,
                    memory: 0,
                },
            );
            if chance(rng, odds.local_only) {
                builder.place(job, Placement::LocalOnly);
            } else if chance(rng, odds.remote_only) {
                builder.place(job, Placement::RemoteOnly);
            }
            for &on in &package.dependencies {
                builder.depend(job, jobs[on]);
            }
            jobs.push(job);
        }
    }
    builder
        .build()
        .expect("what is added later depends on what was added before")
}

fn package(rng: &mut Rng, odds: Odds, index: usize) -> Package {
    let (shortest, longest) = (SPREAD.0.ln(), SPREAD.1.ln());
    let seconds = (shortest + rng.f64() * (longest - shortest)).exp();
    let mut dependencies = Vec::new();
    if index > 0 && chance(rng, odds.depends) {
        for _ in 0..rng.usize(1..=2) {
            dependencies.push(rng.usize(index.saturating_sub(REACH)..index));
        }
    }
    Package {
        lasts: (seconds * SECOND as f64) as Time,
        known: !chance(rng, odds.unknown),
        dependencies,
    }
}

fn chance(rng: &mut Rng, of_ten_thousand: u16) -> bool {
    rng.u16(0..10_000) < of_ten_thousand
}

/// Returns a time that no schedule can beat, not even one on machines that never fail and wires without delay: the work
/// of all jobs that ended by themselves, shared out evenly, or the longest chain of them.
pub(crate) fn ideal(graph: &Graph<Job>, states: &[JobState], machines: usize) -> Time {
    let mut work = 0;
    let mut earliest = vec![0; graph.len()];
    for job in graph.jobs() {
        if matches!(states[job.index()], JobState::Succeeded | JobState::Failed) {
            let lasts = graph.payload(job).lasts;
            let before = graph.dependencies(job).iter();
            let begins = before.map(|on| earliest[on.index()]).max().unwrap_or(0);
            earliest[job.index()] = begins + lasts;
            work += lasts;
        }
    }
    let chain = earliest.into_iter().max().unwrap_or(0);
    chain.max(work / machines as Time)
}
