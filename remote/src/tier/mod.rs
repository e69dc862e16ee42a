//! Kiln's records on a server: signed, as ActionResults, with their objects as blobs.
//!
//! An action's key becomes the digest of a synthetic Action, under which the ActionCache keeps the result;
//! see `wire.rs`. Downloads put everything into the local store, verified, or nothing at all. Uploads go on
//! in the background.

mod answer;
mod fetch;
mod push;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kiln_cache::{ActionKey, ActionRecord, Store};

use crate::error::RemoteError;
use crate::options::Options;
use crate::session::{Runtime, ServerInfo, Session};
use crate::signing::{SigningKey, Trust};
use crate::statistics::Statistics;

pub use push::PushSummary;
use push::Uploads;

/// How many records are fetched at once: more do not come faster over one connection.
const FETCHES: usize = 32;

/// A server that keeps records, for one run. Any method may be called from any thread.
///
/// What it may cost a run is in [`Options::budget`]; once that is spent, every method returns at once.
/// Dropping it ends uploads that are under way: call [`RemoteCache::flush`] first.
pub struct RemoteCache {
    session: Arc<Session>,
    trust: Trust,
    key: Option<SigningKey>,
    uploads: Arc<Uploads>,
    // Dropped last: what runs on it holds the others.
    runtime: Runtime,
}

impl RemoteCache {
    /// Prepares to use a server; nothing is connected before the first call. Without a key to sign with,
    /// nothing is uploaded.
    ///
    /// # Errors
    ///
    /// When the options cannot be used, or the system has no threads left.
    pub fn new(
        options: Options,
        trust: Trust,
        key: Option<SigningKey>,
    ) -> Result<Self, RemoteError> {
        let runtime = Runtime::start();
        Ok(Self {
            runtime: runtime.map_err(|source| RemoteError::Unreachable {
                endpoint: options.endpoint.clone(),
                source: source.into(),
            })?,
            session: Arc::new(Session::new(options)?),
            uploads: Arc::default(),
            trust,
            key,
        })
    }

    /// Connects, and asks what the server offers.
    ///
    /// # Errors
    ///
    /// When it cannot be used.
    pub fn check(&self) -> Result<ServerInfo, RemoteError> {
        let server = self.runtime.wait(self.session.server())?;
        Ok(server.info.clone())
    }

    /// Asks for a record. If there is one, it is in the store when this returns, with all its objects.
    ///
    /// `None` when the server does not have it, or one of its blobs no more.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Refused`] for a record that must not be used, [`RemoteError::Store`] when the local
    /// store fails, otherwise the server's failure. Nothing is in the store then.
    pub fn fetch(
        &self,
        key: &ActionKey,
        store: &Store,
    ) -> Result<Option<ActionRecord>, RemoteError> {
        self.fetch_one(key, store)
    }

    /// Asks for many records at once. `each` hears of every key once, by its index: from any thread, in any
    /// order, as soon as the answer is there. Returns after the last.
    pub fn fetch_many(
        &self,
        keys: &[ActionKey],
        store: &Store,
        each: &(dyn Fn(usize, Result<Option<ActionRecord>, RemoteError>) + Sync),
    ) {
        many(keys, |index, key| each(index, self.fetch_one(key, store)));
    }

    /// Asks for the records only: each that is to be believed, without its objects, which the server may
    /// have lost. The store is as it was before. `each` hears of them as with [`RemoteCache::fetch_many`].
    pub fn look_up_many(
        &self,
        keys: &[ActionKey],
        store: &Store,
        each: &(dyn Fn(usize, Result<Option<ActionRecord>, RemoteError>) + Sync),
    ) {
        many(keys, |index, key| each(index, self.look_up_one(key, store)));
    }

    /// Reads a record's objects, and uploads them and the record in the background. Waits when too much is
    /// under way already.
    ///
    /// # Errors
    ///
    /// What is wrong on this side: no key to sign with, an object that is not in the store. What becomes of
    /// the upload is known after [`RemoteCache::flush`].
    pub fn push(&self, record: &ActionRecord, store: &Store) -> Result<(), RemoteError> {
        self.push_one(record, store)
    }

    /// Waits until nothing is under way any more, and says what became of all uploads since the last time.
    pub fn flush(&self) -> PushSummary {
        self.uploads.finish()
    }

    /// What was done so far.
    pub fn statistics(&self) -> Statistics {
        self.session.statistics()
    }

    /// Why the server is not asked, or not written to, any more; worth saying once.
    pub fn gave_up(&self) -> Option<Arc<RemoteError>> {
        self.session.gave_up()
    }
}

/// Does something with every key, with many at once.
fn many(keys: &[ActionKey], each: impl Fn(usize, &ActionKey) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((index, key)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            keys.get(index).map(|key| (index, key))
        } {
            each(index, key);
        }
    };
    // These wait for the network and the disk: they have nothing to do with the number of cores.
    thread::scope(|scope| {
        for _ in 1..keys.len().min(FETCHES) {
            scope.spawn(work);
        }
        work();
    });
}

impl fmt::Debug for RemoteCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteCache")
            .field("session", &self.session)
            .field("trust", &self.trust)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
