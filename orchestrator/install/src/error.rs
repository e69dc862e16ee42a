//! What can go wrong with a transaction, split by what it leaves behind.

use std::{io, path::PathBuf};

use kiln_durable::Failure;
use kiln_files::Suspicion;

/// Why a transaction could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// A directory could not be locked; nothing was changed.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What should be copied or moved does not exist; nothing was changed.
    #[error("{} does not exist", path.display())]
    Missing {
        /// What should be there.
        path: PathBuf,
    },
    /// A directory is where a file should go, be moved or be removed; nothing was changed.
    #[error("{} is a directory", path.display())]
    IsDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A directory or a file could not be read; nothing was changed.
    #[error("cannot read {}", path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The new state could not be prepared; everything is as before.
    #[error("cannot write {}", path.display())]
    Write {
        /// What could not be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The change was decided and begun. The next transaction on this kernel finishes it.
    #[error("cannot finish the change at {}", path.display())]
    Unfinished {
        /// Where it stopped.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What an earlier process left could be neither finished nor taken back.
    #[error("cannot finish what was interrupted at {}", path.display())]
    Recovery {
        /// Where it stopped.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else could have written the journal; nothing of it was done.
    #[error(
        "the interrupted change in {} is not finished, for others could have written it; look at it and remove it",
        path.display()
    )]
    Foreign {
        /// The journal.
        path: PathBuf,
        /// What shows that.
        source: Suspicion,
    },
    /// The journal names what no transaction on the kernel changes; nothing of it was done.
    #[error(
        "the interrupted change in {} is not finished, for it names {}, which belongs neither to the kernel nor to \
         this DKMS tree; give the --dkmstree that it was made with, or look at it and remove it",
        path.display(),
        stray.display()
    )]
    Stray {
        /// The journal.
        path: PathBuf,
        /// What it names.
        stray: PathBuf,
    },
    /// A later release was interrupted; only it knows how to go on.
    #[error("{} was left by a later release", path.display())]
    Newer {
        /// The journal.
        path: PathBuf,
    },
}

/// What a failed file operation means is for whoever knows how far the transaction is.
pub(super) trait Meaning {
    fn while_preparing(self) -> TransactionError;
    fn while_applying(self) -> TransactionError;
    fn while_recovering(self) -> TransactionError;
}

impl Meaning for Failure {
    fn while_preparing(self) -> TransactionError {
        let Self { path, source } = self;
        TransactionError::Write { path, source }
    }

    fn while_applying(self) -> TransactionError {
        let Self { path, source } = self;
        TransactionError::Unfinished { path, source }
    }

    fn while_recovering(self) -> TransactionError {
        let Self { path, source } = self;
        TransactionError::Recovery { path, source }
    }
}
