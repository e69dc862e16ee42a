//! The system call that says what reaped children have consumed. The only file that may
//! use `unsafe`.
#![allow(unsafe_code)]

use std::{io, mem::MaybeUninit, time::Duration};

/// Processor time of all children that were waited for so far, and of theirs.
pub(crate) fn cpu_of_children() -> io::Result<Duration> {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to writable memory of the right type that lives across the call.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a struct of plain integers, zeroed above and filled by the successful call.
    let usage = unsafe { usage.assume_init() };
    Ok(duration(usage.ru_utime) + duration(usage.ru_stime))
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    seconds + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}
