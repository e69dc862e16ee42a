//! What one action may use up: more than any build needs, and less than what takes a machine down.
//!
//! An action that uses more is stopped, and has no outcome: what a machine allows is in no key. How many processes there are
//! the watch counts, which sees each of them begin; their memory is looked at from outside (`processes.rs`).

use std::num::NonZeroUsize;

/// The limits of one action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// How much memory its processes may have together, swap included, in bytes.
    pub memory: u64,
    /// How many processes and threads it may have at once.
    pub processes: NonZeroUsize,
    /// How much it may print, in bytes.
    pub log: u64,
    /// How large its results may be together, in bytes.
    pub results: u64,
}

const PROCESSES: NonZeroUsize = match NonZeroUsize::new(4096) {
    Some(processes) => processes,
    None => NonZeroUsize::MIN,
};

const LOG: u64 = 1 << 30;

const RESULTS: u64 = 2 << 30;

impl Default for Allowance {
    /// Four fifths of the machine's memory, 4096 processes, a log of 1 GiB, results of 2 GiB.
    fn default() -> Self {
        let machine = rustix::system::sysinfo();
        let memory = machine.totalram * u64::from(machine.mem_unit);
        Self {
            memory: (memory / 5 * 4) >> 20 << 20,
            processes: PROCESSES,
            log: LOG,
            results: RESULTS,
        }
    }
}
