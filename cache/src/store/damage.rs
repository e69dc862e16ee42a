//! Damage: what was found to be bad, moved aside, and is to be reported once.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use super::layout::Layout;
use super::{Access, Store};
use crate::digest::{ActionKey, Digest, ObjectDigest};

/// Something that was in the store and cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What it should have been.
    pub item: DamagedItem,
    /// Where it is now: under `damaged/`, or still in place where the cache cannot be written.
    pub path: PathBuf,
}

/// What a damaged file should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DamagedItem {
    /// The object of this digest.
    Object(ObjectDigest),
    /// The record of this key.
    Record(ActionKey),
}

/// What a store has found so far.
#[derive(Debug, Default)]
pub(crate) struct DamageLog {
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    unreported: Vec<Damage>,
    /// Those left in place, lest they be reported at every read.
    left: HashSet<DamagedItem>,
}

impl DamagedItem {
    fn digest(&self) -> &Digest {
        match self {
            Self::Object(digest) => &digest.0,
            Self::Record(key) => &key.0,
        }
    }

    fn place(&self, layout: &Layout) -> PathBuf {
        match self {
            Self::Object(digest) => layout.object(digest),
            Self::Record(key) => layout.action(key),
        }
    }

    fn prefix(&self) -> &'static str {
        match self {
            Self::Object(_) => "object",
            Self::Record(_) => "record",
        }
    }
}

impl Store {
    /// Hands over the damage found since the last call, each piece once.
    pub fn take_damage(&self) -> Vec<Damage> {
        let mut found = self.damage().lock();
        std::mem::take(&mut found.unreported)
    }

    /// Moves a bad entry aside, so that it is a miss from now on, and notes it.
    pub(crate) fn set_aside(&self, item: DamagedItem) {
        let place = item.place(self.layout());
        let moved = (self.access() == Access::Write)
            .then(|| self.move_aside(&place, &item))
            .flatten();
        let mut found = self.damage().lock();
        let path = match moved {
            Some(path) => path,
            // Somebody else was faster, and reports it.
            None if place.symlink_metadata().is_err() => return,
            None if !found.left.insert(item) => return,
            None => place,
        };
        found.unreported.push(Damage { item, path });
    }

    fn move_aside(&self, place: &Path, item: &DamagedItem) -> Option<PathBuf> {
        // The moment sets apart what was damaged more than once.
        let moment = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()?
            .as_nanos();
        let name = format!("{}-{}-{moment:x}", item.prefix(), item.digest());
        let aside = self.layout().damaged().join(name);
        self.disk().rename(place, &aside).ok().map(|()| aside)
    }
}

impl DamageLog {
    fn lock(&self) -> std::sync::MutexGuard<'_, Found> {
        // A list that is only pushed to is whole whatever panicked beside it.
        self.found
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
