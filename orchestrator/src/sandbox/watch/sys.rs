//! ptrace(2), which needs `unsafe`; each block says why it is sound.
#![allow(unsafe_code)]

use std::{
    io,
    mem::MaybeUninit,
    os::unix::process::CommandExt,
    process::{Child, Command},
};

use rustix::process::{Pid, WaitOptions};

/// An argument that a request does not use, as wide as a pointer.
const NOTHING: libc::c_long = 0;

/// What has become of a process of the action.
pub(super) enum Event {
    /// It has exited with this code.
    Exited(u8),
    /// This signal has ended it.
    Killed(i32),
    /// It waits to be told whether it gets this signal.
    Stopped(i32),
    /// It waits for no reason that matters: it has started another process.
    Other,
}

/// Who sent a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// A process of the sandbox, or the kernel for what the process itself did.
    Inside,
    /// A process outside of the sandbox.
    Outside,
}

/// Starts a program that stops, traced by this thread, before its first instruction.
pub(super) fn spawn_traced(command: &mut Command) -> io::Result<Pid> {
    let hook = || {
        // SAFETY: the request takes no pointers; it makes one system call and is safe after fork.
        let done = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, NOTHING, NOTHING) };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: the hook makes one system call, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(hook);
    }
    command.spawn().map(|child| pid(&child))
}

/// The number of a child, which its handle need not outlive: every process is reaped by [`next_event`].
pub(super) fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Has all that a traced process starts traced too, and killed if this process ends.
pub(super) fn follow_descendants(pid: Pid) {
    let options = libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_EXITKILL;
    // SAFETY: the request takes a number of a process and flags, no pointers. It fails only for a process that is gone.
    unsafe {
        libc::ptrace(
            libc::PTRACE_SETOPTIONS,
            pid.as_raw_nonzero().get(),
            NOTHING,
            libc::c_long::from(options),
        );
    }
}

/// Lets a stopped process go on, with a signal or without (0).
pub(super) fn resume(pid: Pid, signal: i32) {
    // SAFETY: the request takes two numbers, no pointers. It fails only for a process that is gone.
    unsafe {
        libc::ptrace(
            libc::PTRACE_CONT,
            pid.as_raw_nonzero().get(),
            NOTHING,
            libc::c_long::from(signal),
        );
    }
}

/// Who sent the signal that a process is stopped for. None if the stop itself is the signal's effect.
pub(super) fn sender(pid: Pid) -> Option<Sender> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the pointer is to writable memory of the right type that lives across the call.
    let done = unsafe {
        libc::ptrace(
            libc::PTRACE_GETSIGINFO,
            pid.as_raw_nonzero().get(),
            NOTHING,
            info.as_mut_ptr(),
        )
    };
    if done != 0 {
        return None;
    }
    // SAFETY: zeroed above and filled by the successful call.
    let info = unsafe { info.assume_init() };
    let by_process = matches!(
        info.si_code,
        libc::SI_USER | libc::SI_TKILL | libc::SI_QUEUE
    );
    // SAFETY: signals with these codes have a sender, which is 0 where this namespace has no number for it.
    let from_outside = by_process && unsafe { info.si_pid() } == 0;
    Some(if from_outside {
        Sender::Outside
    } else {
        Sender::Inside
    })
}

/// Waits for any process of the action, threads and orphans among them.
pub(super) fn next_event() -> io::Result<(Pid, Event)> {
    let options = WaitOptions::from_bits_retain(libc::__WALL.cast_unsigned());
    let (pid, status) = rustix::io::retry_on_intr(|| rustix::process::wait(options))?
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let event = if let Some(code) = status.exit_status() {
        Event::Exited(u8::try_from(code).unwrap_or(u8::MAX))
    } else if let Some(signal) = status.terminating_signal() {
        Event::Killed(signal)
    } else {
        // The higher half says what a process has started.
        match (status.stopping_signal(), status.as_raw() >> 16) {
            (Some(signal), 0) => Event::Stopped(signal),
            _ => Event::Other,
        }
    };
    Ok((pid, event))
}
