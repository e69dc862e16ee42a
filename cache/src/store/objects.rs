//! Reading objects: nothing leaves the store that does not have the digest it was asked for.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use super::damage::DamagedItem;
use super::error::{At, StoreError};
use super::gate::Gate;
use super::{Store, durable};
use crate::digest::{ContentHasher, ObjectDigest};

/// Large enough that big objects are hashed on all cores, small enough for many threads.
pub(crate) const PIECE: usize = 1 << 20;

impl Store {
    /// Where an object is or would be, for people to look at: what it holds is not verified.
    pub fn object_path(&self, digest: &ObjectDigest) -> PathBuf {
        self.layout().object(digest)
    }

    /// Whether there is an object of that name; its content is not verified.
    pub fn contains(&self, digest: &ObjectDigest) -> bool {
        self.object_path(digest).is_file()
    }

    /// The content of an object, verified; `None` if it is missing or was bad.
    ///
    /// # Errors
    ///
    /// When the system refuses to read, not when the content is bad.
    pub fn read(&self, digest: &ObjectDigest) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut file) = self.open_used(digest)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        match file.read_to_end(&mut content) {
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
        let Some(mut file) = self.open_used(digest)? else {
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
        let Some(mut file) = self.open_plain(digest)? else {
            return Ok(None);
        };
        match hash(&mut file) {
            Ok((found, size)) if found == *digest => Ok(Some(size)),
            Ok(_) => Ok(self.bad(digest)),
            Err(error) => self.unreadable(digest, error),
        }
    }

    /// Opens an object and marks it as used, so that it is not collected while it is read.
    pub(crate) fn open_used(&self, digest: &ObjectDigest) -> Result<Option<File>, StoreError> {
        let _gate = Gate::shared(self.layout(), self.access())?;
        let file = self.open_plain(digest)?;
        if file.is_some() {
            durable::touch(&self.object_path(digest));
        }
        Ok(file)
    }

    fn open_plain(&self, digest: &ObjectDigest) -> Result<Option<File>, StoreError> {
        let path = self.object_path(digest);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path, error)),
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
    matches!(
        errno,
        Some(rustix::io::Errno::IO | rustix::io::Errno::ISDIR)
    )
}

/// The digest and length of what is left of a file.
pub(crate) fn hash(file: &mut File) -> io::Result<(ObjectDigest, u64)> {
    copy(file, |_| Ok(()))
}

/// Reads a file to its end, hands on each piece, and says what it was.
pub(crate) fn copy(
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
