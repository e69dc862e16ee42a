//! File operations that last, and the model of a machine that loses its power between any two of them.
//!
//! Whoever must not lose a file writes it through a [`Disk`]: to a temporary name, synced, renamed, its
//! directory synced. A [`Watch`] sees each of these operations; [`power`] is one that knows what of them
//! is on disk for good, so that a test can go through every moment at which the power may fail.
//! [`regular`] opens what may have been put in a file's place. Knows nothing of what the files are.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod at_once;
mod disk;
mod failure;
mod operation;
#[expect(
    clippy::disallowed_methods,
    reason = "it reads what it was shown to be a file"
)]
pub mod power;
pub mod regular;
mod temporary;

pub use at_once::all_at_once;
pub use disk::Disk;
pub use failure::Failure;
pub use operation::{Operation, Step, Watch};
pub use temporary::Temporary;
