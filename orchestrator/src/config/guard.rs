//! Whether somebody else may change a file.
//!
//! A file that names servers, credentials or trusted keys decides what is installed into
//! the kernel. Like sudo and ssh, kiln takes such from a file only if it and every directory
//! above it belong to root or to the user, and nobody else may write there.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Why a file may not be relied upon.
#[derive(Debug, thiserror::Error)]
pub enum Suspicion {
    /// Somebody else owns it, or a directory above it.
    #[error("{path} belongs to user {owner}")]
    Owner {
        /// What they own.
        path: PathBuf,
        /// Who they are.
        owner: u32,
    },
    /// Others may write to it, or to a directory above it.
    #[error("{path} may be written by others (mode {mode:04o})")]
    Writable {
        /// What they may write to.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It cannot be looked at.
    #[error("cannot look at {path}: {source}")]
    Unknown {
        /// What cannot be looked at.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Whether what an open file says may be relied upon by `user`.
pub(super) fn inspect(path: &Path, file: &File, user: u32) -> Result<(), Suspicion> {
    let unknown = |path: &Path| {
        let path = path.to_owned();
        move |source| Suspicion::Unknown { path, source }
    };
    // The open file is what was read, whatever the path leads to by now.
    let metadata = file.metadata().map_err(unknown(path))?;
    judge(path, &metadata, user)?;
    let place = fs::canonicalize(path).map_err(unknown(path))?;
    for directory in place.ancestors().skip(1) {
        let metadata = fs::metadata(directory).map_err(unknown(directory))?;
        judge(directory, &metadata, user)?;
    }
    Ok(())
}

fn judge(path: &Path, metadata: &Metadata, user: u32) -> Result<(), Suspicion> {
    let (owner, mode) = (metadata.uid(), metadata.mode());
    if owner != 0 && owner != user {
        return Err(Suspicion::Owner {
            path: path.to_owned(),
            owner,
        });
    }
    // In a sticky directory nobody can take away what belongs to another.
    let is_sticky = metadata.is_dir() && mode & 0o1000 != 0;
    // A group that has the user's own number is theirs alone on systems that give each user one.
    let others = if metadata.gid() == user { 0o002 } else { 0o022 };
    if mode & others != 0 && !is_sticky {
        return Err(Suspicion::Writable {
            path: path.to_owned(),
            mode: mode & 0o7777,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn look(path: &Path) -> Result<(), String> {
        let user = rustix::process::geteuid().as_raw();
        inspect(path, &File::open(path).unwrap(), user).map_err(|error| error.to_string())
    }

    #[test]
    fn nobody_else_may_write_to_it_or_above_it() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("kiln");
        fs::create_dir(&inner).unwrap();
        let path = inner.join("config.toml");
        fs::write(&path, "").unwrap();
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set(&path, 0o644);
        assert_eq!(look(&path), Ok(()));
        set(&path, 0o646);
        assert!(look(&path).unwrap_err().ends_with("by others (mode 0646)"));
        set(&path, 0o600);
        set(&inner, 0o757);
        let told = look(&path).unwrap_err();
        assert!(told.contains("kiln may be written by others (mode 0757)"));
        set(&inner, 0o1777);
        assert_eq!(look(&path), Ok(()));
    }

    #[test]
    fn a_link_is_as_good_as_what_it_leads_to() {
        let directory = tempfile::tempdir().unwrap();
        let open = directory.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::write(open.join("real.toml"), "").unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let link = directory.path().join("config.toml");
        std::os::unix::fs::symlink(open.join("real.toml"), &link).unwrap();
        assert!(look(&link).unwrap_err().contains("open may be written"));
    }

    #[test]
    fn root_and_the_user_may_own_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        fs::write(&path, "").unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert!(judge(&path, &metadata, metadata.uid()).is_ok());
        let other = judge(&path, &metadata, metadata.uid() + 1);
        assert_eq!(other.is_ok(), metadata.uid() == 0);
    }
}
