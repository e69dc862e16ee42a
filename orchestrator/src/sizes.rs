//! The most that is read of a file that somebody else may have put there, in bytes: what is larger is no such file.
//!
//! Each is many times what the largest of its kind has, and fits into memory.

/// A text that a person or an installer writes: a dkms.conf, settings, os-release.
pub(crate) const TEXT: u64 = 16 << 20;

/// What a program writes of many things: symbols of a kernel, packages of a system.
pub(crate) const LISTING: u64 = 512 << 20;

/// A module or a program.
pub(crate) const BINARY: u64 = 2 << 30;
