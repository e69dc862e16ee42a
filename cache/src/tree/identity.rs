//! When a file may be taken for unchanged without reading it.
//!
//! Two equal [`StatIdentity`]s mean equal content, with one exception that git calls *racily clean*: a
//! file written twice within one tick of the file system's clock looks the same after both. So a
//! digest is only trusted later if the file's change time was already past when reading began. The
//! change time decides and not the modification time, because no program can set it.

use std::os::fd::BorrowedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Mode, OFlags, Statx};
use rustix::io::Errno;
use rustix::path::Arg;
use serde::{Deserialize, Serialize};

use crate::tree::file_system::{self, Voucher};

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
    /// What makes the rest tell: the file system or the mount, as a number. 0 where nothing does.
    pub voucher: u64,
}

impl StatIdentity {
    /// How what stands at a path looks; `at` says whether a link at its end is followed.
    pub(crate) fn at(
        directory: BorrowedFd<'_>,
        path: impl Arg + Copy,
        at: AtFlags,
    ) -> rustix::io::Result<Self> {
        let seen = rustix::fs::statx(directory, path, at, file_system::flags())?;
        let mut open = OFlags::PATH | OFlags::CLOEXEC;
        if at.contains(AtFlags::SYMLINK_NOFOLLOW) {
            open |= OFlags::NOFOLLOW;
        }
        let handle = || rustix::fs::openat(directory, path, open, Mode::empty());
        Ok(Self::of(&seen, file_system::voucher(&seen, handle)))
    }

    /// How an open file looks.
    pub(crate) fn of_open(file: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        let seen = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, file_system::flags())?;
        let voucher = file_system::voucher(&seen, || rustix::io::dup(file));
        Ok(Self::of(&seen, voucher))
    }

    fn of(seen: &Statx, voucher: Result<Voucher, Errno>) -> Self {
        Self {
            device: rustix::fs::makedev(seen.stx_dev_major, seen.stx_dev_minor),
            inode: seen.stx_ino,
            size: seen.stx_size,
            modified: nanoseconds(seen.stx_mtime.tv_sec, seen.stx_mtime.tv_nsec.into()),
            changed: nanoseconds(seen.stx_ctime.tv_sec, seen.stx_ctime.tv_nsec.into()),
            mode: seen.stx_mode.into(),
            voucher: voucher.map_or(0, Voucher::number),
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
        self.voucher != 0 && self.changed < started.0.saturating_sub(GRANULARITY_NS)
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

    /// Whether the file is only too fresh to be recognised later: in a moment it is not.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.settled && self.identity.voucher != 0
    }

    /// Whether what `stat` says now proves that nothing has changed.
    pub(crate) fn vouches_for(&self, now: &StatIdentity) -> bool {
        self.settled && self.identity == *now
    }
}
