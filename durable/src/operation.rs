//! What is done to a disk, as those see it who watch.

use std::io;
use std::path::Path;

/// What is done to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Makes a directory.
    MakeDirectory,
    /// Creates the file and writes all of it.
    Write,
    /// Gives a file a second name.
    Link,
    /// Makes a symbolic link.
    Symlink,
    /// Gives a file another name, maybe in another directory.
    Rename,
    /// Removes a name, and what is below it.
    Remove,
    /// Removes a directory if it is empty.
    RemoveDirectory,
    /// Gives a file a time of change.
    SetTime,
    /// Makes the content of a file last.
    SyncFile,
    /// Makes the names in a directory last.
    SyncDirectory,
    /// Makes everything below a directory last.
    SyncTree,
}

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// What is done.
    pub operation: Operation,
    /// To which path: of a renaming or a link, the new one.
    pub path: &'a Path,
    /// The path that a renaming takes the file from.
    pub from: Option<&'a Path>,
}

/// Sees each operation before and after it is done. Called from several threads.
pub trait Watch: Send + Sync {
    /// Called first. An error is what the operation ends with, undone.
    ///
    /// # Errors
    ///
    /// Whatever the operation should fail with.
    fn before(&self, step: &Step<'_>) -> io::Result<()>;

    /// Called last, also for what failed.
    fn after(&self, _step: &Step<'_>) {}
}
