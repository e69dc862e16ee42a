//! Why a file is not believed, and what would mend it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a file is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Suspicion {
    /// Somebody else owns it, or something on the way to it.
    #[error("{} belongs to user {owner}", path.display())]
    Owner {
        /// What they own.
        path: PathBuf,
        /// Who they are.
        owner: u32,
    },
    /// Others may write to it, or to a directory on the way to it.
    #[error("{} may be written by others (mode {mode:04o})", path.display())]
    Writable {
        /// What they may write to.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is a secret, and others may read it.
    #[error("{} is a secret and may be read by others (mode {mode:04o})", path.display())]
    Readable {
        /// What they may read.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It cannot be looked at.
    #[error("cannot access {}", path.display())]
    Unknown {
        /// What cannot be looked at.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Suspicion {
    /// What to run, if there is something.
    pub fn remedy(&self) -> Option<String> {
        let (program, path) = match self {
            Self::Owner { path, .. } => ("chown root", path),
            Self::Writable { path, .. } => ("chmod go-w", path),
            Self::Readable { path, .. } => ("chmod go-rwx", path),
            Self::Unknown { .. } => return None,
        };
        Some(format!("{program} {}", path.display()))
    }

    /// What is wrong, and what to run.
    pub fn advice(&self) -> String {
        match self.remedy() {
            Some(remedy) => format!("{self}: {remedy}"),
            None => self.to_string(),
        }
    }

    /// Whether all that is wrong is that it is closed to the user, who can use nothing of it either.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Unknown { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether all that is wrong is that there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unknown { source, .. }
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
    }

    /// What it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Owner { path, .. }
            | Self::Writable { path, .. }
            | Self::Readable { path, .. }
            | Self::Unknown { path, .. } => path,
        }
    }
}
