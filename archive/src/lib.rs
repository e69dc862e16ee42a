//! kiln-archive: the one unpacker, of `.deb`, `.rpm` and tarballs that anybody may have made.
//!
//! [`unpack`] reads an archive member by member and hands each to a [`Target`]. Three things hold whatever is in
//! the archive:
//!
//! - A member has a plain relative path, no path twice, and no ancestor that is not a directory. What breaks this condemns
//!   the whole archive. [`Below`] makes the files with openat2(2), so that the kernel refuses a link on the way as well.
//! - Only directories, regular files and links are made, with the modes 0755 and 0644.
//! - What is read counts against [`Limits`] while it is read: bytes after decompression, members, names, headers, depth.
//!
//! Digests that an archive states of its own content are checked.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod ar;
mod below;
mod compression;
mod content;
mod cpio;
mod deb;
mod error;
mod hashed;
mod kind;
mod limits;
mod members;
mod rpm_header;
mod rpm_package;
mod tarball;
mod unpack;

pub use below::Below;
pub use error::ArchiveError;
pub use kind::Kind;
pub use limits::Limits;
pub use members::{FileMeta, Target};
pub use unpack::{Description, unpack, unpack_into, unpack_tarball};
