//! The loop that owns a run: it hears messages, moves states, and starts what may start.
//!
//! One thread, one owner; everybody else only sends messages. It blocks in one place, on the message channel, for at
//! most [`TICK`]. Invariants: a running local task has its token here, in its seat, so that tokens can be counted; and a
//! message counts only while its task has a seat.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::progress::{Consequence, Progress, Tell};
use super::seats::{Seat, Seats};
use super::{OnFailure, RunOptions};
use crate::admission::{Admission, Moment};
use crate::cancel::CancelToken;
use crate::event::Event;
use crate::executor::Lanes;
use crate::graph::Graph;
use crate::inbox::{self, Inbox};
use crate::job::JobId;
use crate::lane::{Lane, Place};
use crate::report::RunReport;
use crate::state::JobState;
use crate::task::{HandBack, Link, Message, Task, Verdict};
use crate::tokens::{Token, TokenPool};

/// How often a view may redraw, and how long anything that nobody announces may go unseen.
const TICK: Duration = Duration::from_millis(100);
/// How many messages are taken in before anything new is started.
const BATCH: usize = 4096;

/// All of a run's state.
pub(super) struct Coordinator<'a, P, O> {
    graph: &'a Graph<P>,
    lanes: Lanes<'a, P, O>,
    tokens: &'a TokenPool,
    on_failure: OnFailure,
    cancel: &'a CancelToken,
    sink: &'a mut dyn FnMut(Event<O>),
    link: Arc<Link<P, O>>,
    messages: Inbox<Message<O>>,
    progress: Progress<'a, P>,
    admission: Admission,
    /// What runs, by lane.
    seats: [Seats; 2],
    /// Tokens of tasks that have just ended, and one that was asked for; empty whenever the coordinator waits.
    spare: Vec<Token>,
    token_request: Request,
    intake: Intake,
    last_tick: Instant,
}

/// Whether the pool has been asked for a token.
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

