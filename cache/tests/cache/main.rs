//! The behaviour of the cache, proven at its public interface.
//!
//! One binary with a module for each noun. Some tests start this binary again as another process; see
//! `process.rs`.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "roles speak to the tests that start them, and a skipped test says so"
)]

mod crash;
mod damage;
mod digests;
mod fixture;
mod format;
mod full_disk;
mod gc;
mod hostile;
mod index;
mod keys;
mod leases;
mod manifests;
mod objects;
mod opening;
mod power;
mod process;
mod publishing;
mod records;
mod scanning;
mod snapshots;
mod upkeep;
