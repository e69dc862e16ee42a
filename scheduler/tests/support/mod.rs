//! What the tests of a run share: a small graph language, executors with scripted ends, and a run that keeps its events.
//!
//! Each test binary uses a part of it.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod audit;
pub(crate) mod engine;
pub(crate) mod jobserver;

use std::num::NonZeroUsize;
use std::sync::Arc;

use kiln_scheduler::{
    CancelToken, Estimate, Event, Executor, Graph, GraphBuilder, JobId, Lanes, LocalExecutor,
    RunOptions, RunReport, Task, TokenPool, Verdict, run,
};

/// Makes a count for a pool.
pub(crate) fn count(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

/// Makes a graph of jobs that are all alike, with edges "job waits for on" by position. The payload is the position.
pub(crate) fn graph(jobs: usize, edges: &[(usize, usize)]) -> Arc<Graph<usize>> {
    let mut builder = GraphBuilder::new();
    let ids: Vec<JobId> = (0..jobs)
        .map(|job| builder.add(job, Estimate::default()))
        .collect();
    for &(job, on) in edges {
        builder.depend(ids[job], ids[on]);
    }
    Arc::new(builder.build().unwrap())
}

/// Runs a graph and returns the report with all events but ticks.
pub(crate) fn run_recorded<P, O>(
    graph: &Arc<Graph<P>>,
    lanes: Lanes<'_, P, O>,
    tokens: &TokenPool,
    options: RunOptions,
    cancel: &CancelToken,
) -> (RunReport, Vec<Event<O>>)
where
    P: Send + Sync + 'static,
    O: Send + 'static,
{
    let mut events = Vec::new();
    let mut sink = |event| {
        if !matches!(event, Event::Tick) {
            events.push(event);
        }
    };
    let report = run(Arc::clone(graph), lanes, tokens, options, cancel, &mut sink);
    (report, events)
}

/// Runs a closure for each job on a local pool with as many tokens as threads.
pub(crate) fn run_local<O, W>(
    graph: &Arc<Graph<usize>>,
    threads: usize,
    options: RunOptions,
    work: W,
) -> (RunReport, Vec<Event<O>>)
where
    O: Send + 'static,
    W: Fn(&Task<usize, O>) -> Verdict<O> + Send + Sync + 'static,
{
    let executor = LocalExecutor::new(count(threads), work).unwrap();
    let tokens = TokenPool::new(count(threads));
    let result = run_recorded(
        graph,
        Lanes::local(&executor),
        &tokens,
        options,
        &CancelToken::new(),
    );
    assert_eq!(tokens.available(), threads, "all tokens are back");
    result
}

/// Returns the positions of the started jobs in their order.
pub(crate) fn started<O>(events: &[Event<O>]) -> Vec<usize> {
    let started = |event: &Event<O>| {
        if let Event::Started { job, .. } = event {
            Some(job.index())
        } else {
            None
        }
    };
    events.iter().filter_map(started).collect()
}

/// Ends each task where it is started, by a function of its payload.
pub(crate) struct Scripted<F> {
    pub(crate) slots: usize,
    pub(crate) verdict: F,
}

impl<F> Executor<usize> for Scripted<F>
where
    F: Fn(usize) -> Option<Verdict<()>> + Sync,
{
    type Outcome = ();

    fn slots(&self) -> usize {
        self.slots
    }

    /// Drops the task when the script has no verdict.
    fn start(&self, task: Task<usize, ()>) {
        if let Some(verdict) = (self.verdict)(*task.payload()) {
            task.finish(verdict);
        }
    }
}
