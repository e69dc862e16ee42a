//! Whether anybody else may change a file that is believed, or read one that is a secret.
//!
//! As sshd with StrictModes: the file, every directory that the way to it goes through and every
//! symbolic link on that way must belong to root or to the user, and nobody else may write to them.
//! Nobody can take away from a sticky directory what is not theirs, so one may be on the way; it may
//! not be what is believed. The group's bits are the mask of an access list (acl(5)), so that they tell of one.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use kiln_durable::regular;
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::Suspicion;

/// As many links as the kernel follows.
const LINKS: usize = 40;

/// No key, certificate or token is larger, in bytes.
const SIZE: u64 = 16 << 20;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// Everybody.
    Public,
    /// Its owner.
    Secret,
}

/// Judges files for one user.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    user: u32,
    /// Who owns `/`, and so can change everything: root, but in a user namespace without root.
    system: u32,
}

/// What is judged: a step on the way, or where it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Passed,
    Last(Secrecy),
}

impl Guard {
    /// For the user that this process acts as.
    pub fn of_process() -> Self {
        Self::of(rustix::process::geteuid().as_raw())
    }

    /// For a user.
    pub fn of(user: u32) -> Self {
        let system = fs::metadata("/").map_or(0, |root| root.uid());
        Self { user, system }
    }

    /// Judges what is at a path, and the whole way to it.
    ///
    /// # Errors
    /// Says what others could change or read, or that there is nothing.
    pub fn inspect(&self, path: &Path, secrecy: Secrecy) -> Result<(), Suspicion> {
        let end = self.walk(path)?;
        self.judge(&end, &look(&end)?, Step::Last(secrecy))
    }

    /// Judges what a path leads to, whatever the way to it is like.
    ///
    /// # Errors
    /// As [`Guard::inspect`].
    pub fn inspect_end(&self, path: &Path, secrecy: Secrecy) -> Result<(), Suspicion> {
        let metadata = fs::metadata(path).map_err(unknown(path))?;
        self.judge(path, &metadata, Step::Last(secrecy))
    }

    /// As [`Guard::inspect`] for a file that is open: it is what was read, whatever the path leads to by now.
    ///
    /// # Errors
    /// As [`Guard::inspect`].
    pub fn inspect_open(
        &self,
        path: &Path,
        file: &File,
        secrecy: Secrecy,
    ) -> Result<(), Suspicion> {
        let end = self.walk(path)?;
        let metadata = file.metadata().map_err(unknown(path))?;
        self.judge(&end, &metadata, Step::Last(secrecy))
    }

    /// Judges the way to a path as far as it is there, but not what is at its end.
    ///
    /// # Errors
    /// As [`Guard::inspect`], but that something is missing is no error.
    pub fn inspect_way(&self, path: &Path) -> Result<(), Suspicion> {
        match self.walk(path) {
            Err(suspicion) if !suspicion.is_missing() => Err(suspicion),
            _ => Ok(()),
        }
    }

    /// Judges a directory, the whole way to it, and all that is in it; links in it are not followed.
    ///
    /// # Errors
    /// Says what others could change first.
    pub fn inspect_tree(&self, directory: &Path) -> Result<(), Suspicion> {
        let top = self.walk(directory)?;
        self.judge(&top, &look(&top)?, Step::Last(Secrecy::Public))?;
        let mut directories = vec![top.clone()];
        while let Some(directory) = directories.pop() {
            let entries = match fs::read_dir(&directory) {
                // Nobody but the user takes anything away from a directory that was judged.
                Err(error) if error.kind() == io::ErrorKind::NotFound && directory != top => {
                    continue;
                }
                entries => entries.map_err(unknown(&directory))?,
            };
            for entry in entries {
                let path = entry.map_err(unknown(&directory))?.path();
                let metadata = match look(&path) {
                    Err(suspicion) if suspicion.is_missing() => continue,
                    looked => looked?,
                };
                self.judge(&path, &metadata, Step::Last(Secrecy::Public))?;
                if metadata.is_dir() {
                    directories.push(path);
                }
            }
        }
        Ok(())
    }

    /// Judges what the user alone makes and writes to: root's does not count, nor a group of the user's own. It has been
    /// looked at already; nothing is asked of the system.
    ///
    /// # Errors
    /// As [`Guard::inspect`].
    pub fn inspect_own(&self, path: &Path, metadata: &Metadata) -> Result<(), Suspicion> {
        must_belong_to(&[self.user], path, metadata)?;
        // A link's own bits are always all set.
        match metadata.is_symlink() {
            true => Ok(()),
            false => must_not_be_writable(0o022, path, metadata),
        }
    }

