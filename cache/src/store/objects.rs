//! Reading objects: nothing leaves the store that does not have the digest it was asked for.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use kiln_durable::regular::{self, Unreadable};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use super::Store;
use super::damage::DamagedItem;
use super::error::{At, StoreError};
use super::gate::Gate;
use crate::digest::{ContentHasher, ObjectDigest};

/// Large enough that big objects are hashed on all cores, small enough for many threads.
pub(crate) const PIECE: usize = 1 << 20;

/// No object is larger: what is, in its place, is damage, which is not to be read for hours.
pub(crate) const OBJECT_LIMIT: u64 = 4 << 30;

/// What is larger is read once to be verified before it is read into memory.
const AT_ONCE: u64 = 64 << 20;

impl Store {
    /// Where an object is or would be, for people to look at: what it holds is not verified.
    pub fn object_path(&self, digest: &ObjectDigest) -> PathBuf {
        self.layout().object(digest)
    }

    /// Whether there is an object of that name; its content is not verified.
    pub fn contains(&self, digest: &ObjectDigest) -> bool {
        self.size_of(digest).is_some()
    }

    /// The size of an object, if there is one; its content is not verified.
    pub(crate) fn size_of(&self, digest: &ObjectDigest) -> Option<u64> {
        let path = self.object_path(digest);
        let metadata = path.symlink_metadata().ok()?;
        let counts = metadata.is_file() && self.layout().is_safe(&path, &metadata);
        counts.then_some(metadata.len())
    }

    /// The content of an object, verified; `None` if it is missing or was bad.
    ///
    /// # Errors
    ///
    /// When the system refuses to read, not when the content is bad.
    pub fn read(&self, digest: &ObjectDigest) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut file) = self.open_used(digest, OBJECT_LIMIT)? else {
            return Ok(None);
        };
        if file.metadata().at(&self.object_path(digest))?.len() > AT_ONCE {
            let Some(whole) = self.open_object(digest)? else {
                return Ok(None);
            };
            file = whole;
        }
        let mut content = Vec::new();
        match file.take(OBJECT_LIMIT).read_to_end(&mut content) {
            Ok(_) if ObjectDigest::of(&content) == *digest => Ok(Some(content)),
            Ok(_) => Ok(self.bad(digest)),
            Err(error) => self.unreadable(digest, error),
        }
    }

    /// An object's file, verified and at its beginning; `None` if it is missing or was bad.
    ///
    /// # Errors
    ///
    /// As [`Store::read`].
    pub fn open_object(&self, digest: &ObjectDigest) -> Result<Option<File>, StoreError> {
        let Some(mut file) = self.open_used(digest, OBJECT_LIMIT)? else {
            return Ok(None);
        };
        match hash(&mut file) {
            Ok((found, _)) if found == *digest => {
                file.rewind().at(&self.object_path(digest))?;
                Ok(Some(file))
            }
            Ok(_) => Ok(self.bad(digest)),
            Err(error) => self.unreadable(digest, error),
        }
    }

    /// Reads an object to its end: its size if it is good, `None` if it is missing or was bad.
    ///
    /// # Errors
    ///
    /// As [`Store::read`].
    pub fn verify_object(&self, digest: &ObjectDigest) -> Result<Option<u64>, StoreError> {
        self.verify_within(digest, OBJECT_LIMIT)
    }

    /// As [`Store::verify_object`], for an object that is known to have no more bytes than `limit`.
    pub(crate) fn verify_within(
        &self,
        digest: &ObjectDigest,
        limit: u64,
    ) -> Result<Option<u64>, StoreError> {
        match self.open_plain(digest, limit)? {
            Some(file) => self.verify_open(digest, file),
            None => Ok(None),
        }
    }

    /// As [`Store::verify_within`], and marks the object as used before that, so that it stays.
    pub(crate) fn verify_used(
        &self,
        digest: &ObjectDigest,
        limit: u64,
    ) -> Result<Option<u64>, StoreError> {
        match self.open_used(digest, limit)? {
            Some(file) => self.verify_open(digest, file),
            None => Ok(None),
        }
    }

    fn verify_open(
        &self,
        digest: &ObjectDigest,
        mut file: File,
    ) -> Result<Option<u64>, StoreError> {
        match hash(&mut file) {
            Ok((found, size)) if found == *digest => Ok(Some(size)),
            Ok(_) => Ok(self.bad(digest)),
            Err(error) => self.unreadable(digest, error),
        }
    }

    /// Opens an object and marks it as used, so that it is not collected while it is read.
    pub(crate) fn open_used(
        &self,
        digest: &ObjectDigest,
        limit: u64,
    ) -> Result<Option<File>, StoreError> {
        let _gate = Gate::shared(self.layout(), self.access())?;
        let file = self.open_plain(digest, limit)?;
        if file.is_some() {
            touch(&self.object_path(digest));
        }
        Ok(file)
    }

    pub(crate) fn open_plain(
        &self,
        digest: &ObjectDigest,
        limit: u64,
    ) -> Result<Option<File>, StoreError> {
        let path = self.object_path(digest);
        match regular::open(&path, limit) {
            Ok((file, metadata)) if self.layout().is_safe(&path, &metadata) => Ok(Some(file)),
            // It may change once it has been verified.
            Ok(_) => Ok(self.bad(digest)),
            Err(Unreadable::Missing) => Ok(None),
            Err(Unreadable::NotRegular | Unreadable::TooLarge) => Ok(self.bad(digest)),
            Err(Unreadable::System(error)) => self.unreadable(digest, error),
        }
    }

    /// A bad object is moved aside and is a miss.
    pub(crate) fn bad<T>(&self, digest: &ObjectDigest) -> Option<T> {
        self.set_aside(DamagedItem::Object(*digest));
        None
    }

    /// What the disk cannot give back, or is no file at all, is as bad as what it gives back wrongly.
    pub(crate) fn unreadable<T>(
        &self,
        digest: &ObjectDigest,
        error: io::Error,
    ) -> Result<Option<T>, StoreError> {
        if is_damage(&error) {
            return Ok(self.bad(digest));
        }
        Err(StoreError::io(&self.object_path(digest), error))
    }
}

