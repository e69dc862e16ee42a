//! When a file may be taken for unchanged without reading it.
//!
//! Two equal [`StatIdentity`]s mean equal content, with one exception that git calls *racily clean*: a
//! file written twice within one tick of the file system's clock looks the same after both. So a
//! digest is only trusted later if the file's change time was already past when reading began. The
//! change time decides and not the modification time, because no program can set it.

use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Mode, OFlags, Statx};
use rustix::io::Errno;
use rustix::path::Arg;
use serde::{Deserialize, Serialize};

use crate::tree::file_system::{self, Voucher};

/// Several ticks of the slowest kernel (HZ=100).
const TICKS: Duration = Duration::from_millis(20);

/// The longest that a file system without fractions of a second takes for one: two seconds (vfat), and ticks.
const WHOLE_SECONDS: Duration = Duration::from_millis(2020);

/// How far a change time may lie behind the clock when it is given, by its nanoseconds within the second. File
/// systems that keep no fraction, such as ext4 with inodes of 128 bytes, show 0.
pub fn lag(nanoseconds: i64) -> Duration {
    match nanoseconds {
        0 => WHOLE_SECONDS,
        _ => TICKS,
    }
}

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
    /// How far the change time may lie behind the clock; see [`lag`].
    fn lag(&self) -> Duration {
        lag(self.changed.rem_euclid(1_000_000_000))
    }

    /// Whether anyone at all may execute the file.
    pub(crate) fn is_executable(&self) -> bool {
        self.mode & 0o111 != 0
    }

    /// Whether content read after `started` can be recognised by this identity later.
    pub(crate) fn is_settled(&self, started: Started) -> bool {
        let lag = i64::try_from(self.lag().as_nanos()).unwrap_or(i64::MAX);
        self.voucher != 0 && self.changed < started.0.saturating_sub(lag)
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

    /// If the file is only too fresh to be recognised later: after how long it is not.
    pub(crate) fn settles_in(&self) -> Option<Duration> {
        let is_fresh = !self.settled && self.identity.voucher != 0;
        is_fresh.then(|| self.identity.lag())
    }

    /// Whether what `stat` says now proves that nothing has changed.
    pub(crate) fn vouches_for(&self, now: &StatIdentity) -> bool {
        self.settled && self.identity == *now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn is_settled(changed: i64, started: i64) -> bool {
        let identity = StatIdentity {
            device: 1,
            inode: 2,
            size: 3,
            modified: changed,
            changed,
            mode: 0o100_644,
            voucher: 1,
        };
        identity.is_settled(Started(started))
    }

    #[test]
    fn a_time_settles_within_ticks_and_one_without_a_fraction_within_seconds() {
        let at = 100 * SECOND;
        assert!(!is_settled(at + 1, at + SECOND / 100));
        assert!(is_settled(at + 1, at + SECOND / 10));
        // The same second, and for a file system that counts every other the next.
        assert!(!is_settled(at, at + SECOND / 10));
        assert!(!is_settled(at, at + 2 * SECOND));
        assert!(is_settled(at, at + 3 * SECOND));
    }
}
