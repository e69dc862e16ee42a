//! Where things are in a cache directory, and whether the directory may be used at all.
//!
//! The only file that knows the names. Nothing is created, let alone changed, in a directory that is of
//! a newer format, belongs to somebody else, may be written by others or holds something else.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kiln_durable::regular::{self, Unreadable};
use kiln_durable::{Disk, Temporary};
use kiln_files::{Guard, Suspicion};
use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;

use super::error::{At, StoreError};
use super::gate::Gate;
use super::listing;
use crate::digest::{ActionKey, Digest, ObjectDigest};

/// The version of the directory's layout and of everything in it.
pub const STORE_FORMAT: u32 = 1;

/// The mode of the cache's directories.
pub(crate) const DIRECTORY: u32 = 0o755;

/// The mode of files that are written once: objects and records.
pub(crate) const FINAL: u32 = 0o444;

/// The mode of other files of the cache that all may read.
pub(crate) const SHARED: u32 = 0o644;

/// The mode of what is locked: whoever may read a file can hold its lock for ever.
pub(crate) const LOCKABLE: u32 = 0o600;

/// The mode of directories that hold such files of other programs, and of those that are locked themselves.
pub(crate) const CLOSED: u32 = 0o700;

/// No format is longer when it is written down.
const FORMAT_LIMIT: u64 = 64;

const TAG_FILE: &str = "CACHEDIR.TAG";
const FORMAT_FILE: &str = "format";
const INDEX: &str = "index";
const DIRECTORIES: [&str; 5] = ["objects", "actions", INDEX, "tmp", "damaged"];

const TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n\
# This directory is a cache of kiln. It can be deleted at any time.\n\
# For information about cache directory tags, see https://bford.info/cachedir/\n";

/// The paths of one cache.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    guard: Guard,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            guard: Guard::of_process(),
        }
    }

    /// Whether nobody else can have written to a file of the cache.
    pub(crate) fn is_safe(&self, path: &Path, metadata: &fs::Metadata) -> bool {
        self.guard.inspect_own(path, metadata).is_ok()
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    pub(crate) fn actions(&self) -> PathBuf {
        self.root.join("actions")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join(INDEX)
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn damaged(&self) -> PathBuf {
        self.root.join("damaged")
    }

    /// The lock between those who use entries and the one who deletes some.
    pub(crate) fn gate(&self) -> PathBuf {
        self.tmp().join("gc.lock")
    }

    /// The lock of whoever has the index open.
    pub(crate) fn index_lock(&self) -> PathBuf {
        self.tmp().join("index.lock")
    }

    pub(crate) fn object(&self, digest: &ObjectDigest) -> PathBuf {
        sharded(self.objects(), &digest.0)
    }

    pub(crate) fn action(&self, key: &ActionKey) -> PathBuf {
        sharded(self.actions(), &key.0)
    }

    /// Makes sure that all of the cache is there, safe, and of this format.
    pub(crate) fn prepare(&self, disk: &Disk) -> Result<(), StoreError> {
        if self.root.symlink_metadata().is_err() {
            self.check_way()?;
            make_directories(disk, &self.root)?;
        }
        let format = self.inspect()?;
        self.check_writable()?;
        if format.is_none() {
            self.refuse_foreign()?;
        }
        for name in DIRECTORIES {
            make_directory(disk, &self.root.join(name), mode_of(name))?;
        }
        self.check_directories()?;
        // Once it is known to be ours.
        close(&self.index())?;
        if format.is_none() {
            self.write_whole(disk, TAG_FILE, TAG)?;
            // Last: from here on the directory is a cache.
            self.write_whole(disk, FORMAT_FILE, format!("{STORE_FORMAT}\n").as_bytes())?;
            // What is in a directory without a format is not ours.
            disk.sync_directory(&self.root)?;
        }
        Ok(())
    }

    /// Makes sure that there is a cache and that it can be believed, without changing anything.
    pub(crate) fn prepare_reading(&self) -> Result<(), StoreError> {
        let path = || self.root.clone();
        match self.root.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { path: path() });
            }
            Err(error) => return Err(StoreError::io(&self.root, error)),
            Ok(_) => {}
        }
        if self.inspect()?.is_none() {
            self.refuse_foreign()?;
            return Err(StoreError::Missing { path: path() });
        }
        self.check_directories()
    }

    /// Checks the root itself and its format; `None` if it has none yet.
    fn inspect(&self) -> Result<Option<u32>, StoreError> {
        let root = self.root.metadata().at(&self.root)?;
        self.check_directory(&self.root, &root)?;
        self.check_way()?;
        let path = self.root.join(FORMAT_FILE);
        let text = match regular::read(&path, FORMAT_LIMIT) {
            Ok(text) => text,
            Err(Unreadable::Missing) => return Ok(None),
            Err(Unreadable::System(error)) => return Err(StoreError::io(&path, error)),
            Err(Unreadable::NotRegular | Unreadable::TooLarge) => {
                return Err(StoreError::Corrupt { path });
            }
        };
        let found = std::str::from_utf8(&text)
            .ok()
            .and_then(|text| text.trim_end().parse::<u32>().ok());
        match found {
            Some(STORE_FORMAT) => Ok(found),
            Some(found) if found > STORE_FORMAT => Err(StoreError::NewerFormat {
                path: self.root.clone(),
                found,
                supported: STORE_FORMAT,
            }),
            _ => Err(StoreError::Corrupt { path }),
        }
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        let path = self.root.clone();
        match rustix::fs::accessat(CWD, &self.root, Access::WRITE_OK, AtFlags::EACCESS) {
            Ok(()) => Ok(()),
            Err(Errno::ROFS | Errno::ACCESS | Errno::PERM) => Err(StoreError::ReadOnly { path }),
            Err(errno) => Err(StoreError::io(&path, errno.into())),
        }
    }

    /// A directory without a format may only hold what an interrupted creation leaves: empty directories, and in `tmp` the
    /// gate's lock and files that were being written. Whatever else is there is somebody's.
    fn refuse_foreign(&self) -> Result<(), StoreError> {
        for path in entries(&self.root)? {
            let name = path.file_name().unwrap_or_default();
            let is_ours = if name == TAG_FILE {
                is_plain(&path)
            } else if name == "tmp" {
                let left = |path: &PathBuf| {
                    is_plain(path) && (*path == self.gate() || Temporary::is_name_of_one(path))
                };
                entries(&path).is_ok_and(|inner| inner.iter().all(left))
            } else {
                DIRECTORIES.iter().any(|ours| name == *ours)
                    && entries(&path).is_ok_and(|inner| inner.is_empty())
            };
            // Another process may have made it a cache meanwhile.
            if !is_ours && self.inspect()?.is_none() {
                return Err(StoreError::NotACache {
                    path: self.root.clone(),
                });
            }
        }
        Ok(())
    }

    /// Checks that nobody else can put another directory in the cache's place.
    fn check_way(&self) -> Result<(), StoreError> {
        let way = self.guard.inspect_way(&self.root);
        way.map_err(|source| StoreError::Exposed {
            path: self.root.clone(),
            source,
        })
    }

    /// Checks the cache's own directories, whatever others keep beside them, and the shards.
    fn check_directories(&self) -> Result<(), StoreError> {
        for path in entries(&self.root)? {
            let is_ours = DIRECTORIES.iter().any(|name| path.ends_with(name));
            self.check_part(&path, is_ours)?;
        }
        for path in [self.objects(), self.actions()] {
            for shard in listing::paths(&path)? {
                self.check_part(&shard, false)?;
            }
        }
        Ok(())
    }

    /// Checks what is in a cache: what `has_to_be` a directory is one, and all directories are safe.
    fn check_part(&self, path: &Path, has_to_be: bool) -> Result<(), StoreError> {
        match path.symlink_metadata() {
            Ok(metadata) if has_to_be || metadata.is_dir() => self.check_directory(path, &metadata),
            Ok(_) => Ok(()),
            // It has been removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::io(path, error)),
        }
    }

    fn check_directory(&self, path: &Path, metadata: &fs::Metadata) -> Result<(), StoreError> {
        if !metadata.is_dir() {
            let path = path.to_path_buf();
            return Err(StoreError::NotADirectory { path });
        }
        let judged = self.guard.inspect_own(path, metadata);
        judged.map_err(|suspicion| match suspicion {
            Suspicion::Owner { path, owner } => StoreError::NotOurs { path, owner },
            Suspicion::Writable { path, mode } => StoreError::WritableByOthers { path, mode },
            source => StoreError::Exposed {
                path: path.to_path_buf(),
                source,
            },
        })
    }

    fn write_whole(&self, disk: &Disk, name: &str, content: &[u8]) -> Result<(), StoreError> {
        let path = self.root.join(name);
        // Whoever sweeps meanwhile would remove it.
        let _gate = Gate::shared(self, super::Access::Write)?;
        let (file, ()) = disk.write_temporary(&self.tmp(), SHARED, |file| {
            file.write_all(content).at(&path)
        })?;
        disk.sync_files(&[&file])?;
        // The first to write an entry makes the name last, before it.
        Ok(disk.name(file, &path)?)
    }
}

