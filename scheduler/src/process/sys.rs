//! The system calls that need `unsafe`: a hook between fork and exec, and `wait4` for a child's resource usage.
//!
//! The only file of the crate that may use `unsafe`; each block says why it is sound.
#![allow(unsafe_code)]

use std::io;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::io::FdFlags;
use rustix::process::{Pid, Signal};

use super::Usage;

/// Lets the child of a command lead a session of its own, so that nobody's terminal is its, be killed when the thread that
/// starts it ends, and keep one descriptor across exec.
///
/// `kept` is a descriptor that must stay open in this process until the command has been spawned, and its number in the
/// child.
pub(super) fn prepare_child(command: &mut Command, kept: Option<(RawFd, RawFd)>) {
    let parent = rustix::process::getpid();
    let hook = move || {
        rustix::process::setsid()?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() != Some(parent) {
            // The parent ended before the line above; there is nobody to run for.
            return Err(io::ErrorKind::NotConnected.into());
        }
        kept.map_or(Ok(()), |(kept, number)| keep(kept, number))
    };
    // SAFETY: between fork and exec only async-signal-safe things may be done. The hook makes plain system calls on
    // values it owns, allocates nothing and takes no lock; `ErrorKind` converts to an error without allocating.
    unsafe {
        command.pre_exec(hook);
    }
}

/// Keeps descriptors across a command's exec, under other numbers in the child. In this process they are open as long as the
/// command is there.
pub(crate) fn keep_all<const N: usize>(command: &mut Command, all: [(OwnedFd, RawFd); N]) {
    let hook = move || {
        all.iter()
            .try_for_each(|(kept, number)| keep(kept.as_raw_fd(), *number))
    };
    // SAFETY: as for `prepare_child`.
    unsafe {
        command.pre_exec(hook);
    }
}

/// Keeps a descriptor across exec, under another number. To be called between fork and exec.
fn keep(kept: RawFd, number: RawFd) -> io::Result<()> {
    // SAFETY: the caller keeps the descriptor open until after the spawn, so the forked copy has it open too.
    // Whatever has the other number in this copy goes at exec; nobody here closes it.
    let (kept, mut target) = unsafe {
        let target = OwnedFd::from_raw_fd(number);
        (BorrowedFd::borrow_raw(kept), ManuallyDrop::new(target))
    };
    match kept.as_raw_fd() == number {
        true => rustix::io::fcntl_setfd(kept, FdFlags::empty())?,
        false => rustix::io::dup2(kept, &mut target)?,
    }
    Ok(())
}

/// Waits for a child, reaps it, and returns its status and usage.
///
/// The id must be of a child of this process that has not been reaped, and nobody else may reap it.
pub(super) fn reap(child: Pid) -> io::Result<(ExitStatus, Usage)> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to writable memory of the right type that lives across the call.
        let reaped = unsafe {
            libc::wait4(
                child.as_raw_nonzero().get(),
                &raw mut status,
                0,
                usage.as_mut_ptr(),
            )
        };
        if reaped >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: a struct of plain integers, zeroed above and filled by the successful call.
    let usage = unsafe { usage.assume_init() };
    let usage = Usage {
        cpu_user: duration(usage.ru_utime),
        cpu_system: duration(usage.ru_stime),
        peak_rss: u64::try_from(usage.ru_maxrss)
            .unwrap_or(0)
            .saturating_mul(1024),
    };
    Ok((ExitStatus::from_raw(status), usage))
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    seconds + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}
