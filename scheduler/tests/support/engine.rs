//! Executors that stand for engines elsewhere, and runs in two lanes whose events are held against the promises.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use kiln_scheduler::{
    CancelToken, Event, Executor, Graph, Lane, Lanes, LocalExecutor, RunOptions, RunReport, Task,
    TokenPool, Verdict,
};

use super::audit::Audit;
use super::{count, run_recorded};

/// What the tests' tasks have to say.
pub(crate) type Word = &'static str;

/// An engine that does with each task what a closure says; it may keep it for later.
pub(crate) struct Engine<F> {
    slots: usize,
    take: F,
}

impl<F: Fn(Task<usize, Word>) + Sync> Executor<usize> for Engine<F> {
    type Outcome = Word;

    fn slots(&self) -> usize {
        self.slots
    }

    fn start(&self, task: Task<usize, Word>) {
        (self.take)(task);
    }
}

/// Ends its tasks one by one, in the order in which they came, each time that the coordinator is about to wait.
pub(crate) struct Stepping {
    slots: usize,
    tasks: Mutex<VecDeque<Task<usize, Word>>>,
}

impl Stepping {
    pub(crate) fn new(slots: usize) -> Self {
        let tasks = Mutex::default();
        Self { slots, tasks }
    }
}

impl Executor<usize> for Stepping {
    type Outcome = Word;

    fn slots(&self) -> usize {
        self.slots
    }

    fn start(&self, task: Task<usize, Word>) {
        self.tasks.lock().unwrap().push_back(task);
    }

    fn flush(&self) {
        if let Some(task) = self.tasks.lock().unwrap().pop_front() {
            task.finish(Verdict::Succeeded("stepping"));
        }
    }
}

pub(crate) fn engine<F: Fn(Task<usize, Word>) + Sync>(slots: usize, take: F) -> Engine<F> {
    Engine { slots, take }
}

pub(crate) fn here() -> LocalExecutor<usize, Word> {
    LocalExecutor::new(count(2), |_: &Task<usize, Word>| Verdict::Succeeded("here")).unwrap()
}

/// Runs in both lanes under two tokens, and holds the events against the promises.
pub(crate) fn run_both(
    graph: &Arc<Graph<usize>>,
    local: &dyn Executor<usize, Outcome = Word>,
    remote: &dyn Executor<usize, Outcome = Word>,
    options: RunOptions,
    cancel: &CancelToken,
) -> (RunReport, Vec<Event<Word>>) {
    let tokens = TokenPool::new(count(2));
    let lanes = Lanes::both(local, remote);
    let (report, events) = run_recorded(graph, lanes, &tokens, options, cancel);
    let mut audit = Audit::new(graph, [local.slots(), remote.slots()]);
    events.iter().for_each(|event| audit.hear(event));
    assert_eq!(audit.close(&report), Ok(()));
    assert_eq!(tokens.available(), 2);
    (report, events)
}

pub(crate) fn run_well(
    graph: &Arc<Graph<usize>>,
    remote: &dyn Executor<usize, Outcome = Word>,
) -> (RunReport, Vec<Event<Word>>) {
    let options = RunOptions::default();
    run_both(graph, &here(), remote, options, &CancelToken::new())
}

/// The jobs that were started in a lane, in their order.
pub(crate) fn started_in(events: &[Event<Word>], lane: Lane) -> Vec<usize> {
    let started = |event: &Event<Word>| match event {
        Event::Started { job, place } if place.lane == lane => Some(job.index()),
        _ => None,
    };
    events.iter().filter_map(started).collect()
}
