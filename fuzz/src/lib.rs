//! Where targets put the files that they try.

use std::{cell::OnceCell, path::Path};

thread_local! {
    static SCRATCH: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

/// Calls with a directory in memory, the same each time.
pub fn with_scratch(call: impl FnOnce(&Path)) {
    SCRATCH.with(|cell| {
        let made = cell.get_or_init(|| tempfile::tempdir_in("/dev/shm").expect("/dev/shm is there"));
        call(made.path());
    });
}
