//! A machine whose power can fail, for tests: what is on disk then.
//!
//! The least that file systems promise: a directory comes back as it was when it was synced, or after any
//! number of the operations in it since, whatever other directories come back as; a file that was not
//! synced comes back empty, cut short, full of zeros or whole. So a renaming from one directory to another
//! may come back in both, or in neither.

mod image;
mod machine;

pub use machine::{Machine, Process};
