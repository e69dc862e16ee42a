//! From the key of everything else to the keys of outcomes: by the sets of paths that earlier actions looked at.
//!
//! Such a set is a `trace` record's output. There may be several: an action that finds another file somewhere may go on to
//! look for others.

use std::collections::{BTreeMap, HashSet};

use kiln_cache::{
    ActionKind, ActionRecord, Cost, ObjectDigest, Output, Status, Store, StoreError, Subject,
};
use kiln_sandbox::Layout;

use super::{EVERYTHING, FoundKey, Looker, Reach, SEEN, Seen};
use crate::{
    keys::{Key, Keys},
    plan::unix_time,
};

/// How many sets of paths are kept for one key, the newest first.
const SETS: usize = 8;

/// The name of the output of a trace record that says that an outcome depends on everything.
const MARK: &str = "everything";

/// The name of one that says so of an outcome that depends on other packages, too.
const WIDE_MARK: &str = "everything and other packages";

/// The objects with the sets of a trace record, the newest first.
fn sets(record: &ActionRecord) -> impl Iterator<Item = ObjectDigest> + '_ {
    let sets = record
        .outputs
        .iter()
        .filter(|output| reach(output).is_none());
    sets.map(|output| output.object)
}

/// What a mark says; nothing if an output is a set.
fn reach(output: &Output) -> Option<Reach> {
    match &*output.path {
        MARK => Some(Reach::System),
        WIDE_MARK => Some(Reach::Neighbours),
        _ => None,
    }
}

/// Finds the keys of the outcomes that may be known, as the system is now.
///
/// # Errors
/// Fails if the store cannot be read. A set whose files cannot be looked at gives no key.
pub(crate) fn find_candidates(
    store: &Store,
    keys: &mut Keys,
    layout: &Layout,
    looker: &mut Looker<'_>,
) -> Result<(), StoreError> {
    let mut found: Vec<Key> = Vec::new();
    if let Some(record) = store.lookup_verified(&keys.trace.key)? {
        for digest in sets(&record) {
            found.extend(key_as_now(store, &digest, keys, looker)?);
        }
        for reach in record.outputs.iter().filter_map(reach) {
            if let Ok(everything) = looker.everything(layout, reach) {
                found.push(keys.with_system(everything));
            }
        }
    }
    let mut known = HashSet::new();
    found.retain(|key| known.insert(key.key));
    keys.system = found;
    Ok(())
}

/// The key of an outcome whose action looks at the same files as an earlier one; none if they cannot be looked at.
pub(crate) fn key_as_now(
    store: &Store,
    seen: &ObjectDigest,
    keys: &Keys,
    looker: &mut Looker<'_>,
) -> Result<Option<Key>, StoreError> {
    let Some(text) = store.read(seen)? else {
        return Ok(None);
    };
    let seen = std::str::from_utf8(&text).ok().and_then(Seen::parse);
    Ok(seen
        .and_then(|seen| seen.component(looker).ok())
        .map(|component| keys.with_system(component)))
}

/// Notes under the key of everything else what leads to an outcome's key: the set of paths that its action looked at, or
/// that it depends on everything within reach. Gives the record, if the key is of either kind.
///
/// # Errors
/// Fails if the store cannot be written.
pub(crate) fn remember(
    store: &Store,
    keys: &Keys,
    found: &FoundKey,
    subject: Subject,
) -> Result<Option<ActionRecord>, StoreError> {
    let part = |name| found.key.components.iter().find(|part| part.name == name);
    let (seen, everything) = (part(SEEN), part(EVERYTHING));
    if seen.is_none() && everything.is_none() {
        return Ok(None);
    }
    let known = store.lookup(&keys.trace.key)?;
    let marks = known.iter().flat_map(|record| &record.outputs);
    let mut outputs: Vec<Output> = marks.filter(|one| reach(one).is_some()).cloned().collect();
    let mark = match found.reach {
        Reach::System => MARK,
        Reach::Neighbours => WIDE_MARK,
    };
    if let Some(everything) = everything
        && outputs.iter().all(|output| output.path != mark)
        && let Some(size) = store.verify_object(&everything.digest)?
    {
        outputs.push(Output {
            path: mark.to_owned(),
            object: everything.digest,
            size,
            executable: false,
        });
    }
    let seen = seen.map(|part| part.digest);
    let known = known.iter().flat_map(sets).filter(|set| Some(*set) != seen);
    for object in seen.into_iter().chain(known).take(SETS) {
        let Some(size) = store.verify_object(&object)? else {
            continue;
        };
        outputs.push(Output {
            path: format!("seen/{}", outputs.len()),
            object,
            size,
            executable: false,
        });
    }
    let record = ActionRecord {
        key: keys.trace.key,
        kind: ActionKind::Trace,
        subject,
        components: keys.trace.components.clone(),
        status: Status::Success,
        outputs,
        log: None,
        note: BTreeMap::new(),
        cost: Cost::default(),
        created: unix_time(),
    };
    store.publish(&record)?;
    Ok(Some(record))
}
