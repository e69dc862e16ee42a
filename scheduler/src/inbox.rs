//! The coordinator's end of the message channel: one thread sleeps on it, many wake it.
//!
//! Crossbeam's own blocking receive yields the processor a few times before it sleeps. Beside compilers that fill every
//! core each yield costs a whole time slice, so this one spins for a moment and then parks. Measured in
//! docs/scheduling.md.

use std::fmt;
use std::hint;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

/// How many looks are taken before a thread sleeps: some 15 us, in which a job that does nothing ends.
pub(crate) const LOOKS: usize = 400;

/// The receiving end; only the thread that made it may wait on it.
pub(crate) struct Inbox<M> {
    messages: Receiver<M>,
}

/// The sending end. Sending never blocks.
pub(crate) struct Outbox<M> {
    messages: Sender<M>,
    owner: Thread,
}

/// Makes an inbox of the calling thread.
pub(crate) fn open<M>() -> (Outbox<M>, Inbox<M>) {
    let (sender, receiver) = unbounded();
    (
        Outbox {
            messages: sender,
            owner: thread::current(),
        },
        Inbox { messages: receiver },
    )
}

impl<M> Inbox<M> {
    /// Returns the next message if there is one.
    pub(crate) fn try_receive(&self) -> Option<M> {
        self.messages.try_recv().ok()
    }

    /// Returns the next message, waiting for it at most this long.
    pub(crate) fn receive(&self, at_most: Duration) -> Option<M> {
        for _ in 0..LOOKS {
            if let Some(message) = self.try_receive() {
                return Some(message);
            }
            hint::spin_loop();
        }
        let until = Instant::now() + at_most;
        loop {
            // A message sent since the last look has left a wake-up behind, with which parking returns at once.
            if let Some(message) = self.try_receive() {
                return Some(message);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            thread::park_timeout(left);
        }
    }
}

impl<M> Outbox<M> {
    /// Sends a message and wakes the owner. Without an inbox the message is dropped.
    pub(crate) fn send(&self, message: M) {
        if self.messages.send(message).is_ok() {
            self.owner.unpark();
        }
    }
}

impl<M> Clone for Outbox<M> {
    fn clone(&self) -> Self {
        Self {
            messages: self.messages.clone(),
            owner: self.owner.clone(),
        }
    }
}

impl<M> fmt::Debug for Outbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_owner_is_woken_and_none_is_lost() {
        let (outbox, inbox) = open();
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let outbox = outbox.clone();
                thread::spawn(move || (0..1000).for_each(|number| outbox.send(number)))
            })
            .collect();
        let sum: u32 = (0..2000)
            .map(|_| inbox.receive(Duration::from_secs(60)).unwrap())
            .sum();
        assert_eq!(sum, 999 * 1000);
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
    }

    #[test]
    fn silence_ends_with_the_time() {
        let (_outbox, inbox) = open::<()>();
        assert_eq!(inbox.receive(Duration::from_millis(1)), None);
    }
}