    /// Reads a file that is believed. Its bytes are wiped from memory when dropped.
    ///
    /// # Errors
    /// As [`Guard::inspect`], and if it is no file, or larger than any that is believed.
    pub fn read(&self, path: &Path, secrecy: Secrecy) -> Result<Zeroizing<Vec<u8>>, Suspicion> {
        let file = regular::open_at_once(path).map_err(unknown(path))?;
        let size = file.metadata().map_err(unknown(path))?.len();
        self.inspect_open(path, &file, secrecy)?;
        if size > SIZE {
            return Err(unknown(path)(io::ErrorKind::FileTooLarge.into()));
        }
        // With room for all of it: a vector that grows leaves what it held in memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(size as usize + 1));
        file.take(SIZE)
            .read_to_end(&mut bytes)
            .map_err(unknown(path))?;
        Ok(bytes)
    }

    /// Judges each step of the way to a path but the last, links followed; gives where it leads.
    fn walk(&self, path: &Path) -> Result<PathBuf, Suspicion> {
        let whole = std::path::absolute(path).map_err(unknown(path))?;
        let mut at = PathBuf::from("/");
        self.judge(&at, &look(&at)?, Step::Passed)?;
        let mut ahead = steps(&whole);
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(name);
            let metadata = look(&next)?;
            if !metadata.is_symlink() {
                if !ahead.is_empty() {
                    self.judge(&next, &metadata, Step::Passed)?;
                }
                at = next;
                continue;
            }
            self.must_be_ours(&next, &metadata)?;
            links += 1;
            if links > LINKS {
                return Err(unknown(path)(Errno::LOOP.into()));
            }
            let target = fs::read_link(&next).map_err(unknown(&next))?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            ahead.extend(steps(&target));
        }
        Ok(at)
    }

    fn judge(&self, path: &Path, metadata: &Metadata, step: Step) -> Result<(), Suspicion> {
        self.must_be_ours(path, metadata)?;
        // What a link leads to counts, and its own bits are always all set. Who writes to the null device changes nothing.
        if metadata.is_symlink() || regular::is_null(metadata) {
            return Ok(());
        }
        let mode = metadata.mode() & 0o7777;
        // A group that has the user's own number is theirs alone on systems that give each user one.
        let is_own = mode & 0o020 != 0 && metadata.gid() == self.user && !has_access_list(path);
        let others = if is_own { 0o002 } else { 0o022 };
        let is_sticky = metadata.is_dir() && mode & 0o1000 != 0;
        if !(is_sticky && step == Step::Passed) {
            must_not_be_writable(others, path, metadata)?;
        }
        if step == Step::Last(Secrecy::Secret) && mode & 0o077 != 0 {
            let path = path.to_owned();
            return Err(Suspicion::Readable { path, mode });
        }
        Ok(())
    }

    fn must_be_ours(&self, path: &Path, metadata: &Metadata) -> Result<(), Suspicion> {
        must_belong_to(&[0, self.user, self.system], path, metadata)
    }
}

fn must_belong_to(users: &[u32], path: &Path, metadata: &Metadata) -> Result<(), Suspicion> {
    let owner = metadata.uid();
    if users.contains(&owner) {
        return Ok(());
    }
    let path = path.to_owned();
    Err(Suspicion::Owner { path, owner })
}

/// `others` are the bits of those who may not write.
fn must_not_be_writable(others: u32, path: &Path, metadata: &Metadata) -> Result<(), Suspicion> {
    let mode = metadata.mode() & 0o7777;
    if mode & others == 0 {
        return Ok(());
    }
    let path = path.to_owned();
    Err(Suspicion::Writable { path, mode })
}

/// Whether the bits of the group stand for whoever an access list names.
fn has_access_list(path: &Path) -> bool {
    let read = rustix::fs::getxattr(path, "system.posix_acl_access", &mut [0_u8; 0]);
    // What cannot be told is taken for one.
    !matches!(read, Err(Errno::NODATA | Errno::OPNOTSUPP))
}

fn look(path: &Path) -> Result<Metadata, Suspicion> {
    path.symlink_metadata().map_err(unknown(path))
}

/// The names in a path, the last first.
fn steps(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.collect()
}

fn unknown(path: &Path) -> impl FnOnce(io::Error) -> Suspicion + use<> {
    let path = path.to_owned();
    move |source| Suspicion::Unknown { path, source }
}

#[cfg(test)]
#[path = "guard/tests.rs"]
mod tests;
