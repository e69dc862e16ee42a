//! A job graph, run in parallel under one token pool.
//!
//! [`GraphBuilder`] makes an immutable, acyclic [`Graph`] of jobs, each with a payload of the caller's. [`run`] drives
//! it through an [`Executor`], the calling thread being the one coordinator, and tells a sink of every [`Event`].
//! A [`TokenPool`] is the GNU make jobserver that all local jobs and every `make` below them share. [`run_process`]
//! runs one child process with limits, for use inside a local job.
//!
//! The crate knows nothing of what a job does, and it never prints, exits or reads the environment. What it promises
//! and why: docs/scheduling.md.

mod admission;
mod cancel;
mod event;
mod executor;
mod graph;
mod job;
mod local;
mod memory;
mod process;
mod ready;
mod report;
mod run;
mod state;
mod task;
mod tokens;

pub use cancel::{CancelToken, Listening};
pub use event::Event;
pub use executor::Executor;
pub use graph::{CycleError, Graph, GraphBuilder};
pub use job::{Estimate, JobId};
pub use local::{LocalExecutor, WorkerError};
pub use memory::MemoryGuard;
pub use process::{
    OnLine, PhaseChannel, Phases, ProcessError, ProcessExit, ProcessSpec, StopReason, Usage,
    run_process,
};
pub use report::{Counts, RunReport};
pub use run::{OnFailure, RunOptions, run};
pub use state::JobState;
pub use task::{Task, Verdict};
pub use tokens::{Repair, Token, TokenError, TokenPool};
