//! Plans and runs a million jobs that do nothing: 1,000 packages for 1,000 kernels, in chains of three packages.
//!
//!     cargo run --release -p kiln-scheduler --example million [-- local|instant]
//!
//! `local` (default) uses two threads and two tokens, `instant` an executor that ends each task where it is started.
//! Prints the time to plan, the time to run and the peak memory. The bar is 5 s and 1 GiB on two free cores.

#![allow(clippy::disallowed_methods)]
#![allow(
    clippy::print_stdout,
    reason = "a bench reports on its standard output"
)]

use std::error::Error;
use std::fs;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kiln_scheduler::{
    CancelToken, Estimate, Event, Executor, Graph, GraphBuilder, Lanes, LocalExecutor, RunOptions,
    Task, TokenPool, Verdict, run,
};

const PACKAGES: u16 = 1000;
const KERNELS: u16 = 1000;
const CHAIN: u16 = 3;
const CORES: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// One package for one kernel.
struct Pair {
    package: u16,
    kernel: u16,
}

/// Ends each task at once, on the coordinator's thread.
struct Instantly;

impl Executor<Pair> for Instantly {
    type Outcome = ();

    fn slots(&self) -> usize {
        4096
    }

    fn start(&self, task: Task<Pair, ()>) {
        task.finish(Verdict::Succeeded(()));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let graph = Arc::new(plan()?);
    let planned = begun.elapsed();
    let instant = std::env::args()
        .nth(1)
        .is_some_and(|mode| mode == "instant");
    let (ran, finished) = if instant {
        drive(&graph, Lanes::remote(&Instantly))?
    } else {
        let nothing = |task: &Task<Pair, ()>| {
            std::hint::black_box((task.payload().package, task.payload().kernel));
            Verdict::Succeeded(())
        };
        drive(&graph, Lanes::local(&LocalExecutor::new(CORES, nothing)?))?
    };
    println!("jobs  {finished}");
    println!("plan  {planned:.2?}");
    println!("run   {ran:.2?}");
    println!("peak  {} MiB", peak_kib()? / 1024);
    Ok(())
}

fn plan() -> Result<Graph<Pair>, Box<dyn Error>> {
    let mut builder = GraphBuilder::with_capacity(usize::from(PACKAGES) * usize::from(KERNELS));
    for kernel in 0..KERNELS {
        let mut previous = None;
        for package in 0..PACKAGES {
            let duration = Duration::from_millis(u64::from(package % 97) + 1);
            let job = builder.add(
                Pair { package, kernel },
                Estimate {
                    duration,
                    memory: 0,
                },
            );
            if let Some(previous) = previous.filter(|_| package % CHAIN != 0) {
                builder.depend(job, previous);
            }
            previous = Some(job);
        }
    }
    builder
        .build()
        .map_err(|cycle| format!("{} jobs form a cycle", cycle.cycle.len()).into())
}

fn drive(
    graph: &Arc<Graph<Pair>>,
    lanes: Lanes<'_, Pair, ()>,
) -> Result<(Duration, usize), Box<dyn Error>> {
    let tokens = TokenPool::new(CORES);
    let mut finished = 0;
    let mut sink =
        |event: Event<()>| finished += usize::from(matches!(event, Event::Finished { .. }));
    let options = RunOptions::default();
    let report = run(
        Arc::clone(graph),
        lanes,
        &tokens,
        options,
        &CancelToken::new(),
        &mut sink,
    );
    if !report.all_succeeded() {
        return Err(format!("not all jobs succeeded: {:?}", report.counts()).into());
    }
    Ok((report.wall, finished))
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
