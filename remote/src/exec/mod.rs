//! Running actions on a server: inputs there, executed or waited for, outputs back.
//!
//! An action is one task of a few kilobytes, so that thousands may be under way; what moves blobs is bounded
//! by the options. The server's answers are followed as `docs/remote.md` says: a broken stream is taken up
//! again, a missing input uploaded again, once.

mod cancel;
mod inputs;
mod lanes;
mod operation;
mod outputs;
mod run;
mod work;

use std::fmt;
use std::sync::Arc;

use crate::error::RemoteError;
use crate::options::Options;
use crate::session::{Runtime, ServerInfo, Session};
use crate::statistics::Statistics;

pub use cancel::Handle;
use cancel::Handles;
use inputs::Known;
use lanes::Lanes;
#[cfg(feature = "fuzzing")]
pub(crate) use outputs::list_for_fuzzing;
pub use work::{Cached, Done, DoneFile, Stage, Work};

/// A server that executes actions, for one run. Any method may be called from any thread.
pub struct Executor {
    engine: Arc<Engine>,
    // Dropped last: what runs on it holds the engine.
    runtime: Runtime,
}

/// What all actions share.
#[derive(Debug)]
pub(crate) struct Engine {
    session: Arc<Session>,
    known: Known,
    lanes: Lanes,
    handles: Arc<Handles>,
}

impl Executor {
    /// Prepares to use a server; nothing is connected before the first call.
    ///
    /// # Errors
    ///
    /// When the options cannot be used, or the system has no threads left.
    pub fn new(options: Options) -> Result<Self, RemoteError> {
        let runtime = Runtime::start();
        Ok(Self {
            runtime: runtime.map_err(|source| RemoteError::Unreachable {
                endpoint: options.endpoint.clone(),
                source: source.into(),
            })?,
            engine: Arc::new(Engine {
                session: Arc::new(Session::new(options)?),
                known: Known::default(),
                lanes: Lanes::default(),
                handles: Arc::default(),
            }),
        })
    }

    /// Connects, and asks whether the server executes actions.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NoExecution`] if it does not; otherwise why it cannot be used.
    pub fn check(&self) -> Result<ServerInfo, RemoteError> {
        self.runtime.wait(self.engine.check())
    }

    /// Starts an action and returns at once.
    ///
    /// `stage` hears what it is doing, `done` once how it ended, both on a thread of the client: they must
    /// not block nor call its blocking methods. Any number may be under way.
    pub fn submit(
        &self,
        work: Work,
        stage: impl FnMut(Stage) + Send + 'static,
        done: impl FnOnce(Result<Done, RemoteError>) + Send + 'static,
    ) -> Handle {
        let (handle, cancelled) = self.engine.handles.register();
        let engine = Arc::clone(&self.engine);
        self.runtime.spawn(async move {
            // Also told when the task is dropped or panics.
            let mut end = End(Some(done));
            let ended = engine.run(work, stage, cancelled.watch()).await;
            end.tell(ended);
            drop(cancelled);
        });
        handle
    }

    /// Executes an action, and waits for it.
    ///
    /// # Errors
    ///
    /// When there is no result; that the action itself failed is one.
    pub fn run(&self, work: Work) -> Result<Done, RemoteError> {
        let (_handle, cancelled) = self.engine.handles.register();
        self.runtime
            .wait(self.engine.run(work, |_| {}, cancelled.watch()))
    }

    /// Cancels all actions, here and on the server, and waits until each has been told so or the server
    /// has not answered for ten seconds.
    pub fn cancel_all(&self) {
        self.runtime.wait(self.engine.handles.cancel_all());
    }

    /// What was done so far.
    pub fn statistics(&self) -> Statistics {
        self.engine.session.statistics()
    }

    /// Why the server is not asked any more; worth saying once.
    pub fn gave_up(&self) -> Option<Arc<RemoteError>> {
        self.engine.session.gave_up()
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// Tells the end of an action, exactly once.
struct End<F: FnOnce(Result<Done, RemoteError>)>(Option<F>);

impl<F: FnOnce(Result<Done, RemoteError>)> End<F> {
    fn tell(&mut self, ended: Result<Done, RemoteError>) {
        if let Some(done) = self.0.take() {
            done(ended);
        }
    }
}

impl<F: FnOnce(Result<Done, RemoteError>)> Drop for End<F> {
    fn drop(&mut self) {
        self.tell(Err(RemoteError::Cancelled));
    }
}
