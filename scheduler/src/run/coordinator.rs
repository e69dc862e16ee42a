//! The loop that owns a run: it hears messages, moves states, and starts what may start.
//!
//! One thread, one owner; everybody else only sends messages. It blocks in one place, on the message channel, for at
//! most [`TICK`]. Invariant: a running local task has its token here, in `running`, so that tokens can be counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::progress::{Consequence, Progress};
use super::{OnFailure, RunOptions};
use crate::admission::{Admission, Moment};
use crate::cancel::CancelToken;
use crate::event::Event;
use crate::executor::Executor;
use crate::graph::Graph;
use crate::inbox::{self, Inbox};
use crate::job::JobId;
use crate::report::RunReport;
use crate::state::JobState;
use crate::task::{Link, Message, Task, Wake};
use crate::tokens::{Token, TokenPool};

/// How often a view may redraw, and how long anything that nobody announces may go unseen.
const TICK: Duration = Duration::from_millis(100);
/// How many messages are taken in before anything new is started.
const BATCH: usize = 4096;

/// All of a run's state.
pub(super) struct Coordinator<'a, P, E: Executor<P> + ?Sized> {
    graph: &'a Graph<P>,
    executor: &'a E,
    slots: usize,
    tokens: &'a TokenPool,
    on_failure: OnFailure,
    cancel: &'a CancelToken,
    sink: &'a mut dyn FnMut(Event<E::Outcome>),
    link: Arc<Link<P, E::Outcome>>,
    messages: Inbox<Message<E::Outcome>>,
    progress: Progress<'a, P>,
    admission: Admission,
    /// What runs, each with its token where the executor needs one.
    running: HashMap<JobId, Option<Token>>,
    /// Tokens of tasks that have just ended; empty whenever the coordinator waits.
    spare: Vec<Token>,
    token_request: Request,
    intake: Intake,
    last_tick: Instant,
    last_repair: Option<Instant>,
}

/// Whether the pool has been asked to tell when a token is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    None,
    Pending,
}

/// Whether new jobs may still start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intake {
    Open,
    /// A job failed under fail-fast.
    Closed,
    Cancelled,
}

