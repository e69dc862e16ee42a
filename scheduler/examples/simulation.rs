//! Runs 100,000 jobs on a fake engine of 2,000 workers and on 8 cores here, in virtual time.
//!
//!     cargo run --release -p kiln-scheduler --example simulation [-- SEED]
//!
//! The engine loses attempts, workers and the time on the wire; jobs fail, are refused, or may run in one lane only.
//! Prints the virtual time, the time that no schedule can beat, their ratio, the real time and the peak memory. Ends with
//! an error when any job ended otherwise than the seed says. The bars are 97 % and 1 GiB.

#![allow(clippy::disallowed_methods)]
#![allow(
    clippy::print_stdout,
    reason = "a bench reports on its standard output"
)]

#[path = "../tests/simulation/world/mod.rs"]
mod world;

use std::error::Error;
use std::fs;
use std::time::Instant;

use kiln_scheduler::JobState;
use world::{Odds, SECOND, Shape, Site, simulate};

const SHAPE: Shape = Shape {
    kernels: 100,
    packages: 1000,
    odds: Odds {
        fails: 200,
        lost: 50,
        refused: 5,
        local_only: 5,
        remote_only: 10,
        depends: 1500,
        unknown: 500,
    },
};

const SITE: Site = Site {
    workers: 2000,
    remote_jobs: 2100,
    cores: 8,
    dies: None,
};

fn main() -> Result<(), Box<dyn Error>> {
    let seed = match std::env::args().nth(1) {
        Some(seed) => seed.parse()?,
        None => 1,
    };
    let begun = Instant::now();
    let figures = simulate(seed, SHAPE, SITE)?;
    let ran = begun.elapsed();
    let seconds = |time: u64| time as f64 / SECOND as f64;
    println!("jobs      {}", figures.states.len());
    println!("attempts  {}", figures.attempts);
    println!("back      {}", figures.handed_back);
    println!(
        "failed    {}",
        figures.count(|state| state == JobState::Failed)
    );
    println!(
        "blocked   {}",
        figures.count(|state| matches!(state, JobState::Blocked { .. }))
    );
    println!("makespan  {:.1}s", seconds(figures.makespan));
    println!("ideal     {:.1}s", seconds(figures.ideal));
    println!("wasted    {:.1}s", seconds(figures.wasted));
    println!("reached   {:.2} %", 100.0 * figures.efficiency());
    println!("real      {ran:.2?}");
    println!("peak      {} MiB", peak_kib()? / 1024);
    Ok(())
}

/// Reads this process's peak resident memory.
fn peak_kib() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .ok_or("no VmHWM line")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
