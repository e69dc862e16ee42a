//! Runs a graph: the public entry, its options, and nothing of how it is done.

mod coordinator;
mod progress;
mod seats;

use std::sync::Arc;

use crate::cancel::CancelToken;
use crate::event::Event;
use crate::executor::Lanes;
use crate::graph::Graph;
use crate::memory::MemoryGuard;
use crate::report::RunReport;
use crate::tokens::TokenPool;
use coordinator::Coordinator;

/// What a failure means for jobs that do not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// They go on.
    #[default]
    KeepGoing,
    /// Those that run finish; no other starts. An aborted or stranded job counts as a failure.
    FailFast,
}

/// How to run a graph. The default keeps going and guards no memory.
#[derive(Debug, Default)]
pub struct RunOptions {
    /// What a failure means for the rest.
    pub on_failure: OnFailure,
    /// Holds jobs back while memory is short; without it memory is not looked at.
    pub memory: Option<MemoryGuard>,
}

/// Runs every job of a graph and returns when none runs any more.
///
/// The calling thread is the one coordinator: it owns all state, and calls `sink` for each event. A slow sink delays
/// new starts but nothing that runs. When it panics, the panic passes through and running tasks are not awaited.
///
/// A job starts when its dependencies have succeeded and a lane that it allows has a slot; in the local lane also a token
/// must be had and memory must allow it. The one with the longest remaining path starts first. Free slots of the remote
/// lane are filled before those of the local one.
///
/// A failed, aborted or stranded job blocks its transitive dependents and no other. A job that is handed back is ready
/// again. After a cancellation nothing starts, and what runs is awaited.
pub fn run<P, O>(
    graph: Arc<Graph<P>>,
    lanes: Lanes<'_, P, O>,
    tokens: &TokenPool,
    options: RunOptions,
    cancel: &CancelToken,
    sink: &mut dyn FnMut(Event<O>),
) -> RunReport
where
    P: Send + Sync + 'static,
    O: Send + 'static,
{
    Coordinator::new(&graph, lanes, tokens, options, cancel, sink).run()
}
