//! One file that takes its place when it is whole.

use std::{
    fs::{self, File, Metadata, Permissions},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use kiln_durable::regular;
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, futimens, open, utimensat};
use tempfile::{Builder, NamedTempFile};

use crate::{Directory, error::FilesError, identity::Identity};

/// How the names of files begin that are not at their place yet.
const TEMPORARY: &str = ".kiln-";

/// A file beside its place, gone when it is dropped.
#[derive(Debug)]
pub struct NewFile {
    file: NamedTempFile,
    place: PathBuf,
}

impl NewFile {
    /// A new file for a place, in its directory, with a mode that the umask applies to; the
    /// directory must be there.
    ///
    /// # Errors
    /// Fails if it cannot be made, and if what is at the place is neither a file nor a link to
    /// one nor to nothing: a device or a pipe must not be replaced by a file.
    pub fn beside(place: &Path, mode: u32) -> Result<Self, FilesError> {
        Self::named(place, mode, TEMPORARY)
    }

    /// Like [`NewFile::beside`], under a name that begins in another way.
    ///
    /// # Errors
    /// As [`NewFile::beside`].
    pub fn named(place: &Path, mode: u32, prefix: &str) -> Result<Self, FilesError> {
        if fs::metadata(place).is_ok_and(|there| !there.is_file()) {
            return Err(FilesError::InTheWay {
                path: place.to_owned(),
            });
        }
        let file = Builder::new()
            .prefix(prefix)
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(directory_of(place))
            .map_err(FilesError::at(place))?;
        Ok(Self {
            file,
            place: place.to_owned(),
        })
    }

    /// What is written to.
    pub fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Where it is until it has its place.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Gives it its place. A link that is there is replaced, not what it leads to.
    ///
    /// # Errors
    /// Fails if it cannot be renamed; what was there then stays.
    pub fn place(self) -> Result<(), FilesError> {
        match self.file.persist(&self.place) {
            Ok(_) => Ok(()),
            Err(error) => Err(FilesError::at(&self.place)(error.error)),
        }
    }
}

/// What a copy may allow: everything to its owner, who is the copier, and to others to read it.
const COPIED: u32 = 0o755;

/// Copies a file with its times and with what others may not change of its mode. A copy onto
/// itself changes nothing.
///
/// # Errors
/// Fails if it cannot be read or written; what was at the place then stays.
pub fn copy_file(from: &Path, to: &Path) -> Result<(), FilesError> {
    let source = regular::open_at_once(from).map_err(FilesError::at(from))?;
    let metadata = source.metadata().map_err(FilesError::at(from))?;
    copy_opened(source, &metadata, from, to)
}

/// Something that was found below a directory, to be copied as what it was then.
pub(crate) struct Listed<'l> {
    pub(crate) directory: &'l Directory,
    /// Below the directory.
    pub(crate) path: &'l Path,
    pub(crate) metadata: &'l Metadata,
    /// Where it is, for messages.
    pub(crate) place: &'l Path,
}

impl Listed<'_> {
    /// Copies a file.
    ///
    /// # Errors
    /// Fails if it is another one by now, or cannot be copied.
    pub(crate) fn copy_file(&self, to: &Path) -> Result<(), FilesError> {
        let failed = || FilesError::at(self.place);
        let source = self.directory.file(self.path).map_err(failed())?;
        let metadata = source.metadata().map_err(failed())?;
        if Identity::from(&metadata) != Identity::from(self.metadata) {
            let changed =
                io::Error::new(io::ErrorKind::InvalidData, "it changed while it was copied");
            return Err(failed()(changed));
        }
        copy_opened(source, &metadata, self.place, to)
    }

    /// Copies a link as such.
    ///
    /// # Errors
    /// Fails if it is none by now, or cannot be made.
    pub(crate) fn copy_link(&self, to: &Path) -> Result<(), FilesError> {
        let target = self.directory.read_link(self.path);
        let target = target.map_err(FilesError::at(self.place))?;
        place_link(&target, Some(self.metadata), to)
    }
}

fn copy_opened(
    mut source: File,
    metadata: &Metadata,
    from: &Path,
    to: &Path,
) -> Result<(), FilesError> {
    if crate::is_same(from, to) {
        return Ok(());
    }
    let mut new = NewFile::beside(to, 0o600)?;
    io::copy(&mut source, new.file()).map_err(FilesError::at(to))?;
    keep_attributes(metadata, new.file()).map_err(FilesError::at(to))?;
    new.place()
}

/// Puts a link at a place, over a file or a link that is there.
///
/// # Errors
/// Fails if it cannot be made, or if there is a directory.
pub fn replace_link(target: &Path, place: &Path) -> Result<(), FilesError> {
    place_link(target, None, place)
}

fn place_link(target: &Path, like: Option<&Metadata>, to: &Path) -> Result<(), FilesError> {
    let failed = || FilesError::at(to);
    let link = Builder::new()
        .prefix(TEMPORARY)
        .make_in(directory_of(to), |path| symlink(target, path))
        .map_err(failed())?;
    if let Some(metadata) = like {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = open(link.path(), flags, Mode::empty()).map_err(io::Error::from);
        let made = File::from(made.map_err(failed())?);
        // In the directory of another user it may be something else by now.
        if made.metadata().is_ok_and(|made| made.is_symlink()) {
            let times = Timestamps::from(Times(metadata));
            let _ = utimensat(&made, "", &times, AtFlags::EMPTY_PATH);
        }
    }
    match link.persist(to) {
        Ok(()) => Ok(()),
        Err(error) => Err(failed()(error.error)),
    }
}

/// Gives an open copy what it keeps of its original: whatever is at its path by now is not touched. What others
/// could change, or what would run as somebody else, it is no more.
pub(crate) fn keep_attributes(original: &Metadata, copy: &File) -> io::Result<()> {
    copy.set_permissions(Permissions::from_mode(original.mode() & COPIED))?;
    Ok(futimens(copy, &Timestamps::from(Times(original)))?)
}

/// Gives a directory what its original has, if it is one still.
pub(crate) fn keep_attributes_of_directory(original: &Metadata, copy: &Path) -> io::Result<()> {
    let copy = Directory::open_itself(copy)?;
    keep_attributes(original, &File::from(OwnedFd::from(copy)))
}

/// The times of a file.
struct Times<'m>(&'m Metadata);

impl From<Times<'_>> for Timestamps {
    fn from(Times(original): Times<'_>) -> Self {
        let time = |seconds, nanoseconds| Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        };
        Self {
            last_access: time(original.atime(), original.atime_nsec()),
            last_modification: time(original.mtime(), original.mtime_nsec()),
        }
    }
}

pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
