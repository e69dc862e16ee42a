//! [`RemoteCache`] as the tier that the cache crate knows, for callers that may be built without it.

use std::error::Error;

use kiln_cache::{ActionKey, ActionRecord, Store, Tier, TierAnswer};

use super::RemoteCache;
use crate::error::RemoteError;

impl Tier for RemoteCache {
    fn fetch(&self, key: &ActionKey, store: &Store) -> TierAnswer {
        answer(RemoteCache::fetch(self, key, store))
    }

    fn fetch_many(
        &self,
        keys: &[ActionKey],
        store: &Store,
        each: &(dyn Fn(usize, TierAnswer) + Sync),
    ) {
        RemoteCache::fetch_many(self, keys, store, &|index, fetched| {
            each(index, answer(fetched));
        });
    }

    fn look_up_many(
        &self,
        keys: &[ActionKey],
        store: &Store,
        each: &(dyn Fn(usize, TierAnswer) + Sync),
    ) {
        RemoteCache::look_up_many(self, keys, store, &|index, found| {
            each(index, answer(found));
        });
    }

    fn push(
        &self,
        record: &ActionRecord,
        store: &Store,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(RemoteCache::push(self, record, store)?)
    }

    fn flush(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        match RemoteCache::flush(self).failure {
            None => Ok(()),
            Some(error) => Err(error.into()),
        }
    }
}

fn answer(fetched: Result<Option<ActionRecord>, RemoteError>) -> TierAnswer {
    match fetched {
        Ok(Some(record)) => TierAnswer::Hit(Box::new(record)),
        Ok(None) => TierAnswer::Miss,
        Err(RemoteError::Store(error)) => TierAnswer::Store(error),
        Err(error @ RemoteError::Refused { .. }) => TierAnswer::Refused(error.into()),
        Err(error) => TierAnswer::Unavailable(error.into()),
    }
}
