//! What a client did in a run, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a client did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Records asked for.
    pub lookups: u64,
    /// Records found, verified and put into the store.
    pub hits: u64,
    /// Records that are not there.
    pub misses: u64,
    /// Records that are there, while one of their blobs is not.
    pub evicted: u64,
    /// Records that were not to be trusted.
    pub refused: u64,
    /// Records uploaded.
    pub pushed: u64,
    /// Records that could not be uploaded.
    pub not_pushed: u64,
    /// Blobs uploaded.
    pub blobs_sent: u64,
    /// Blobs that were to be uploaded and were there already.
    pub blobs_there: u64,
    /// Blobs downloaded.
    pub blobs_received: u64,
    /// Calls that were tried again.
    pub retries: u64,
    /// Bytes that came over the wire.
    pub bytes_received: u64,
    /// Bytes that went over the wire.
    pub bytes_sent: u64,
    /// For how long at least one call was waited for.
    pub waited: Duration,
}

/// One number that threads add to.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The numbers while they grow.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) lookups: Count,
    pub(crate) hits: Count,
    pub(crate) misses: Count,
    pub(crate) evicted: Count,
    pub(crate) refused: Count,
    pub(crate) pushed: Count,
    pub(crate) not_pushed: Count,
    pub(crate) blobs_sent: Count,
    pub(crate) blobs_there: Count,
    pub(crate) blobs_received: Count,
    pub(crate) retries: Count,
}

impl Counts {
    /// The numbers now; what the budget counts is added by the session.
    pub(crate) fn statistics(&self) -> Statistics {
        Statistics {
            lookups: self.lookups.value(),
            hits: self.hits.value(),
            misses: self.misses.value(),
            evicted: self.evicted.value(),
            refused: self.refused.value(),
            pushed: self.pushed.value(),
            not_pushed: self.not_pushed.value(),
            blobs_sent: self.blobs_sent.value(),
            blobs_there: self.blobs_there.value(),
            blobs_received: self.blobs_received.value(),
            retries: self.retries.value(),
            ..Statistics::default()
        }
    }
}
