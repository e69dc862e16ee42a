//! Removes a directory that somebody else has filled: however deep it is, and whatever permissions are in it.
//!
//! What is below is not descended into: a directory in a directory is moved up to the top first. So neither the stack nor the number of
//! open files grows with the depth. All is done through descriptors, so that what somebody puts in the place of a directory
//! meanwhile is not touched.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, Permissions},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, fchmod, openat, renameat_with, unlinkat,
    },
    io::Errno,
};

use crate::Directory;

/// Removes a directory and all below it; that there is none is fine. Links are removed, not what they lead to.
///
/// # Errors
/// Fails with the first file that cannot be removed.
pub fn remove_filled(path: &Path) -> io::Result<()> {
    let top = match enter(CWD, path.as_os_str()) {
        Err(Errno::NOENT) => return Ok(()),
        entered => entered?,
    };
    let mut moved = 0;
    loop {
        let inner = empty(&top, |_, _| Ok(()))?;
        if inner.is_empty() {
            break;
        }
        for name in inner {
            let directory = enter(top.as_fd(), &name)?;
            empty(&directory, |parent, name| {
                move_up(parent, name, &top, &mut moved)
            })?;
            unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
        }
    }
    fs::remove_dir(path)
}

/// Opens a directory, and no link to one, and lets this process list and change it.
fn enter(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<Directory> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Where it is somebody else's, what follows says so.
    match openat(parent, name, OFlags::RDONLY | flags, Mode::empty()) {
        Err(Errno::ACCESS) => {}
        Ok(directory) => {
            let _ = fchmod(&directory, Mode::RWXU);
            return Ok(directory.into());
        }
        Err(errno) => return Err(errno),
    }
    // One that may not be read is changed only by way of /proc.
    let place = Directory::from(openat(parent, name, flags | OFlags::PATH, Mode::empty())?);
    let _ = fs::set_permissions(place.by_number(), Permissions::from_mode(0o700));
    let directory = openat(&place, ".", OFlags::RDONLY | flags, Mode::empty())?;
    Ok(directory.into())
}

/// Removes all from a directory but directories, which are `handed` on; gives their names.
fn empty(
    directory: &Directory,
    mut handed: impl FnMut(&Directory, &OsStr) -> rustix::io::Result<()>,
) -> io::Result<Vec<OsString>> {
    let mut inner = Vec::new();
    for entry in directory.entries()? {
        let (name, kind) = entry?;
        let removed = match kind {
            FileType::Directory => Err(Errno::ISDIR),
            _ => unlinkat(directory, &name, AtFlags::empty()),
        };
        match removed {
            Err(Errno::ISDIR) => inner.push(name),
            Err(Errno::NOENT) => {}
            removed => removed?,
        }
    }
    for name in &inner {
        handed(directory, name)?;
    }
    Ok(inner)
}

/// Moves a directory to the top, under a name that is free there.
fn move_up(
    parent: &Directory,
    name: &OsStr,
    top: &Directory,
    moved: &mut u64,
) -> rustix::io::Result<()> {
    let mut is_open = false;
    loop {
        let free = format!("moved-{moved}");
        *moved += 1;
        match renameat_with(parent, name, top, free.as_str(), RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            // Whoever moves a directory writes to it.
            Err(Errno::ACCESS) if !is_open => {
                drop(enter(parent.as_fd(), name)?);
                is_open = true;
            }
            // A file system that cannot tell: an empty directory there may be replaced, it goes anyway.
            Err(Errno::INVAL) => return rustix::fs::renameat(parent, name, top, free.as_str()),
            renamed => return renamed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Directories in each other, made as no path could name them.
    fn nest(top: &Path, depth: usize) {
        let mut place = enter(CWD, top.as_os_str()).unwrap();
        for _ in 0..depth {
            rustix::fs::mkdirat(&place, "d", Mode::RWXU).unwrap();
            let file = OFlags::CREATE | OFlags::WRONLY;
            drop(openat(&place, "f", file, Mode::RUSR).unwrap());
            place = enter(place.as_fd(), OsStr::new("d")).unwrap();
        }
    }

    #[test]
    fn directories_that_no_path_could_name() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().join("top");
        fs::create_dir(&top).unwrap();
        nest(&top, 20_000);
        remove_filled(&top).unwrap();
        assert!(!top.exists());
        remove_filled(&top).unwrap();
    }

    #[test]
    fn closed_directories_and_names_that_are_taken() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().join("top");
        for path in ["moved-0", "a/b/c", "a/moved-1/x", "moved-1/b/moved-0"] {
            fs::create_dir_all(top.join(path)).unwrap();
            fs::write(top.join(path).join("file"), "").unwrap();
        }
        for path in ["a/b/c", "a/b", "moved-1"] {
            fs::set_permissions(top.join(path), Permissions::from_mode(0o000)).unwrap();
        }
        remove_filled(&top).unwrap();
        assert!(!top.exists());
    }

    #[test]
    fn what_a_link_leads_to_stays() {
        let temp = tempfile::tempdir().unwrap();
        let (top, other) = (temp.path().join("top"), temp.path().join("other"));
        fs::create_dir_all(top.join("inner")).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("file"), "").unwrap();
        fs::set_permissions(&other, Permissions::from_mode(0o555)).unwrap();
        symlink(&other, top.join("link")).unwrap();
        symlink(&other, top.join("inner/link")).unwrap();
        remove_filled(&top).unwrap();
        assert!(other.join("file").exists());
        assert_eq!(
            fs::metadata(&other).unwrap().permissions().mode() & 0o777,
            0o555
        );
        let link = temp.path().join("link");
        symlink(&other, &link).unwrap();
        assert!(remove_filled(&link).is_err());
        assert!(other.join("file").exists());
    }
}
