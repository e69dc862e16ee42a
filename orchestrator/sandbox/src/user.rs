//! The user that builds run as: the caller, or `nobody` where the caller is root.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use super::sys;

/// The identity that untrusted build code gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildUser {
    /// The user who called kiln.
    Caller {
        /// Their user id.
        uid: u32,
    },
    /// Root called kiln; builds drop to this user.
    Dropped {
        /// Its user id.
        uid: u32,
        /// Its group id.
        gid: u32,
    },
}

/// `nobody` and `nogroup` on every distribution that DKMS supports.
const NOBODY: u32 = 65534;

impl BuildUser {
    /// Decides by the effective user of this process.
    pub fn detect() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        if uid == 0 {
            Self::Dropped {
                uid: NOBODY,
                gid: NOBODY,
            }
        } else {
            Self::Caller { uid }
        }
    }

    /// Makes `command` start as this user, without supplementary groups.
    pub fn apply(self, command: &mut Command) {
        if let Self::Dropped { uid, gid } = self {
            // With a uid set, std drops all supplementary groups of a root caller.
            command.uid(uid).gid(gid);
        }
    }

    /// The same, and what is mounted from then on is not seen by the command: a mount over an input, which no
    /// change of a file tells of, would spoil what it makes. Takes root; a caller's command sees the mounts of all.
    pub(super) fn apply_apart(self, command: &mut Command) {
        if let Self::Dropped { uid, gid } = self {
            sys::apart_as(command, uid, gid);
        }
    }

    /// Gives a directory that kiln made to this user.
    ///
    /// # Errors
    /// Fails if the ownership cannot be changed.
    pub fn own(self, path: &Path) -> std::io::Result<()> {
        match self {
            Self::Caller { .. } => Ok(()),
            Self::Dropped { uid, gid } => std::os::unix::fs::lchown(path, Some(uid), Some(gid)),
        }
    }

    /// Lets nobody but its owner and this user pass a directory that kiln made: what is built may not be for everybody to
    /// read, and the names of a run's directories are on command lines, which everybody reads in /proc.
    ///
    /// Of root's directories the build user's group lets it pass, not its ownership: an owner could open them again, and
    /// put other directories in the place of those that kiln makes there.
    ///
    /// # Errors
    /// Fails if group or mode cannot be changed.
    pub(super) fn admit_alone(self, directory: &Path) -> std::io::Result<()> {
        let mode = match self {
            Self::Caller { .. } => 0o700,
            Self::Dropped { gid, .. } => {
                std::os::unix::fs::lchown(directory, None, Some(gid))?;
                0o710
            }
        };
        fs::set_permissions(directory, fs::Permissions::from_mode(mode))
    }

    /// The first directory on the way to `path`, or `path` itself, that this user may not
    /// read or pass through.
    ///
    /// Judged by owner and mode bits; a caller who can see a path needs no check.
    pub fn barrier(self, path: &Path) -> Option<PathBuf> {
        let Self::Dropped { uid, gid } = self else {
            return None;
        };
        let allowed = |path: &Path, wanted: u32| {
            fs::metadata(path).is_ok_and(|m| {
                let shift = if m.uid() == uid {
                    6
                } else if m.gid() == gid {
                    3
                } else {
                    0
                };
                (m.mode() >> shift) & wanted == wanted
            })
        };
        let mut ancestors: Vec<&Path> = path.ancestors().skip(1).collect();
        ancestors.reverse();
        ancestors
            .into_iter()
            .filter(|p| !p.as_os_str().is_empty())
            .find(|p| !allowed(p, 0o1))
            .or_else(|| {
                let wanted = if path.is_dir() { 0o5 } else { 0o4 };
                (!allowed(path, wanted)).then_some(path)
            })
            .map(Path::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn names_the_directory_that_bars_the_way() {
        let temp = tempfile::tempdir_in("/tmp").unwrap();
        let closed = temp.path().join("closed");
        let inner = closed.join("inner");
        fs::create_dir_all(&inner).unwrap();
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        open(temp.path(), 0o755);
        open(&closed, 0o700);
        let other = BuildUser::Dropped {
            uid: 4_000_000,
            gid: 4_000_000,
        };
        assert_eq!(other.barrier(&inner), Some(closed.clone()));
        open(&closed, 0o711);
        assert_eq!(other.barrier(&inner), None);
        open(&inner, 0o711);
        assert_eq!(other.barrier(&inner), Some(inner));
    }
}