pub(crate) fn is_damage(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    errno == Some(rustix::io::Errno::IO)
}

/// Marks a file as used now. Best effort: what cannot be marked is collected a little earlier.
pub(crate) fn touch(path: &Path) {
    // Finer than the clock that stamps files: who collects must see that it was used once more.
    let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) else {
        return;
    };
    let now = Timespec {
        tv_sec: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(now.subsec_nanos()),
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    let _ = rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}

/// The digest and length of what is left of a file.
pub(crate) fn hash(file: &mut File) -> io::Result<(ObjectDigest, u64)> {
    copy(file, |_| Ok(()))
}

/// Reads a file to its end, hands on each piece, and says what it was: its digest and length.
///
/// # Errors
///
/// When it cannot be read, or `write` fails.
pub fn copy(
    file: &mut File,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(ObjectDigest, u64)> {
    let size = file.metadata()?.len();
    let mut piece = vec![0; usize::try_from(size).map_or(PIECE, |size| size.clamp(1, PIECE))];
    let mut hasher = ContentHasher::new();
    let mut length = 0;
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok((hasher.finish(), length)),
            Ok(read) => {
                hasher.update(&piece[..read]);
                write(&piece[..read])?;
                length += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Opens a regular file that is to be stored.
pub(crate) fn open_regular(path: &Path) -> Result<File, StoreError> {
    // Without O_NONBLOCK, opening a fifo would block for ever.
    let flags =
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).at(path)?;
    let file = File::from(fd);
    if file.metadata().at(path)?.is_file() {
        Ok(file)
    } else {
        Err(StoreError::NotRegular {
            path: path.to_path_buf(),
        })
    }
}
