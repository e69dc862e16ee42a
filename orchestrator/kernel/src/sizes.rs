//! The most that is read of a file that somebody else may have put there, in bytes: what is larger is no such file.
//!
//! Each is many times what the largest of its kind has, and fits into memory.

/// A text that a person or an installer writes: a dkms.conf, settings, os-release.
pub const TEXT: u64 = 16 << 20;

/// A note of one line: where something was.
pub const NOTE: u64 = 64 << 10;

/// A Module.symvers. A kernel's has some 2 MiB, and each symbol takes several times its bytes in memory.
pub const SYMBOLS: u64 = 16 << 20;

/// The journal of a transaction, which has some 500 bytes for each file that changes.
pub const JOURNAL: u64 = 64 << 20;

/// What a program writes of many things: packages of a system, libraries of a loader.
pub const LISTING: u64 = 64 << 20;

/// A log, which is read piece by piece.
pub const LOG: u64 = 512 << 20;

/// A module or a program.
pub const BINARY: u64 = 2 << 30;
