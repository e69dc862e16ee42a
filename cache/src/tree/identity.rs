//! When a file may be taken for unchanged without reading it.
//!
//! Two equal [`StatIdentity`]s mean equal content, with one exception that git calls *racily clean*: a
//! file written twice within one tick of the file system's clock looks the same after both. So a
//! digest is only trusted later if the file's change time was already past when reading began. The
//! change time decides and not the modification time, because no program can set it.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

/// How far a file system's clock may lag behind ours: several ticks of the slowest kernel (HZ=100).
const GRANULARITY_NS: i64 = 20_000_000;

/// How a file looks to `stat`: every part that a change of its content or its place would alter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StatIdentity {
    /// The device that holds the file.
    pub device: u64,
    /// The file's number there.
    pub inode: u64,
    /// The length in bytes.
    pub size: u64,
    /// When the content last changed, in nanoseconds since 1970.
    pub modified: i64,
    /// When the content or the inode last changed, in nanoseconds since 1970.
    pub changed: i64,
    /// The type and the permission bits.
    pub mode: u32,
}

// The widths of `Stat`'s fields differ between architectures, hence casts that are no-ops on some.
#[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap)]
impl StatIdentity {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as u64,
            modified: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            mode: stat.st_mode as u32,
        }
    }
}

impl StatIdentity {
    /// Whether anyone at all may execute the file.
    pub(crate) fn is_executable(&self) -> bool {
        self.mode & 0o111 != 0
    }

    /// Whether content read after `started` can be recognised by this identity later.
    pub(crate) fn is_settled(&self, started: Started) -> bool {
        self.changed < started.0.saturating_sub(GRANULARITY_NS)
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

/// When a scan began, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started(i64);

impl Started {
    pub(crate) fn now() -> Self {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
        // Before 1970 nothing is settled, which costs reading but is never wrong.
        Self(elapsed.map_or(i64::MIN, |elapsed| {
            i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
        }))
    }
}

/// An identity, and whether it may stand for the content that was read under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Witness {
    pub(crate) identity: StatIdentity,
    pub(crate) settled: bool,
}

impl Witness {
    pub(crate) fn new(identity: StatIdentity, started: Started) -> Self {
        Self {
            identity,
            settled: identity.is_settled(started),
        }
    }

    /// Whether what `stat` says now proves that nothing has changed.
    pub(crate) fn vouches_for(&self, now: &StatIdentity) -> bool {
        self.settled && self.identity == *now
    }
}
