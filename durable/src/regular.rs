//! Opening a file where anything may be: a FIFO, a device, a directory, a link, a file without end.
//!
//! Nothing but a regular file is opened, and never one that is larger than it can be. Nothing waits: a
//! plain `open` of a FIFO would, for ever, and beyond any signal that is handled.
//!
//! What a store has made itself is read with [`read`], which follows no link. What a person may have put somewhere is read
//! with [`read_at_once`], which does: a link to the null device is the customary way to have a file say nothing.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
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

/// Opens the regular file that a path leads to, or the null device, which is an empty one.
///
/// # Errors
///
/// Fails as `open` does, and says what is there if it is something else.
pub fn open_at_once(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // A device without a driver, else.
        Err(Errno::NXIO | Errno::NODEV) => return Err(no_file("a socket or a device")),
        Err(errno) => return Err(errno.into()),
    };
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if kind.is_file() || is_null(&metadata) {
        Ok(file)
    } else if kind.is_dir() {
        Err(Errno::ISDIR.into())
    } else if kind.is_fifo() {
        Err(no_file("a pipe"))
    } else {
        Err(no_file("a device"))
    }
}

/// Whether something is the null device.
#[must_use]
pub fn is_null(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == rustix::fs::makedev(1, 3)
}

fn no_file(what: &str) -> io::Error {
    let said = format!("it is {what}, not a file");
    io::Error::new(io::ErrorKind::InvalidInput, said)
}

/// Reads the file that a path leads to, of at most `limit` bytes.
///
/// # Errors
///
/// As [`open_at_once`], if it cannot be read, and for a larger one.
pub fn read_at_once(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_opened(&open_at_once(path)?, limit)
}

/// As [`read_at_once`], of text.
///
/// # Errors
///
/// As [`read_at_once`], and if it is not UTF-8.
pub fn read_text_at_once(path: &Path, limit: u64) -> io::Result<String> {
    let text = String::from_utf8(read_at_once(path, limit)?);
    text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

/// The most that the kernel says in a file of /proc or /sys.
const OF_SYSTEM: u64 = 64 << 20;

/// Reads a file in which the kernel says something.
///
/// # Errors
///
/// As [`read_at_once`].
pub fn of_system(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    read_at_once(path.as_ref(), OF_SYSTEM)
}

/// As [`of_system`], of text.
///
/// # Errors
///
/// As [`read_text_at_once`].
pub fn text_of_system(path: impl AsRef<Path>) -> io::Result<String> {
    read_text_at_once(path.as_ref(), OF_SYSTEM)
}

/// Reads what is left of a file, of at most `limit` bytes.
///
/// # Errors
///
/// If it cannot be read, and for a larger one.
pub fn read_opened(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    // What a file of /proc has does not show in its length.
    let metadata = file.metadata()?;
    must_have_at_most(limit, &metadata)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(too_large(limit)),
        false => Ok(bytes),
    }
}

/// Refuses a file of more than `limit` bytes.
///
/// # Errors
///
/// Says how many bytes it may have.
pub fn must_have_at_most(limit: u64, file: &Metadata) -> io::Result<()> {
    match file.len() > limit {
        true => Err(too_large(limit)),
        false => Ok(()),
    }
}

fn too_large(limit: u64) -> io::Error {
    let said = format!("it has more than {limit} bytes");
    io::Error::new(io::ErrorKind::FileTooLarge, said)
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