impl<'a, P, O> Coordinator<'a, P, O>
where
    P: Send + Sync + 'static,
    O: Send + 'static,
{
    pub(super) fn new(
        graph: &'a Arc<Graph<P>>,
        lanes: Lanes<'a, P, O>,
        tokens: &'a TokenPool,
        options: RunOptions,
        cancel: &'a CancelToken,
        sink: &'a mut dyn FnMut(Event<O>),
    ) -> Self {
        let (outbox, messages) = inbox::open();
        let capacity = |lane| lanes.of(lane).map_or(0, |executor| executor.slots().max(1));
        Self {
            graph,
            lanes,
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
            seats: Lane::ALL.map(|lane| Seats::new(lane, capacity(lane))),
            spare: Vec::new(),
            token_request: Request::None,
            intake: Intake::Open,
            last_tick: Instant::now(),
        }
    }

    pub(super) fn run(mut self) -> RunReport {
        let started = Instant::now();
        let outbox = self.link.messages.clone();
        let _listening = self.cancel.listen(move || outbox.send(Message::Cancelled));
        for lane in Lane::ALL {
            if self.lanes.of(lane).is_none() {
                self.apply(|progress, tell| progress.shut(lane, Vec::new(), tell));
            }
        }
        loop {
            self.see_cancellation();
            self.dispatch();
            if self.is_over() {
                break;
            }
            self.flush();
            self.hear();
            self.evacuate();
            self.tick();
        }
        let cancelled = self.intake == Intake::Cancelled;
        RunReport {
            states: self.progress.into_states(),
            wall: started.elapsed(),
            cancelled,
        }
    }

    fn is_over(&self) -> bool {
        let startable = !self.progress.ready.is_empty() || self.admission.has_parked();
        self.running() == 0 && !startable
    }

    fn running(&self) -> usize {
        self.seats.iter().map(Seats::taken).sum()
    }

    fn see_cancellation(&mut self) {
        if self.intake != Intake::Cancelled && self.cancel.is_cancelled() && !self.is_over() {
            (self.sink)(Event::Cancelling);
            self.close(Intake::Cancelled);
        }
    }

    /// Lets nothing new start from now on.
    fn close(&mut self, intake: Intake) {
        self.intake = intake;
        self.admission.close();
        self.apply(|progress, tell| progress.close(tell));
    }

    /// Changes the progress and passes on what follows from it.
    fn apply(&mut self, change: impl FnOnce(&mut Progress<'a, P>, Tell<'_>)) {
        let sink = &mut self.sink;
        let mut stranded = false;
        change(&mut self.progress, &mut |consequence| {
            stranded |= matches!(consequence, Consequence::Stranded { .. });
            sink(consequence.into());
        });
        if stranded {
            self.note_failure();
        }
    }

    fn note_failure(&mut self) {
        if self.on_failure == OnFailure::FailFast && self.intake == Intake::Open {
            self.close(Intake::Closed);
        }
    }

    /// Starts jobs while there is one, and a place for it; then gives back the tokens left over.
    fn dispatch(&mut self) {
        self.fill_remote();
        self.fill_local();
        self.spare.clear();
    }

    fn fill_remote(&mut self) {
        while self.seats(Lane::Remote).has_room() {
            let Some(job) = self
                .put_aside_for_memory()
                .or_else(|| self.progress.ready.pop(Lane::Remote))
            else {
                break;
            };
            self.start(job, Lane::Remote, None, Instant::now());
        }
    }

    /// Takes a job that waits for this machine's memory, if the remote lane may take it and has none more urgent.
    fn put_aside_for_memory(&mut self) -> Option<JobId> {
        if !self.admission.has_parked() {
            return None;
        }
        let progress = &self.progress;
        let otherwise = progress.ready.peek(Lane::Remote);
        let may = |job| progress.may_run(job, Lane::Remote);
        self.admission.release(self.graph, otherwise, may)
    }

    /// Starts local jobs while there is one, and a slot, a token and memory for it.
    fn fill_local(&mut self) {
        while self.seats(Lane::Local).has_room()
            && (self.progress.ready.has_for(Lane::Local) || self.admission.has_parked())
        {
            let Some(token) = self.take_token() else {
                break;
            };
            let moment = Moment {
                now: Instant::now(),
                running: self.seats(Lane::Local).taken(),
            };
            let sink = &mut self.sink;
            let waits = &mut |job| sink(Event::MemoryWait { job });
            match self
                .admission
                .choose(self.graph, &mut self.progress.ready, moment, waits)
            {
                Some(job) => {
                    self.admission.started(self.graph, job, moment.now);
                    self.start(job, Lane::Local, Some(token), moment.now);
                }
                None => {
                    self.spare.push(token);
                    break;
                }
            }
        }
    }

    fn start(&mut self, job: JobId, lane: Lane, token: Option<Token>, now: Instant) {
        self.progress.start(job);
        let place = self.seats[lane.index()].take(job, token, now);
        (self.sink)(Event::Started { job, place });
        let executor = self
            .lanes
            .of(lane)
            .expect("a lane without executor has no room");
        executor.start(Task::new(Arc::clone(&self.link), job, place, now));
    }

    fn seats(&self, lane: Lane) -> &Seats {
        &self.seats[lane.index()]
    }

    /// Takes a token over from a task that ended, or from the pool; failing both, asks for one.
    fn take_token(&mut self) -> Option<Token> {
        if let Some(token) = self.spare.pop().or_else(|| self.tokens.try_acquire()) {
            return Some(token);
        }
        if self.token_request == Request::None {
            self.token_request = Request::Pending;
            let outbox = self.link.messages.clone();
            self.tokens
                .request(move |token| outbox.send(Message::Token(token)));
        }
        None
    }

    /// Lets the executors send what they have gathered.
    fn flush(&self) {
        for lane in Lane::ALL {
            if let Some(executor) = self.lanes.of(lane) {
                executor.flush();
            }
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

    fn take_in(&mut self, message: Message<O>) {
        match message {
            Message::Phase { place, name } => {
                if let Some(job) = self.seats(place.lane).holder(place.slot) {
                    (self.sink)(Event::Phase { job, name });
                }
            }
            Message::Ended {
                place,
                verdict,
                wall,
            } => self.leave(place, verdict, wall),
            Message::Token(token) => {
                self.token_request = Request::None;
                self.spare.push(token);
            }
            Message::Cancelled => {}
        }
    }

    /// Takes in that a task is gone. One of a lost lane comes too late: its job was taken back before.
    fn leave(&mut self, place: Place, verdict: Option<Verdict<O>>, wall: Duration) {
        // Before the end counts, so that what depends on a job that was stopped is cancelled, and not blocked.
        self.see_cancellation();
        let Some(Seat { job, token, .. }) = self.seats[place.lane.index()].leave(place.slot) else {
            return;
        };
        self.spare.extend(token);
        if place.lane == Lane::Local {
            self.admission.ended(job);
        }
        let (state, outcome) = match verdict {
            None => (JobState::Aborted, None),
            Some(Verdict::Succeeded(outcome)) => (JobState::Succeeded, Some(outcome)),
            Some(Verdict::Failed(outcome)) => (JobState::Failed, Some(outcome)),
            Some(Verdict::Aborted(outcome)) => (JobState::Aborted, Some(outcome)),
            Some(Verdict::HandBack(why, outcome)) => {
                self.hand_back(job, place, why, Some(outcome), wall);
                return;
            }
        };
        (self.sink)(Event::Finished {
            job,
            place,
            state,
            outcome,
            wall,
        });
        self.apply(|progress, tell| progress.finish(job, state, tell));
        if state != JobState::Succeeded {
            self.note_failure();
        }
    }

    fn hand_back(
        &mut self,
        job: JobId,
        place: Place,
        why: HandBack,
        outcome: Option<O>,
        wall: Duration,
    ) {
        (self.sink)(Event::HandedBack {
            job,
            place,
            why,
            outcome,
            wall,
        });
        let lane = place.lane;
        if why == HandBack::LaneLost && !self.seats(lane).is_closed() {
            self.lose(lane);
        }
        self.apply(|progress, tell| progress.hand_back(job, lane, why, tell));
    }

    /// Lets nothing start in a lane any more.
    fn lose(&mut self, lane: Lane) {
        self.seats[lane.index()].close();
        (self.sink)(Event::LaneLost { lane });
        let aside = match lane {
            Lane::Local => self.admission.close(),
            Lane::Remote => Vec::new(),
        };
        self.apply(|progress, tell| progress.shut(lane, aside, tell));
    }

    /// Takes back whatever is in the remote lane once that is lost. Only after all messages at hand were heard, so that
    /// what has ended before the loss counts.
    fn evacuate(&mut self) {
        let seats = &mut self.seats[Lane::Remote.index()];
        if seats.is_closed() && seats.taken() > 0 {
            for (place, seat) in seats.clear() {
                let wall = seat.since.elapsed();
                self.hand_back(seat.job, place, HandBack::LaneLost, None, wall);
            }
        }
    }

    fn tick(&mut self) {
        if self.last_tick.elapsed() >= TICK {
            self.last_tick = Instant::now();
            if self.running() > 0 {
                (self.sink)(Event::Tick);
            }
        }
    }
}

impl<O> From<Consequence> for Event<O> {
    fn from(consequence: Consequence) -> Self {
        match consequence {
            Consequence::Blocked { job, by } => Self::Blocked { job, by },
            Consequence::Stranded { job } => Self::Stranded { job },
            Consequence::Cancelled { job } => Self::Cancelled { job },
        }
    }
}
