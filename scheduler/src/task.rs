//! One started job as an executor holds it: what to do, and the line back to the coordinator.
//!
//! Invariant: each task reports its end exactly once. Whoever loses it, by a panic or by dropping it, has thereby
//! reported that it was aborted; the coordinator never waits for a task that no longer exists. A job may be started more
//! than once, when it is handed back, each time as another task.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cancel::CancelToken;
use crate::graph::Graph;
use crate::inbox::Outbox;
use crate::job::JobId;
use crate::lane::Place;
use crate::tokens::Token;

/// How a task ended, with what the caller wants to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<O> {
    /// The job did what it should; its dependents may start.
    Succeeded(O),
    /// The job ran to its end and failed; its dependents are blocked.
    Failed(O),
    /// The job did not run to its end, so nothing follows about it; its dependents are blocked all the same.
    Aborted(O),
    /// The job did not run to its end, and may start again.
    HandBack(HandBack, O),
}

/// Why a running job comes back without an end. Nothing follows about the job itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandBack {
    /// This attempt was lost, as with its worker; the next may do better, in the same lane or the other. From the fourth
    /// of a job on it counts as [`Refused`](Self::Refused), so that no job goes round for ever.
    Retry,
    /// This lane cannot run this job. It starts there no more.
    Refused,
    /// This lane is gone. Nothing starts there any more, and all that is in the remote lane comes back at once; what its
    /// tasks report later is ignored. Jobs that run in the local lane are awaited, for they hold cores and memory.
    LaneLost,
}

/// What reaches the coordinator from other threads.
#[derive(Debug)]
pub(crate) enum Message<O> {
    Phase {
        place: Place,
        name: Cow<'static, str>,
    },
    Ended {
        place: Place,
        /// `None` when the task was dropped.
        verdict: Option<Verdict<O>>,
        wall: Duration,
    },
    /// The token that was asked for.
    Token(Token),
    /// The run was cancelled, which the coordinator looks up by itself.
    Cancelled,
}

/// What all tasks of a run share, so that starting one costs a single reference count.
pub(crate) struct Link<P, O> {
    pub(crate) graph: Arc<Graph<P>>,
    pub(crate) cancel: CancelToken,
    pub(crate) messages: Outbox<Message<O>>,
}

/// One started job. It may be sent to any thread and lives as long as its holder wishes.
///
/// Dropping it unfinished, also while a panic unwinds, ends the job as [`Aborted`](crate::JobState::Aborted) without an
/// outcome.
pub struct Task<P, O> {
    link: Arc<Link<P, O>>,
    id: JobId,
    place: Place,
    started: Instant,
    end: Option<End>,
}

/// Marks a task that has not reported yet; taken by whoever reports.
struct End;

impl<P, O> Task<P, O> {
    pub(crate) fn new(link: Arc<Link<P, O>>, id: JobId, place: Place, started: Instant) -> Self {
        Self {
            link,
            id,
            place,
            started,
            end: Some(End),
        }
    }

    /// Returns the job's id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Returns the lane in which the task runs, and its slot there.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Returns what the caller attached to the job.
    #[must_use]
    pub fn payload(&self) -> &P {
        self.link.graph.payload(self.id)
    }

    /// Returns the graph that the job is of.
    #[must_use]
    pub fn graph(&self) -> &Graph<P> {
        &self.link.graph
    }

    /// Returns the run's switch. A long task must look at it, or pass it to [`run_process`](crate::run_process).
    #[must_use]
    pub fn cancel(&self) -> &CancelToken {
        &self.link.cancel
    }

    /// Reports what the job is doing now. Cheap; never blocks.
    pub fn phase(&self, name: impl Into<Cow<'static, str>>) {
        self.send(Message::Phase {
            place: self.place,
            name: name.into(),
        });
    }

    /// Reports the job's end, or hands it back. Never blocks.
    pub fn finish(mut self, verdict: Verdict<O>) {
        self.end(Some(verdict));
    }

    fn end(&mut self, verdict: Option<Verdict<O>>) {
        if self.end.take().is_some() {
            self.send(Message::Ended {
                place: self.place,
                verdict,
                wall: self.started.elapsed(),
            });
        }
    }

    fn send(&self, message: Message<O>) {
        // The run may be gone when its sink panicked; nobody is left to be told then.
        self.link.messages.send(message);
    }
}

impl<P, O> Drop for Task<P, O> {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl<P, O> fmt::Debug for Task<P, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.id)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
