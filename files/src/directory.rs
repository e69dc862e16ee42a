//! A directory by its descriptor: what is below it, whatever links anybody puts there meanwhile.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Metadata},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat,
        statat,
    },
    io::Errno,
};

/// Whether the kernel has openat2(2) for us. It is found out by a call.
static HAS_OPENAT2: AtomicBool = AtomicBool::new(true);

const LISTED: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// An open directory. Paths below it are relative, and no link is followed on the way nor at the end of one, not even
/// by the kernel; an empty path is the directory itself.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl Directory {
    /// Opens a directory that a path leads to, links followed.
    ///
    /// # Errors
    /// Fails if it cannot be opened, or is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(openat(
            CWD,
            path,
            LISTED | OFlags::CLOEXEC,
            Mode::empty(),
        )?))
    }

    /// Opens a directory that is at a path, and no link to one.
    ///
    /// # Errors
    /// As [`Directory::open`].
    pub fn open_itself(path: &Path) -> io::Result<Self> {
        let flags = LISTED | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, path, flags, Mode::empty())?))
    }

    /// Opens a directory below.
    ///
    /// # Errors
    /// Fails if it cannot be opened, is none, or a link is on the way.
    pub fn directory(&self, path: &Path) -> io::Result<Self> {
        Ok(Self(self.descend(path, LISTED)?))
    }

    /// Opens a file below to be read; nothing is waited for.
    ///
    /// # Errors
    /// Fails if it cannot be opened, or if it or something on the way is a link.
    pub fn file(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(File::from(self.descend(path, flags)?))
    }

    /// What something below is; of a link it is the link's own.
    ///
    /// # Errors
    /// Fails if there is nothing, or a link is on the way.
    pub fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        File::from(self.descend(path, OFlags::PATH)?).metadata()
    }

    /// What a link below says.
    ///
    /// # Errors
    /// Fails if it is none, or one is on the way.
    pub fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        let link = self.descend(path, OFlags::PATH)?;
        let target = readlinkat(link, "", Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    /// A path that leads to it as long as it is open, whatever is put in its place, or in that of a directory on the way.
    #[must_use]
    pub fn by_number(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// The names in it, with what each is.
    ///
    /// # Errors
    /// Fails if it cannot be listed; each item, if it cannot be further.
    pub fn entries(
        &self,
    ) -> io::Result<impl Iterator<Item = io::Result<(OsString, FileType)>> + use<'_>> {
        let entries = Dir::read_from(&self.0)?.map(|entry| {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            let kind = match entry.file_type() {
                // Not every file system says so in a listing.
                FileType::Unknown => {
                    let stat = statat(&self.0, &name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode)
                }
                known => known,
            };
            Ok((name, kind))
        });
        let is_inner = |entry: &io::Result<(OsString, _)>| !matches!(entry, Ok((name, _)) if name == "." || name == "..");
        Ok(entries.filter(is_inner))
    }

    fn descend(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if !path
            .components()
            .all(|step| matches!(step, Component::Normal(_)))
        {
            return Err(Errno::INVAL);
        }
        let Some(name) = path.file_name() else {
            return openat(&self.0, ".", flags, Mode::empty());
        };
        if HAS_OPENAT2.load(Ordering::Relaxed) {
            let resolve =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match openat2(&self.0, path, flags, Mode::empty(), resolve) {
                // A kernel before 5.6, or a filter that does not know it.
                Err(Errno::NOSYS | Errno::PERM) => HAS_OPENAT2.store(false, Ordering::Relaxed),
                opened => return opened,
            }
        }
        self.descend_by_steps(path.parent().unwrap_or(Path::new("")), name, flags)
    }

    /// The same, one directory at a time.
    fn descend_by_steps(
        &self,
        parent: &Path,
        name: &OsStr,
        flags: OFlags,
    ) -> rustix::io::Result<OwnedFd> {
        let passed = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut directory = None::<OwnedFd>;
        for step in parent {
            let from = directory.as_ref().unwrap_or(&self.0);
            directory = Some(openat(from, step, passed, Mode::empty())?);
        }
        openat(
            directory.as_ref().unwrap_or(&self.0),
            name,
            flags,
            Mode::empty(),
        )
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Directory> for OwnedFd {
    fn from(Directory(directory): Directory) -> Self {
        directory
    }
}

impl From<OwnedFd> for Directory {
    fn from(directory: OwnedFd) -> Self {
        Self(directory)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn no_link_is_followed_with_openat2_or_without() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("a/b")).unwrap();
        fs::write(temp.path().join("a/b/file"), "text").unwrap();
        symlink("a", temp.path().join("link")).unwrap();
        symlink("file", temp.path().join("a/b/link")).unwrap();
        let directory = Directory::open(temp.path()).unwrap();
        let by_steps = |path: &str| {
            let path = Path::new(path);
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
            directory.descend_by_steps(path.parent().unwrap(), path.file_name().unwrap(), flags)
        };
        for path in [
            "a/b/file",
            "link/b/file",
            "a/b/link",
            "link",
            "absent",
            "a/b/file/x",
        ] {
            let is_plain = path == "a/b/file";
            assert_eq!(directory.file(Path::new(path)).is_ok(), is_plain, "{path}");
            assert_eq!(by_steps(path).is_ok(), is_plain, "{path}");
        }
        for path in ["..", "a/..", "/", "../x", "a/../a"] {
            directory.file(Path::new(path)).unwrap_err();
        }
        let link = Path::new("a/b/link");
        assert!(directory.metadata(link).unwrap().is_symlink());
        assert_eq!(directory.read_link(link).unwrap(), Path::new("file"));
        assert!(directory.metadata(Path::new("")).unwrap().is_dir());
    }
}
