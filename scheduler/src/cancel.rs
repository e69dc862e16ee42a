//! One switch that ends a run early, seen by the coordinator, the executors and every child process.
//!
//! It only goes up: running, cancelled, killed. It knows nothing of signals; a front end maps its first Ctrl-C to
//! [`CancelToken::cancel`] and its second to [`CancelToken::kill`].

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crossbeam_channel::{Receiver, Sender, bounded};

const RUNNING: u8 = 0;
const CANCELLED: u8 = 1;
const KILLED: u8 = 2;

type Callback = dyn Fn() + Send + Sync;

/// A switch that is shared by cloning; all clones are the same switch.
///
/// Its methods may be called from any thread, but not from a signal handler: they take a lock.
#[derive(Clone)]
pub struct CancelToken {
    shared: Arc<Shared>,
}

struct Shared {
    level: AtomicU8,
    listeners: Mutex<Listeners>,
    cancelled: Receiver<Infallible>,
}

struct Listeners {
    /// Dropped at the first cancellation, which every subscribed receiver sees as a disconnect.
    until_cancelled: Option<Sender<Infallible>>,
    callbacks: Vec<Weak<Callback>>,
}

/// Keeps a listener registered until it is dropped.
#[must_use = "dropping it ends the registration"]
pub struct Listening {
    _callback: Arc<Callback>,
}

impl CancelToken {
    /// Makes a switch that is off.
    #[must_use]
    pub fn new() -> Self {
        let (sender, receiver) = bounded(0);
        Self {
            shared: Arc::new(Shared {
                level: AtomicU8::new(RUNNING),
                listeners: Mutex::new(Listeners {
                    until_cancelled: Some(sender),
                    callbacks: Vec::new(),
                }),
                cancelled: receiver,
            }),
        }
    }

    /// Asks for an orderly end: nothing new starts, and running processes get SIGTERM, later SIGKILL. Repeating it
    /// changes nothing.
    pub fn cancel(&self) {
        self.raise(CANCELLED);
    }

    /// Asks for an immediate end: as [`cancel`](Self::cancel), but running processes get SIGKILL at once.
    pub fn kill(&self) {
        self.raise(KILLED);
    }

    /// Tells whether either end was asked for.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.level() >= CANCELLED
    }

    /// Tells whether the immediate end was asked for.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.level() >= KILLED
    }

    /// Returns a receiver that never yields a value and is disconnected by the first [`cancel`](Self::cancel) or
    /// [`kill`](Self::kill), so that a `select!` on it wakes at once.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<Infallible> {
        self.shared.cancelled.clone()
    }

    /// Calls the listener at each change from now on, from the thread that makes it, until the result is dropped.
    ///
    /// The listener must not block and must not use this token's own registration. A change that came before is
    /// not repeated: look at [`is_cancelled`](Self::is_cancelled) after registering.
    pub fn listen(&self, listener: impl Fn() + Send + Sync + 'static) -> Listening {
        let callback: Arc<Callback> = Arc::new(listener);
        let mut listeners = self.listeners();
        listeners.callbacks.retain(|known| known.strong_count() > 0);
        listeners.callbacks.push(Arc::downgrade(&callback));
        Listening {
            _callback: callback,
        }
    }

    fn level(&self) -> u8 {
        self.shared.level.load(Ordering::SeqCst)
    }

    fn raise(&self, level: u8) {
        if self.shared.level.fetch_max(level, Ordering::SeqCst) >= level {
            return;
        }
        let callbacks: Vec<Arc<Callback>> = {
            let mut listeners = self.listeners();
            drop(listeners.until_cancelled.take());
            listeners
                .callbacks
                .iter()
                .filter_map(Weak::upgrade)
                .collect()
        };
        for callback in callbacks {
            callback();
        }
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.shared
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("cancelled", &self.is_cancelled())
            .field("killed", &self.is_killed())
            .finish()
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use crossbeam_channel::TryRecvError;

    use super::*;

    #[test]
    fn levels_only_rise_and_clones_share_them() {
        let token = CancelToken::new();
        let clone = token.clone();
        assert!(!clone.is_cancelled());
        token.cancel();
        assert!(clone.is_cancelled() && !clone.is_killed());
        clone.kill();
        token.cancel();
        assert!(token.is_killed());
    }

    #[test]
    fn a_subscriber_sees_the_disconnect_also_when_it_comes_late() {
        let token = CancelToken::new();
        let early = token.subscribe();
        assert_eq!(early.try_recv(), Err(TryRecvError::Empty));
        token.kill();
        assert_eq!(early.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(
            token.subscribe().try_recv(),
            Err(TryRecvError::Disconnected)
        );
    }

    #[test]
    fn a_listener_hears_each_level_once_and_nothing_after_it_left() {
        let token = CancelToken::new();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let listening = token.listen(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        token.cancel();
        token.cancel();
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        drop(listening);
        token.kill();
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}
