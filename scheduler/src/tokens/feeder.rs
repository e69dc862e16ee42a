//! A thread for each job that moves tokens in and out of the job's pipe, as the ledger says.
//!
//! A thread of its own, because a job can hold up whoever touches its pipe: then it keeps itself from tokens, and nobody
//! else. It sleeps until the pipe or the ledger has changed, and learns both by edges, so that no state of the pipe wakes it
//! again and again.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::ledger::{Number, Step};
use super::pipe::JobPipe;
use super::{Shared, TokenError};
use crate::bell::Bell;

/// How long a job waits before its pipe is looked at again that forges tokens or stirs it without pause, so that it costs no
/// core to look.
const PENANCE: Duration = Duration::from_millis(10);

/// As many looks in a row, each sooner than `SHORT` after the last, are those of a job that plays with its pipe.
const MOST_SHORT: u32 = 100;
/// In which who waits for room in a pipe finds it.
const PAUSE: Duration = Duration::from_millis(1);
/// In which nobody can use a pipe some thousand times.
const SHORT: Duration = Duration::from_micros(200);

/// What marks an event as one of the pipe.
const PIPE: EventData = EventData::new_u64(1);
/// What marks an event as one of the bell.
const BELL: EventData = EventData::new_u64(0);

/// Starts to feed a job. The thread ends when the job's account is closed.
pub(super) fn start(
    shared: Arc<Shared>,
    number: Number,
    pipe: JobPipe,
    bell: Arc<Bell>,
) -> Result<(), TokenError> {
    let changes = Changes::of(&pipe, bell).map_err(|error| TokenError::Pipe(error.into()))?;
    let feed = move || feed(&shared, number, &pipe, &changes);
    thread::Builder::new()
        .name("tokens".to_owned())
        .spawn(feed)
        .map_err(TokenError::Thread)?;
    Ok(())
}

fn feed(shared: &Arc<Shared>, number: Number, pipe: &JobPipe, changes: &Changes) {
    let mut stirred = false;
    let mut short = 0;
    loop {
        let (now, inside) = (Instant::now(), pipe.inside());
        let step = shared.change(|ledger| ledger.next(number, inside, stirred, now));
        stirred = false;
        match step {
            Step::End => return,
            Step::Put => {
                if !pipe.put() {
                    shared.change(|ledger| ledger.could_not_put(number));
                }
                // So that what was done here is not taken for the job's doing; what it does meanwhile is not much.
                changes.wait(Some(Duration::ZERO));
                stirred = now.elapsed() > SHORT;
            }
            Step::Take(count) => {
                let taken = pipe.take(count);
                let forged = shared.change(|ledger| ledger.took(number, taken));
                if forged > 0 {
                    thread::sleep(PENANCE);
                }
            }
            Step::Refresh => {
                let taken = pipe.take(1);
                thread::sleep(PAUSE);
                shared.change(|ledger| ledger.took(number, taken));
            }
            Step::Wait(at_most) => {
                stirred = changes.wait(at_most);
                short = if now.elapsed() < SHORT { short + 1 } else { 0 };
                if short > MOST_SHORT {
                    short = 0;
                    thread::sleep(PENANCE);
                }
            }
        }
    }
}

/// What tells a feeder of changes.
struct Changes {
    events: OwnedFd,
    /// Rung when the ledger has something for the feeder; heard by its edges and never silenced. One that is closed is not heard.
    _bell: Arc<Bell>,
}

impl Changes {
    fn of(pipe: &JobPipe, bell: Arc<Bell>) -> rustix::io::Result<Self> {
        let events = epoll::create(CreateFlags::CLOEXEC)?;
        let both = EventFlags::IN | EventFlags::OUT;
        epoll::add(&events, pipe, PIPE, both | EventFlags::ET)?;
        epoll::add(&events, &*bell, BELL, EventFlags::IN | EventFlags::ET)?;
        Ok(Self {
            events,
            _bell: bell,
        })
    }

    /// Sleeps until the pipe or the ledger has changed, or a time is over; tells whether it was the pipe.
    fn wait(&self, at_most: Option<Duration>) -> bool {
        let at_most = at_most.and_then(|time| Timespec::try_from(time).ok());
        let mut events = [Event {
            flags: EventFlags::empty(),
            data: BELL,
        }; 2];
        // It fails only by an interruption, after which the feeder looks for itself as ever.
        let count = epoll::wait(&self.events, &mut events, at_most.as_ref()).unwrap_or(0);
        events[..count]
            .iter()
            .any(|event| event.data.u64() == PIPE.u64())
    }
}
