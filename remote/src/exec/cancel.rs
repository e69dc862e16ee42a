//! Cancelling actions: one by its handle, or all of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

/// How long to wait for the server when everything is cancelled.
const GRACE: Duration = Duration::from_secs(10);

/// One action that is under way. Dropping it leaves the action alone.
#[derive(Clone)]
pub struct Handle {
    cancel: Arc<watch::Sender<bool>>,
}

impl Handle {
    /// Cancels the action, also on the server. Its end is told as usual; it may have ended well just before.
    pub fn cancel(&self) {
        self.cancel.send_replace(true);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// The actions that are under way.
#[derive(Debug, Default)]
pub(super) struct Handles {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    under_way: HashMap<u64, Handle>,
}

/// An action's own end of its handle; dropped when the action is over.
pub(super) struct Cancelled {
    number: u64,
    watch: watch::Receiver<bool>,
    handles: Arc<Handles>,
}

impl Handles {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(self: &Arc<Self>) -> (Handle, Cancelled) {
        let (cancel, watch) = watch::channel(false);
        let handle = Handle {
            cancel: Arc::new(cancel),
        };
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.under_way.insert(number, handle.clone());
        let cancelled = Cancelled {
            number,
            watch,
            handles: Arc::clone(self),
        };
        (handle, cancelled)
    }

    pub(super) async fn cancel_all(&self) {
        let deadline = tokio::time::Instant::now() + GRACE;
        loop {
            let ended = self.ended.notified();
            let under_way: Vec<Handle> = self.state().under_way.values().cloned().collect();
            if under_way.is_empty() {
                return;
            }
            for handle in under_way {
                handle.cancel();
            }
            if tokio::time::timeout_at(deadline, ended).await.is_err() {
                return;
            }
        }
    }
}

impl Cancelled {
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.watch.clone()
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.handles.state().under_way.remove(&self.number);
        self.handles.ended.notify_waiters();
    }
}