impl<'a, P, E> Coordinator<'a, P, E>
where
    P: Send + Sync + 'static,
    E: Executor<P> + ?Sized,
{
    pub(super) fn new(
        graph: &'a Arc<Graph<P>>,
        executor: &'a E,
        tokens: &'a TokenPool,
        options: RunOptions,
        cancel: &'a CancelToken,
        sink: &'a mut dyn FnMut(Event<E::Outcome>),
    ) -> Self {
        let (outbox, messages) = inbox::open();
        Self {
            graph,
            executor,
            slots: executor.slots().max(1),
            tokens,
            on_failure: options.on_failure,
            cancel,
            sink,
            link: Arc::new(Link {
                graph: Arc::clone(graph),
                cancel: cancel.clone(),
                messages: outbox,
            }),
            messages,
            progress: Progress::new(graph),
            admission: Admission::new(options.memory),
            running: HashMap::new(),
            spare: Vec::new(),
            token_request: Request::None,
            intake: Intake::Open,
            last_tick: Instant::now(),
            last_repair: None,
        }
    }

    pub(super) fn run(mut self) -> RunReport {
        let started = Instant::now();
        let outbox = self.link.messages.clone();
        let _listening = self
            .cancel
            .listen(move || outbox.send(Message::Wake(Wake::Cancel)));
        loop {
            self.see_cancellation();
            self.dispatch();
            if self.running.is_empty() && !self.has_candidates() {
                break;
            }
            self.hear();
            self.tick();
        }
        self.repair_tokens();
        let cancelled = self.intake == Intake::Cancelled;
        RunReport {
            states: self.progress.into_states(),
            wall: started.elapsed(),
            cancelled,
        }
    }

    fn has_candidates(&self) -> bool {
        !self.progress.ready.is_empty() || self.admission.has_parked()
    }

    fn see_cancellation(&mut self) {
        let over = self.running.is_empty() && !self.has_candidates();
        if self.intake != Intake::Cancelled && !over && self.cancel.is_cancelled() {
            (self.sink)(Event::Cancelling);
            self.close(Intake::Cancelled);
        }
    }

    /// Lets nothing new start from now on.
    fn close(&mut self, intake: Intake) {
        self.intake = intake;
        self.admission.close();
        let sink = &mut self.sink;
        self.progress
            .close(&mut |consequence| sink(consequence.into()));
    }

    /// Starts jobs while there is one, and a slot, a token and memory for it; then gives back the tokens left over.
    fn dispatch(&mut self) {
        if self.running.is_empty() && self.last_repair.is_none_or(|at| at.elapsed() >= TICK) {
            self.repair_tokens();
        }
        while self.running.len() < self.slots && self.has_candidates() {
            let token = if self.executor.needs_token() {
                let Some(token) = self.take_token() else {
                    break;
                };
                Some(token)
            } else {
                None
            };
            let moment = Moment {
                now: Instant::now(),
                running: self.running.len(),
            };
            let sink = &mut self.sink;
            let waits = &mut |job| sink(Event::MemoryWait { job });
            match self
                .admission
                .choose(self.graph, &mut self.progress.ready, moment, waits)
            {
                Some(job) => self.start(job, token, moment.now),
                None => {
                    self.spare.extend(token);
                    break;
                }
            }
        }
        self.spare.clear();
    }

    fn start(&mut self, job: JobId, token: Option<Token>, now: Instant) {
        self.progress.start(job);
        self.admission.started(self.graph, job, now);
        self.running.insert(job, token);
        (self.sink)(Event::Started { job });
        self.executor.start(Task::new(Arc::clone(&self.link), job));
    }

    /// Takes a token over from a task that ended, or from the pool; failing both, asks to be told of one.
    fn take_token(&mut self) -> Option<Token> {
        if let Some(token) = self.spare.pop().or_else(|| self.tokens.try_acquire()) {
            return Some(token);
        }
        if self.running.is_empty() {
            // Nobody of this run can hold one, so they were lost since the last repair.
            self.repair_tokens();
            if let Some(token) = self.tokens.try_acquire() {
                return Some(token);
            }
        }
        if self.token_request == Request::None {
            self.token_request = Request::Pending;
            let outbox = self.link.messages.clone();
            self.tokens
                .notify_when_available(move || outbox.send(Message::Wake(Wake::Token)));
        }
        None
    }

    /// Restores the pool. Only while nothing runs, so that no child of this run can hold a token.
    fn repair_tokens(&mut self) {
        if self.executor.needs_token() {
            self.spare.clear();
            self.tokens.repair();
            self.last_repair = Some(Instant::now());
        }
    }

    /// Waits for a message or the next tick, and takes in whatever has come by then.
    fn hear(&mut self) {
        let wait = TICK.saturating_sub(self.last_tick.elapsed());
        let Some(first) = self.messages.receive(wait) else {
            return;
        };
        self.take_in(first);
        for _ in 1..BATCH {
            let Some(message) = self.messages.try_receive() else {
                break;
            };
            self.take_in(message);
        }
    }

    fn take_in(&mut self, message: Message<E::Outcome>) {
        match message {
            Message::Phase { job, name } => (self.sink)(Event::Phase { job, name }),
            Message::Finished {
                job,
                state,
                outcome,
                wall,
            } => self.finish(job, state, outcome, wall),
            Message::Wake(Wake::Token) => self.token_request = Request::None,
            Message::Wake(Wake::Cancel) => {}
        }
    }

    fn finish(&mut self, job: JobId, state: JobState, outcome: Option<E::Outcome>, wall: Duration) {
        self.spare.extend(self.running.remove(&job).flatten());
        self.admission.ended(job);
        (self.sink)(Event::Finished {
            job,
            state,
            outcome,
            wall,
        });
        let sink = &mut self.sink;
        self.progress
            .finish(job, state, &mut |consequence| sink(consequence.into()));
        let fail_fast = self.on_failure == OnFailure::FailFast && state != JobState::Succeeded;
        if fail_fast && self.intake == Intake::Open {
            self.close(Intake::Closed);
        }
    }

    fn tick(&mut self) {
        if self.last_tick.elapsed() >= TICK {
            self.last_tick = Instant::now();
            if !self.running.is_empty() {
                (self.sink)(Event::Tick);
            }
        }
    }
}

impl<O> From<Consequence> for Event<O> {
    fn from(consequence: Consequence) -> Self {
        match consequence {
            Consequence::Blocked { job, by } => Self::Blocked { job, by },
            Consequence::Cancelled { job } => Self::Cancelled { job },
        }
    }
}
