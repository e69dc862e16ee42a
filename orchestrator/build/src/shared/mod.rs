//! The shared cache: a farther tier of the cache that many machines fill and read.
//!
//! A run asks the local store first, then this, then builds. Nothing that goes wrong here fails a
//! build: it is noted, told once, and the run goes on without. What a record must be to be
//! believed, and how long a server may keep a run waiting, is the tier's business
//! (docs/remote.md); this build of kiln may have none.

mod connect;
#[cfg(feature = "remote")]
mod engine;

use std::{
    collections::HashSet,
    error::Error,
    sync::{Mutex, PoisonError},
};

use kiln_cache::{ActionKey, ActionRecord, Store, StoreError, Tier, TierAnswer};

#[cfg(feature = "remote")]
pub use connect::options;
pub use connect::{SharedCacheError, connect};
#[cfg(feature = "remote")]
pub use engine::Engine;

/// The shared cache of one run.
pub struct SharedCache {
    tier: Box<dyn Tier>,
    uploads: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    from_there: HashSet<ActionKey>,
    notices: Vec<SharedNotice>,
    is_away: bool,
    cannot_upload: bool,
}

/// Something that the user should know of the shared cache, once.
#[derive(Debug)]
pub enum SharedNotice {
    /// Records that were not to be believed: how many, and why the first was not.
    Refused(usize, Box<dyn Error + Send + Sync>),
    /// The server is not asked any more.
    Away(Box<dyn Error + Send + Sync>),
    /// Results did not get there.
    NotUploaded(Box<dyn Error + Send + Sync>),
}

impl SharedCache {
    /// Uses a tier; results are put there only if it is said so.
    #[cfg(feature = "remote")]
    pub(crate) fn new(tier: Box<dyn Tier>, uploads: bool) -> Self {
        Self {
            tier,
            uploads,
            state: Mutex::default(),
        }
    }

    /// Asks for one record; it is in the store then.
    ///
    /// # Errors
    /// Fails only if the local store cannot take what was found.
    pub(crate) fn fetch(
        &self,
        key: &ActionKey,
        store: &Store,
    ) -> Result<Option<ActionRecord>, StoreError> {
        let answer = self.tier.fetch(key, store);
        self.take(key, answer)
    }

    /// Asks for many records at once, and says which are in the store now.
    ///
    /// # Errors
    /// As [`SharedCache::fetch`], after all answers are there.
    pub(crate) fn fetch_many(
        &self,
        keys: &[ActionKey],
        store: &Store,
    ) -> Result<Vec<bool>, StoreError> {
        let found = Mutex::new((vec![false; keys.len()], None));
        self.tier.fetch_many(keys, store, &|index, answer| {
            let taken = self.take(&keys[index], answer);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            match taken {
                Ok(record) => found.0[index] = record.is_some(),
                Err(error) => found.1 = Some(error),
            }
        });
        match found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            (found, None) => Ok(found),
            (_, Some(error)) => Err(error),
        }
    }

    /// Asks for many records without their objects; the store is as it was before.
    ///
    /// # Errors
    /// As [`SharedCache::fetch`], after all answers are there.
    pub(crate) fn look_up_many(
        &self,
        keys: &[ActionKey],
        store: &Store,
    ) -> Result<Vec<Option<ActionRecord>>, StoreError> {
        let found = Mutex::new((vec![None; keys.len()], None));
        self.tier.look_up_many(keys, store, &|index, answer| {
            let taken = self.take(&keys[index], answer);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            match taken {
                Ok(record) => found.0[index] = record,
                Err(error) => found.1 = Some(error),
            }
        });
        match found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            (found, None) => Ok(found),
            (_, Some(error)) => Err(error),
        }
    }

    /// Offers a record to others, if this machine may. It goes in the background.
    pub(crate) fn offer(&self, record: &ActionRecord, store: &Store) {
        if !self.uploads || self.state().cannot_upload {
            return;
        }
        if let Err(error) = self.tier.push(record, store) {
            self.not_uploaded(error);
        }
    }

    /// Waits for what was offered.
    pub fn finish(&self) {
        if self.uploads
            && let Err(error) = self.tier.flush()
        {
            self.not_uploaded(error);
        }
    }

    /// Whether a record came from there in this run.
    pub fn gave(&self, key: &ActionKey) -> bool {
        self.state().from_there.contains(key)
    }

    /// What the user has not been told yet.
    pub fn take_notices(&self) -> Vec<SharedNotice> {
        std::mem::take(&mut self.state().notices)
    }

    fn take(
        &self,
        key: &ActionKey,
        answer: TierAnswer,
    ) -> Result<Option<ActionRecord>, StoreError> {
        let mut state = self.state();
        match answer {
            TierAnswer::Hit(record) => {
                state.from_there.insert(*key);
                return Ok(Some(*record));
            }
            TierAnswer::Miss => {}
            TierAnswer::Refused(error) => {
                let known = state.notices.iter_mut().find_map(|notice| match notice {
                    SharedNotice::Refused(count, _) => Some(count),
                    _ => None,
                });
                match known {
                    Some(count) => *count += 1,
                    None => state.notices.push(SharedNotice::Refused(1, error)),
                }
            }
            TierAnswer::Unavailable(error) => {
                if !state.is_away {
                    state.is_away = true;
                    state.notices.push(SharedNotice::Away(error));
                }
            }
            TierAnswer::Store(error) => return Err(error),
        }
        Ok(None)
    }

    fn not_uploaded(&self, error: Box<dyn Error + Send + Sync>) {
        let mut state = self.state();
        let known = state.is_away || state.cannot_upload;
        state.cannot_upload = true;
        if !known {
            state.notices.push(SharedNotice::NotUploaded(error));
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
