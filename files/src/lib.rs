//! kiln-files: every copy, replacement and removal of a file that may be somebody's.
//!
//! Two rules hold for all of it. Nothing is taken away before what replaces it is whole: new
//! content is written beside its place and renamed into it. And files are told apart by device
//! and inode, never by their paths: links and bind mounts give one directory many names, and a
//! copy onto itself, into itself or over what it is made from is refused before a byte of it
//! is written. A directory that another file system is mounted in is never removed with it.
//!
//! What is synced, and in what order, is the caller's to decide.
//!
//! A [`Guard`] says whether a file may be believed: whether anybody else could have changed it.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod directory;
mod error;
mod everybody;
mod filled;
mod guard;
mod identity;
mod mounts;
mod place;
mod suspicion;
mod temporary;
mod tree;

pub use directory::Directory;
pub use error::FilesError;
pub use everybody::is_everybodys;
pub use filled::remove_filled;
pub use guard::{Guard, Secrecy};
pub use identity::{Identity, is_same, is_still, is_still_itself};
pub use place::{NewFile, copy_file, replace_link};
pub use suspicion::Suspicion;
pub use temporary::TemporaryDirectory;
pub use tree::{Copied, SourceTree, copy_tree, put_directory, remove_tree, replace_tree};
