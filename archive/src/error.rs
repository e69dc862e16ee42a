//! Why an archive is not unpacked.

use std::{io, path::PathBuf};

/// Why an archive is not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read, or a member cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An RPM is damaged.
    #[error(transparent)]
    Rpm(#[from] rpm::Error),
    /// It does not hold together.
    #[error("the archive is damaged: {0}")]
    Damaged(&'static str),
    /// A member must not be made.
    #[error("{} {reason}", member.display())]
    Hostile {
        /// Its path, as the archive has it.
        member: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is larger than anything of its kind.
    #[error("the archive has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// It is none of the formats.
    #[error("the file is neither a .deb, an .rpm nor a tarball")]
    Unknown,
}
