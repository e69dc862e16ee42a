//! Whether something is mounted on a directory: also what a bind mount shows of the same
//! device.

use std::{fs, io, path::Path};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::error::FilesError;

/// Fails if a directory or one below it is a mount point. Files that are mount points need no
/// looking for: the system does not let them be removed.
pub(crate) fn refuse_mounts(directory: &Path) -> Result<(), FilesError> {
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        // Only the root has none.
        None => {
            return Err(FilesError::MountPoint {
                path: directory.to_owned(),
            });
        }
    };
    let own = mount_of(parent, AtFlags::empty()).map_err(FilesError::at(parent))?;
    look(directory, own)
}

fn look(directory: &Path, own: Mount) -> Result<(), FilesError> {
    let failed = || FilesError::at(directory);
    if mount_of(directory, AtFlags::SYMLINK_NOFOLLOW).map_err(failed())? != own {
        return Err(FilesError::MountPoint {
            path: directory.to_owned(),
        });
    }
    for entry in fs::read_dir(directory).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        if entry.file_type().map_err(failed())?.is_dir() {
            look(&entry.path(), own)?;
        }
    }
    Ok(())
}

/// A mount; where the kernel does not number them (before 5.8) its device.
type Mount = (u64, u32, u32);

fn mount_of(directory: &Path, flags: AtFlags) -> io::Result<Mount> {
    let found = statx(CWD, directory, flags, StatxFlags::MNT_ID | StatxFlags::TYPE)?;
    let number = if found.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
        0
    } else {
        found.stx_mnt_id
    };
    Ok((number, found.stx_dev_major, found.stx_dev_minor))
}
