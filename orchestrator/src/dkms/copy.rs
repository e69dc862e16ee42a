//! Copies of directory trees, as `cp -a` makes them.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, lchown, symlink},
    path::Path,
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

/// Copies the content of `from` into the directory `to`, with modes, times and, where that is
/// allowed, owners. Special files are passed over.
///
/// # Errors
/// Fails with the first file that cannot be copied.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !target.is_dir() {
                fs::create_dir(&target)?;
            }
            copy_tree(&source, &target)?;
        } else if kind.is_symlink() {
            let _ = fs::remove_file(&target);
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_file() {
            let _ = fs::remove_file(&target);
            fs::copy(&source, &target)?;
        } else {
            continue;
        }
        keep_attributes(&source, &target)?;
    }
    keep_attributes(from, to)
}

fn keep_attributes(source: &Path, target: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(source)?;
    // Only root may give files away; a copy of another's file is then the copier's.
    let _ = lchown(target, Some(metadata.uid()), Some(metadata.gid()));
    if !metadata.is_symlink() {
        fs::set_permissions(target, metadata.permissions())?;
    }
    let time = |seconds, nanoseconds| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time(metadata.atime(), metadata.atime_nsec()),
        last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
    };
    utimensat(CWD, target, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(Into::into)
}
