//! What a program inherits besides its arguments, set to fixed values once, before anything else.
//!
//! The umask, limits, ignored signals, open files and personality of whoever called kiln would show in what kiln and its
//! builds make: files that the build user cannot read or only the caller could, compilers without a stack, makes that no
//! signal ends.

use std::{
    process::ExitCode,
    sync::{Arc, OnceLock, atomic::AtomicBool},
    thread,
};

use kiln_durable::regular;
use rustix::{fs::Mode, process::DumpableBehavior};

/// What a program's first thread has where nobody lowered it.
const STACK: usize = 8 << 20;

/// What the caller wanted to be ignored.
static IGNORED: OnceLock<Vec<i32>> = OnceLock::new();

/// Whether whoever called this program has it ignore a signal, as nohup does.
pub(crate) fn is_ignored(signal: i32) -> bool {
    IGNORED
        .get()
        .is_some_and(|ignored| ignored.contains(&signal))
}

/// Takes fixed values in the place of inherited ones. To be called while there is one thread.
pub fn settle() {
    // What is to be private has a mode of its own.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    kiln_sandbox::settle_limits();
    kiln_sandbox::settle_descriptors();
    kiln_sandbox::settle_personality();
    // What runs as the same user can neither trace this process nor read its memory.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // A file that may not grow is an error where it is written, and no end without a word.
    let _ = signal_hook::flag::register(rustix::process::Signal::XFSZ.as_raw(), Arc::default());
    let status = regular::text_of_system("/proc/self/status").unwrap_or_default();
    for &signal in IGNORED.get_or_init(|| ignored(&status)) {
        // Programs are started with the default action for what has a handler here; this one does as little
        // as ignoring does.
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
}

/// Runs the program where there is room for it: a thread has a stack of its own, whatever the caller's limit is.
pub fn with_a_stack(program: impl FnOnce() -> ExitCode + Send + 'static) -> ExitCode {
    if !kiln_sandbox::is_stack_low() {
        return program();
    }
    let running = thread::Builder::new().stack_size(STACK).spawn(program);
    running
        .map_err(drop)
        .and_then(|running| running.join().map_err(drop))
        .unwrap_or(ExitCode::FAILURE)
}

/// The signals that a process ignores, by /proc/PID/status; those below the real-time signals.
fn ignored(status: &str) -> Vec<i32> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default();
    (1..32)
        .filter(|signal| mask >> (signal - 1) & 1 == 1)
        // Every Rust program ignores this one, and starts others with its default action.
        .filter(|signal| *signal != signal_hook::consts::SIGPIPE)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_their_mask() {
        let status = "Name:\tx\nSigBlk:\tffff\nSigIgn:\t0000000000001007\nSigCgt:\t0\n";
        assert_eq!(ignored(status), [1, 2, 3]);
        assert!(ignored("").is_empty());
    }
}
