//! What a file system's `stat` is worth: whether equal times mean equal content.
//!
//! On the file systems listed here the kernel sets the change time at every change, and no program can.
//! An image that never changes says nothing by its times, which its maker set; there it counts whether it
//! is still the same mount. On all others (network, FUSE, FAT...) nothing but reading tells. A file system
//! that nobody put on a list is one of those.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use kiln_durable::regular;
use rustix::fs::{AtFlags, StatVfsMountFlags, Statx, StatxFlags};

use crate::digest::ObjectDigest;

/// Not known to rustix: the mount's number is one that no other mount has until the next boot (Linux 6.8).
const MNT_ID_UNIQUE: u32 = 0x4000;

/// File systems whose change times tell, by their magic numbers.
const LIVE: [u64; 7] = [
    0xEF53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683E, // btrfs
    0x0102_1994, // tmpfs
    0xF2F5_2010, // f2fs
    0xCA45_1A4E, // bcachefs
    0x2FC1_2FC1, // zfs
];

/// Those that stay as they are while they are mounted, or are made of such and of live ones.
const MOUNTED: [u64; 4] = [
    0x7371_7368, // squashfs
    0xE0F5_E1E2, // erofs
    0x9660,      // iso9660
    0x794C_7630, // overlayfs
];

/// What vouches for a file whose `stat` is the same as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voucher {
    /// Its times, on the file system with this identity.
    Times(u64),
    /// That the mount is the same: its number, made one of this boot's.
    Mount(u64),
    /// Nothing.
    Nothing,
}

impl Voucher {
    /// A number for it; equal numbers are equal vouchers.
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Times(identity) | Self::Mount(identity) => identity.max(1),
        }
    }

    /// What vouches on a file system of this kind.
    fn of(kind: u64, identity: u64, is_read_only: bool, mount: Option<u64>) -> Self {
        // The times of what cannot be written were not set by this kernel as it was written.
        match (LIVE.contains(&kind), MOUNTED.contains(&kind), mount) {
            (true, _, _) if !is_read_only => Self::Times(mix(&[kind, identity])),
            (true, _, Some(mount)) | (_, true, Some(mount)) => {
                boot().map_or(Self::Nothing, |boot| Self::Mount(mix(&[boot, mount])))
            }
            _ => Self::Nothing,
        }
    }
}

thread_local! {
    /// Vouchers by mount and device. A device is there because without unique numbers a mount's may be
    /// given again.
    static KNOWN: RefCell<Vec<((u64, u64), Voucher)>> = const { RefCell::new(Vec::new()) };
}

/// What vouches for a file, of which a first look gave the mount and the device. `open` gives a handle of
/// it, and is called once for each mount and thread.
pub(crate) fn voucher(
    seen: &Statx,
    open: impl FnOnce() -> rustix::io::Result<OwnedFd>,
) -> rustix::io::Result<Voucher> {
    let place = place(seen);
    let known = |known: &RefCell<Vec<((u64, u64), Voucher)>>| {
        let known = known.borrow();
        known.iter().find(|(at, _)| *at == place).map(|(_, v)| *v)
    };
    if let Some(voucher) = KNOWN.with(known) {
        return Ok(voucher);
    }
    let handle = open()?;
    let again = rustix::fs::statx(&handle, c"", AtFlags::EMPTY_PATH, flags())?;
    if self::place(&again) != place {
        return Ok(Voucher::Nothing);
    }
    let (kind, status) = (
        rustix::fs::fstatfs(&handle)?,
        rustix::fs::fstatvfs(&handle)?,
    );
    let is_unique = seen.stx_mask & MNT_ID_UNIQUE != 0;
    let voucher = Voucher::of(
        kind.f_type as u64 & 0xFFFF_FFFF,
        status.f_fsid,
        status.f_flag.contains(StatVfsMountFlags::RDONLY),
        is_unique.then_some(seen.stx_mnt_id),
    );
    KNOWN.with(|known| known.borrow_mut().push((place, voucher)));
    Ok(voucher)
}

/// What is asked of a file.
pub(crate) fn flags() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::MNT_ID | StatxFlags::from_bits_retain(MNT_ID_UNIQUE)
}

fn place(seen: &Statx) -> (u64, u64) {
    let device = rustix::fs::makedev(seen.stx_dev_major, seen.stx_dev_minor);
    (seen.stx_mnt_id, device)
}

/// Numbers of mounts start anew at every boot.
fn boot() -> Option<u64> {
    static BOOT: OnceLock<Option<u64>> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let id = regular::of_system("/proc/sys/kernel/random/boot_id").ok()?;
        (!id.is_empty()).then(|| first_number(&ObjectDigest::of(&id)))
    })
}

fn mix(numbers: &[u64]) -> u64 {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    first_number(&ObjectDigest::of(&bytes))
}

fn first_number(digest: &ObjectDigest) -> u64 {
    let bytes = digest.0.as_bytes();
    bytes[..8]
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXT4: u64 = 0xEF53;
    const SQUASHFS: u64 = 0x7371_7368;
    const FUSE: u64 = 0x6573_5546;

    #[test]
    fn times_tell_on_a_live_file_system_whatever_the_mount() {
        let of = |identity, mount| Voucher::of(EXT4, identity, false, mount).number();
        assert_ne!(of(7, Some(1)), 0);
        assert_eq!(of(7, Some(1)), of(7, Some(2)));
        assert_eq!(of(7, None), of(7, Some(2)));
        assert_ne!(of(7, Some(1)), of(8, Some(1)), "another file system");
    }

    #[test]
    fn an_image_is_known_by_its_mount_or_not_at_all() {
        for (kind, is_read_only) in [(SQUASHFS, true), (EXT4, true)] {
            let of = |mount| Voucher::of(kind, 7, is_read_only, mount).number();
            assert_ne!(of(Some(1)), 0);
            assert_eq!(of(Some(1)), of(Some(1)));
            assert_ne!(of(Some(1)), of(Some(2)), "another image may be there");
            assert_eq!(of(None), 0);
        }
    }

    #[test]
    fn nothing_vouches_for_what_is_on_no_list() {
        for kind in [FUSE, 0x6969, 0x4D44, 0x0102_1997, 0] {
            assert_eq!(Voucher::of(kind, 7, false, Some(1)).number(), 0);
            assert_eq!(Voucher::of(kind, 7, true, Some(1)).number(), 0);
        }
    }
}
