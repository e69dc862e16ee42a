//! Reading one file for its digest, and noticing when it changes meanwhile.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags};

use super::{ScanError, Stop};
use crate::digest::{ContentHasher, ObjectDigest};
use crate::tree::identity::StatIdentity;
use crate::tree::recheck::is_gone;

/// Large enough that big files are hashed on all cores.
const BUFFER: usize = 1 << 20;

thread_local! {
    static PIECE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What went wrong with a file, before its path is put to it.
pub(crate) enum Fault {
    Changed,
    NotRegular,
    Stopped,
    Io(io::Error),
}

impl Fault {
    pub(crate) fn at(self, path: PathBuf) -> ScanError {
        match self {
            Self::Changed => ScanError::ChangedWhileRead { path },
            Self::NotRegular => ScanError::NotRegular { path },
            Self::Stopped => ScanError::Stopped { path },
            Self::Io(source) => ScanError::Io { path, source },
        }
    }
}

/// Hashes the file at a path below the root that was seen to have this identity.
pub(super) fn hash_file(
    root: BorrowedFd<'_>,
    path: &[u8],
    seen: &StatIdentity,
    stop: &Stop,
) -> Result<ObjectDigest, Fault> {
    // Without O_NONBLOCK, a file that has meanwhile become a fifo would block the open for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(root, path, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(errno) if is_gone(errno) => return Err(Fault::Changed),
        Err(errno) => return Err(Fault::Io(errno.into())),
    };
    let opened = Opened::new(file)?;
    if opened.identity != *seen {
        return Err(Fault::Changed);
    }
    hash_open_file(opened, stop)
}

/// A regular file, and what it looked like when it was opened.
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) identity: StatIdentity,
}

impl Opened {
    pub(crate) fn new(file: File) -> Result<Self, Fault> {
        let identity =
            StatIdentity::of_open(file.as_fd()).map_err(|errno| Fault::Io(errno.into()))?;
        if FileType::from_raw_mode(identity.mode) != FileType::RegularFile {
            return Err(Fault::NotRegular);
        }
        Ok(Self { file, identity })
    }
}

/// Hashes all of an open file, which must look the same after as before.
pub(crate) fn hash_open_file(mut opened: Opened, stop: &Stop) -> Result<ObjectDigest, Fault> {
    // Taken, not borrowed: while a large piece is hashed on all cores, this thread may be given
    // another file to read.
    let mut piece = PIECE.take();
    piece.resize(BUFFER, 0);
    let hashed = hash_pieces(&mut opened.file, &mut piece, stop);
    PIECE.set(piece);
    let (digest, length) = hashed?;
    let after =
        StatIdentity::of_open(opened.file.as_fd()).map_err(|errno| Fault::Io(errno.into()))?;
    if after == opened.identity && length == opened.identity.size {
        Ok(digest)
    } else {
        Err(Fault::Changed)
    }
}

fn hash_pieces(
    file: &mut File,
    piece: &mut [u8],
    stop: &Stop,
) -> Result<(ObjectDigest, u64), Fault> {
    let mut hasher = ContentHasher::new();
    let mut length = 0;
    loop {
        if stop.is_asked() {
            return Err(Fault::Stopped);
        }
        let read = fill(file, piece).map_err(Fault::Io)?;
        hasher.update(&piece[..read]);
        length += read as u64;
        if read < piece.len() {
            return Ok((hasher.finish(), length));
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
