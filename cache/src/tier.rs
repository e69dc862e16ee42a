//! A farther tier: somewhere else that may have a record which is not in the store.
//!
//! Only the contract. Whoever implements it brings the transport and decides whom to trust; whoever asks
//! it goes on to run the action unless the answer is a hit. The store stays the one place that is read.

use std::error::Error;

use crate::digest::ActionKey;
use crate::record::ActionRecord;
use crate::store::{Store, StoreError};

/// What a farther tier said when it was asked for a record.
#[derive(Debug)]
pub enum TierAnswer {
    /// It has a record that is to be believed. After a fetch, this and its objects are in the store, all
    /// of them verified.
    Hit(Box<ActionRecord>),
    /// It has none, or not all of its objects.
    Miss,
    /// What it has was not to be trusted; nothing of it was kept.
    Refused(Box<dyn Error + Send + Sync>),
    /// It could not be asked. The same cause may be given for many keys.
    Unavailable(Box<dyn Error + Send + Sync>),
    /// It had the record, and the store could not take it.
    Store(StoreError),
}

/// Somewhere else that keeps records. Called from any thread; may block, for a bounded time a run.
pub trait Tier: Send + Sync {
    /// Asks for one record.
    fn fetch(&self, key: &ActionKey, store: &Store) -> TierAnswer;

    /// Asks for many at once; `each` hears of every key once, by its index, in any order, from any thread.
    fn fetch_many(
        &self,
        keys: &[ActionKey],
        store: &Store,
        each: &(dyn Fn(usize, TierAnswer) + Sync),
    );

    /// Asks for the records only, as for [`Tier::fetch_many`]: for who plans and builds nothing. Nothing
    /// gets into the store, and that the tier has the objects is not checked.
    fn look_up_many(
        &self,
        keys: &[ActionKey],
        store: &Store,
        each: &(dyn Fn(usize, TierAnswer) + Sync),
    );

    /// Offers a record whose objects are in the store. What becomes of it is known after [`Tier::flush`].
    ///
    /// # Errors
    ///
    /// What is wrong on this side: no right to offer records, an object that is not in the store.
    fn push(
        &self,
        record: &ActionRecord,
        store: &Store,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Waits until all offered records are where they belong, or are known not to get there.
    ///
    /// # Errors
    ///
    /// The first reason for which a record did not get there.
    fn flush(&self) -> Result<(), Box<dyn Error + Send + Sync>>;
}
