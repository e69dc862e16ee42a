//! From the key of everything else to the keys of outcomes: by the sets of paths that earlier jobs looked at.
//!
//! Such a set is a `trace` record's output. There may be several: a job that finds another file somewhere may go on to look
//! for others.

use kiln_cache::{ActionRecord, ObjectDigest, Store, StoreError};

use super::{Looker, Seen};
use crate::plan::JobKey;

/// How many sets of paths are kept for one key, the newest first.
pub(crate) const SETS: usize = 8;

/// The objects with the sets of a trace record, the newest first.
pub(crate) fn sets(record: &ActionRecord) -> impl Iterator<Item = ObjectDigest> + '_ {
    record.outputs.iter().map(|output| output.object)
}

/// The keys of the outcomes that may be known, as the system is now.
///
/// # Errors
/// Fails if the store cannot be read. A set whose files cannot be looked at gives no key.
pub(crate) fn candidates(
    store: &Store,
    trace: &JobKey,
    looker: &mut Looker<'_>,
) -> Result<Vec<JobKey>, StoreError> {
    let mut keys: Vec<JobKey> = Vec::new();
    let Some(record) = store.lookup_verified(&trace.key)? else {
        return Ok(keys);
    };
    for digest in sets(&record) {
        if let Some(key) = key_as_now(store, &digest, trace, looker)?
            && keys.iter().all(|known| known.key != key.key)
        {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// The key of an outcome whose job looks at the same files as an earlier one; none if they cannot be looked at.
pub(crate) fn key_as_now(
    store: &Store,
    seen: &ObjectDigest,
    trace: &JobKey,
    looker: &mut Looker<'_>,
) -> Result<Option<JobKey>, StoreError> {
    let Some(text) = store.read(seen)? else {
        return Ok(None);
    };
    let seen = std::str::from_utf8(&text).ok().and_then(Seen::parse);
    Ok(seen
        .and_then(|seen| seen.component(looker).ok())
        .map(|component| trace.with_seen(component)))
}
