//! A thread that tells who asked when a token lies in the pipe, so that nobody who schedules ever blocks on it.
//!
//! It takes no token itself: between its word and the asker's attempt no token is in flight, and the count is exact.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, PollFd, PollFlags};

use super::pipe::TokenPipe;

/// Called once when a token may be had.
pub(super) type Notify = Box<dyn FnOnce() + Send>;

/// The handle on the thread; dropping it ends the thread and forgets who still asks.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    pipe: Arc<TokenPipe>,
    /// Readable when `desk` has changed.
    bell: OwnedFd,
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Desk {
    asking: Vec<Notify>,
    closed: bool,
}

impl Watcher {
    pub(super) fn start(pipe: Arc<TokenPipe>) -> io::Result<Self> {
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared {
            pipe,
            bell,
            desk: Mutex::default(),
        });
        let watched = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("tokens".to_owned())
            .spawn(move || watched.watch())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    pub(super) fn request(&self, notify: Notify) {
        self.shared.desk().asking.push(notify);
        self.shared.ring();
    }
}

impl Shared {
    fn watch(&self) {
        loop {
            let waiting = {
                let desk = self.desk();
                if desk.closed {
                    return;
                }
                !desk.asking.is_empty()
            };
            if self.wait(waiting) {
                let asking = std::mem::take(&mut self.desk().asking);
                for notify in asking {
                    notify();
                }
            }
        }
    }

    /// Waits for the bell, and for a token if somebody asks; tells whether a token is there.
    fn wait(&self, for_token: bool) -> bool {
        let token_events = if for_token {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        let pipe_end = self.pipe.readable_end();
        let mut fds = [
            PollFd::new(&self.bell, PollFlags::IN),
            PollFd::new(&pipe_end, token_events),
        ];
        if rustix::event::poll(&mut fds, None).is_err() {
            return false;
        }
        let rung = fds[0].revents().contains(PollFlags::IN);
        let token = fds[1].revents().contains(PollFlags::IN);
        if rung {
            // Not readable is as good as read: the bell only has to be silent afterwards.
            let _ = rustix::io::read(self.bell.as_fd(), &mut [0; 8]);
        }
        for_token && token
    }

    fn ring(&self) {
        // It fails only when the counter is full, and then the bell rings already.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.desk().closed = true;
        self.shared.ring();
        if let Some(thread) = self.thread.take() {
            // Only a closure of an asker could have panicked there, and it had its own report.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}
