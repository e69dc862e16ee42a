//! The numbers of the descriptors that a child inherits besides the standard ones.
//!
//! A program can list its descriptors, and a make tells its children of two: what this process has open must not show there. Numbers
//! of several digits are left alone by shell scripts, which redirect those of one at will.

use std::os::fd::RawFd;

use rustix::process::Resource;

/// The highest of them, where a process may have so many.
const HIGHEST: RawFd = 1000;

/// The numbers, the same in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// The end of the jobserver's pipe that tokens come out of.
    pub(crate) tokens_out: RawFd,
    /// The end that they are put into.
    pub(crate) tokens_in: RawFd,
    /// Where a job names its phase.
    pub(crate) phases: RawFd,
}

impl Numbers {
    /// Those that a child of this process may have.
    pub(crate) fn new() -> Self {
        let limit = rustix::process::getrlimit(Resource::Nofile).current;
        let last = limit.and_then(|limit| RawFd::try_from(limit.saturating_sub(1)).ok());
        let phases = last.map_or(HIGHEST, |last| last.min(HIGHEST));
        Self {
            tokens_out: phases - 2,
            tokens_in: phases - 1,
            phases,
        }
    }
}
