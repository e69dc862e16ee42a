//! Opening a file where anything may be: a FIFO, a device, a directory, a link, a file without end.
//!
//! Nothing but a regular file is opened, and never one that is larger than it can be. Nothing waits: a
//! plain `open` of a FIFO would, for ever, and beyond any signal that is handled.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Why there is nothing to read.
#[derive(Debug)]
pub enum Unreadable {
    /// There is no such file, or no such directory.
    Missing,
    /// Something else than a file has its name.
    NotRegular,
    /// It is larger than any such file.
    TooLarge,
    /// The system refuses.
    System(io::Error),
}

/// Opens a regular file of at most `limit` bytes; a link is not followed.
///
/// # Errors
///
/// See [`Unreadable`].
pub fn open(path: &Path, limit: u64) -> Result<(File, Metadata), Unreadable> {
    let flags =
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Err(Unreadable::Missing),
        // A link, a socket, a device without a driver.
        Err(Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Err(Unreadable::NotRegular),
        Err(errno) => return Err(Unreadable::System(errno.into())),
    };
    let metadata = file.metadata().map_err(Unreadable::System)?;
    if !metadata.is_file() {
        return Err(Unreadable::NotRegular);
    }
    if metadata.len() > limit {
        return Err(Unreadable::TooLarge);
    }
    Ok((file, metadata))
}

/// Opens what is at a path, links followed, unless it is a pipe: nothing waits for somebody to write into it.
///
/// # Errors
///
/// Fails as `open` does, and for a pipe.
pub fn open_at_once(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    match file.metadata()?.file_type().is_fifo() {
        true => Err(io::Error::other("it is a pipe, not a file")),
        false => Ok(file),
    }
}

/// Reads a regular file of at most `limit` bytes; a link is not followed.
///
/// # Errors
///
/// See [`Unreadable`].
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Unreadable> {
    Ok(read_if(path, limit, |_| true)?.unwrap_or_default())
}

/// As [`read`], if the file is one that may be read; `None` if it is not.
///
/// # Errors
///
/// See [`Unreadable`].
pub fn read_if(
    path: &Path,
    limit: u64,
    may_be_read: impl FnOnce(&Metadata) -> bool,
) -> Result<Option<Vec<u8>>, Unreadable> {
    let (file, metadata) = open(path, limit)?;
    if !may_be_read(&metadata) {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    // It may grow meanwhile.
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(Unreadable::System)?;
    if bytes.len() as u64 > limit {
        return Err(Unreadable::TooLarge);
    }
    Ok(Some(bytes))
}

#[cfg(test)]
#[path = "regular/tests.rs"]
mod tests;
