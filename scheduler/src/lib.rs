//! A job graph, run in parallel under one token pool.
//!
//! [`GraphBuilder`] makes an immutable, acyclic [`Graph`] of jobs, each with a payload of the caller's. [`run`] drives
//! it through one or two [`Lanes`] of [`Executor`]s, the calling thread being the one coordinator, and tells a sink of every
//! [`Event`]. A [`TokenPool`] is what all local jobs share, and every `make` below them by a GNU make jobserver for each job.
//! [`run_process`] runs one child process with limits, for use inside a local job.
//!
//! ```
//! use std::num::NonZeroUsize;
//! use std::sync::Arc;
//!
//! use kiln_scheduler::{
//!     CancelToken, Estimate, Event, GraphBuilder, Lanes, LocalExecutor, RunOptions, Task, TokenPool, Verdict, run,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut plan = GraphBuilder::new();
//! let library = plan.add("library", Estimate::default());
//! let driver = plan.add("driver", Estimate::default());
//! plan.depend(driver, library);
//! let graph = Arc::new(plan.build()?);
//!
//! let cores = NonZeroUsize::new(2).expect("two is not zero");
//! let tokens = TokenPool::new(cores);
//! let executor = LocalExecutor::new(cores, |task: &Task<&str, usize>| Verdict::Succeeded(task.payload().len()))?;
//! let lanes = Lanes::local(&executor);
//! let mut outcomes = Vec::new();
//! let report = run(graph, lanes, &tokens, RunOptions::default(), &CancelToken::new(), &mut |event| {
//!     if let Event::Finished { outcome, .. } = event {
//!         outcomes.extend(outcome);
//!     }
//! });
//! assert!(report.all_succeeded());
//! assert_eq!(outcomes, [7, 6]);
//! # Ok(())
//! # }
//! ```
//!
//! The crate knows nothing of what a job does, and it never prints, exits or reads the environment. What it promises
//! and why: docs/scheduling.md.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod admission;
mod bell;
mod cancel;
mod descriptors;
mod event;
mod executor;
mod graph;
mod inbox;
mod job;
mod lane;
mod local;
mod memory;
mod process;
mod ready;
mod report;
mod run;
mod state;
mod task;
mod task_queue;
mod tokens;

pub use bell::Bell;
pub use cancel::{CancelToken, Listening};
pub use event::Event;
pub use executor::{Executor, Lanes};
pub use graph::{CycleError, Graph, GraphBuilder};
pub use job::{Estimate, JobId};
pub use lane::{Lane, Place, Placement};
pub use local::{LocalExecutor, WorkerError};
pub use memory::MemoryGuard;
pub use process::{
    OnLine, PhaseChannel, Phases, ProcessError, ProcessExit, ProcessSpec, StopReason, Usage,
    run_process,
};
pub use report::{Counts, RunReport};
pub use run::{OnFailure, RunOptions, run};
pub use state::JobState;
pub use task::{HandBack, Task, Verdict};
pub use tokens::{Loan, Token, TokenError, TokenPool};
