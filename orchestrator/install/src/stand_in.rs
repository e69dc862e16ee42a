//! Files that are locked in the place of directories that everybody may read: flock(2) asks for no more than a descriptor, so
//! that any user could keep root from a directory's lock for ever.
//!
//! They are in a directory below /run that nobody but root can pass, and named by device and inode of what they stand for. Not in
//! the directory itself, where one that was left by a killed process would keep a package manager from removing it. Whoever gives a lock up removes its file.

use std::{
    env,
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::PathBuf,
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, open, openat},
    io::Errno,
    process::geteuid,
};

/// Where they are. Unit tests leave the machine's alone.
fn place() -> PathBuf {
    match cfg!(test) {
        true => env::temp_dir().join("kiln-test-locks"),
        false => PathBuf::from("/run/kiln"),
    }
}

/// What a directory's lock is taken on; given up and removed when dropped.
#[derive(Debug)]
pub(super) struct StandIn {
    file: File,
    path: PathBuf,
}

impl StandIn {
    /// Opens the one that stands for a directory, not locked yet. Gives nothing to who is not root, and where /run is not to
    /// be had: not there, not writable, `/run/kiln` somebody else's.
    ///
    /// # Errors
    /// Fails where it cannot be made for want of something, as others may have been made before.
    pub(super) fn of(directory: &File) -> io::Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let found = directory.metadata()?;
        let name = format!("{:x}-{}.lock", found.dev(), found.ino());
        let Some(place_open) = open_place()? else {
            return Ok(None);
        };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&place_open, &name, flags, Mode::from_raw_mode(0o600)) {
            Ok(file) => Ok(Some(Self {
                file: file.into(),
                path: place().join(name),
            })),
            Err(errno) if is_no_place(errno) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether it still has its name, or its last owner has removed it between our opening and our locking it.
    pub(super) fn is_named(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.nlink() > 0)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // Not while others share it. Who has it alone may remove it, if it was not removed before that.
        let alone = flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if alone && self.is_named() {
            let _ = fs::remove_file(&self.path);
        }
        // Closing would do, were it not for children between fork and exec, which share the descriptor.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Makes and opens the directory that they are in, closed to others.
fn open_place() -> io::Result<Option<File>> {
    let place = place();
    match fs::DirBuilder::new().mode(0o700).create(&place) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if Errno::from_io_error(&error).is_some_and(is_no_place) => return Ok(None),
        made => made?,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match open(&place, flags, Mode::empty()) {
        Ok(directory) => File::from(directory),
        Err(errno) if is_no_place(errno) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let found = directory.metadata()?;
    if found.uid() != 0 {
        return Ok(None);
    }
    if found.mode() & 0o077 != 0 {
        let closed = directory.set_permissions(fs::Permissions::from_mode(0o700));
        match closed {
            Err(error) if Errno::from_io_error(&error).is_some_and(is_no_place) => return Ok(None),
            closed => closed?,
        }
    }
    Ok(Some(directory))
}

/// Whether an error says that there is no place for such files, which is so for whoever asks, and not that something has run out.
fn is_no_place(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ROFS | Errno::ACCESS | Errno::PERM
    )
}