/// What is in a directory.
fn entries(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = fs::read_dir(path).at(path)?;
    entries
        .map(|entry| entry.map(|entry| entry.path()).at(path))
        .collect()
}

/// Whether what was listed is a file, or is gone: another process that makes the cache names its files.
fn is_plain(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(metadata) => metadata.is_file(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// The path of an entry; the shard is the name's first two digits.
fn sharded(directory: PathBuf, digest: &Digest) -> PathBuf {
    let name = digest.to_string();
    directory.join(&name[..2]).join(name)
}

/// The mode of a part of the cache. sled locks a file of its own making.
fn mode_of(name: &str) -> u32 {
    match name {
        INDEX => CLOSED,
        _ => DIRECTORY,
    }
}

/// Closes a directory that was made open to all, by an earlier version or by sled.
fn close(path: &Path) -> Result<(), StoreError> {
    let mode = path.metadata().at(path)?.permissions().mode();
    if mode & 0o7777 == CLOSED {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(CLOSED)).at(path)
}

/// Makes a part of the cache; whatever is there already is looked at afterwards.
fn make_directory(disk: &Disk, path: &Path, mode: u32) -> Result<(), StoreError> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    match disk.make_directory(path, mode) {
        Err(failure) if failure.source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => Ok(made?),
    }
}

fn make_directories(disk: &Disk, path: &Path) -> Result<(), StoreError> {
    let made = disk.make_directories(path, DIRECTORY);
    made.map_err(|failure| match failure.source.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => StoreError::NotADirectory {
            path: path.to_path_buf(),
        },
        io::ErrorKind::PermissionDenied => StoreError::ReadOnly {
            path: path.to_path_buf(),
        },
        _ => StoreError::io(path, failure.source),
    })
}
