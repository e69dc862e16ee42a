//! ptrace(2) and dl_iterate_phdr(3), which need `unsafe`; each block says why it is sound.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, OsStr, OsString},
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command},
};

use rustix::{
    io::Errno,
    process::{Pid, WaitOptions},
};

use crate::sys::put_on;

/// An argument that a request does not use, as wide as a pointer.
const NOTHING: libc::c_long = 0;

/// What tells a stop at a system call from one for a signal (`PTRACE_O_TRACESYSGOOD`).
const CALL: i32 = 0x80;

/// What has become of a process of the action.
pub(super) enum Event {
    /// It has exited with this code.
    Exited(u8),
    /// This signal has ended it.
    Killed(i32),
    /// It waits to be told whether it gets this signal.
    Stopped(i32),
    /// It begins one of the few system calls that are picked out.
    Picked,
    /// It begins or ends a system call.
    Call,
    /// It waits for no reason that matters: it has started another process.
    Other,
}

/// Where a process is to stop next, but for signals and births.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nowhere else.
    Event,
    /// Where a system call begins or ends.
    Call,
}

/// A system call that a process has stopped at.
pub(super) enum Call {
    /// The number of one that begins.
    Begins(i64),
    /// One has failed.
    Fails(Errno),
}

/// Who sent a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// The kernel, for what the process itself did, or for another reason of its own.
    Kernel,
    /// A process; none if it has no number in this namespace.
    Process(Option<Pid>),
}

/// The libraries of this program, by the names that it asked for them by.
#[derive(Debug)]
pub(crate) struct Libraries {
    /// Where they are.
    pub(crate) paths: Vec<PathBuf>,
    /// The file name of the one among them that loads programs; none if this program needs none.
    pub(crate) loader: Option<OsString>,
}

impl Libraries {
    /// Those of this program.
    pub(crate) fn of_this_program() -> Self {
        let mut libraries = Self {
            paths: Vec::new(),
            loader: None,
        };
        // SAFETY: the callback is called with the pointer that is given here, while this call lasts.
        unsafe { libc::dl_iterate_phdr(Some(note_library), (&raw mut libraries).cast()) };
        libraries
    }
}

/// Notes one library (dl_iterate_phdr(3)).
unsafe extern "C" fn note_library(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    libraries: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the caller gives a description that lives as long as this call, whose name is a string or null, and the
    // pointer that `of_this_program` gave it, which nothing else uses meanwhile.
    let (name, address, libraries) = unsafe {
        let info = &*info;
        if info.dlpi_name.is_null() {
            return 0;
        }
        let name = CStr::from_ptr(info.dlpi_name);
        (name, info.dlpi_addr, &mut *libraries.cast::<Libraries>())
    };
    let path = Path::new(OsStr::from_bytes(name.to_bytes()));
    if path.is_absolute() {
        // SAFETY: it takes a number and gives one.
        let is_loader = address != 0 && address == unsafe { libc::getauxval(libc::AT_BASE) };
        if is_loader {
            libraries.loader = path.file_name().map(OsStr::to_owned);
        }
        libraries.paths.push(path.to_owned());
    }
    0
}

/// Starts a program that stops, traced by this thread, before its first instruction, and at the system calls that a
/// filter picks out.
pub(super) fn spawn_traced(
    command: &mut Command,
    filter: Vec<libc::sock_filter>,
) -> io::Result<Pid> {
    let hook = move || {
        // SAFETY: the request takes no pointers; it makes one system call and is safe after fork.
        let done = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, NOTHING, NOTHING) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        // On a kernel without filters nothing is picked out.
        put_on(&filter, 0);
        Ok(())
    };
    // SAFETY: the hook makes system calls on memory that was laid out before the fork, allocates nothing and takes no
    // lock.
    unsafe {
        command.pre_exec(hook);
    }
    command.spawn().map(|child| pid(&child))
}

/// Puts this process, and what it starts, under Landlock's rules for ever; the descriptor that has them is closed.
pub(super) fn obey(rules: RawFd) -> io::Result<()> {
    // SAFETY: whoever started this process has given it the descriptor, and nothing else here has it.
    let rules = unsafe { OwnedFd::from_raw_fd(rules) };
    // SAFETY: the call takes a descriptor that is open across it, and flags.
    let done = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
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
        | libc::PTRACE_O_TRACESECCOMP
        | libc::PTRACE_O_TRACESYSGOOD
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

/// Lets a stopped process go on until the next step, with a signal or without (0).
pub(super) fn resume(pid: Pid, until: Step, signal: i32) {
    let request = match until {
        Step::Event => libc::PTRACE_CONT,
        Step::Call => libc::PTRACE_SYSCALL,
    };
    // SAFETY: the request takes two numbers, no pointers. It fails only for a process that is gone.
    unsafe {
        libc::ptrace(
            request,
            pid.as_raw_nonzero().get(),
            NOTHING,
            libc::c_long::from(signal),
        );
    }
}

/// The system call that a process is stopped at. None of one that has succeeded, or on a kernel that does not tell
/// (before 5.3).
pub(super) fn call(pid: Pid) -> Option<Call> {
    let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
    // SAFETY: the pointer is to writable memory of the size that is given.
    let written = unsafe {
        libc::ptrace(
            libc::PTRACE_GET_SYSCALL_INFO,
            pid.as_raw_nonzero().get(),
            size_of::<libc::ptrace_syscall_info>(),
            info.as_mut_ptr(),
        )
    };
    if written <= 0 {
        return None;
    }
    // SAFETY: zeroed above and filled by the successful call; zeros are a value of each of its fields.
    let info = unsafe { info.assume_init() };
    // SAFETY: which field of the union was filled, `op` tells; all are numbers.
    unsafe {
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => Some(Call::Begins(info.u.entry.nr.cast_signed())),
            libc::PTRACE_SYSCALL_INFO_SECCOMP => {
                Some(Call::Begins(info.u.seccomp.nr.cast_signed()))
            }
            libc::PTRACE_SYSCALL_INFO_EXIT if info.u.exit.is_error != 0 => {
                let errno = i32::try_from(-info.u.exit.sval).ok()?;
                Some(Call::Fails(Errno::from_raw_os_error(errno)))
            }
            _ => None,
        }
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
    if !by_process {
        return Some(Sender::Kernel);
    }
    // SAFETY: signals with these codes have a sender, which is 0 where this namespace has no number for it.
    Some(Sender::Process(Pid::from_raw(unsafe { info.si_pid() })))
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
            (Some(signal), 0) if signal == libc::SIGTRAP | CALL => Event::Call,
            (Some(signal), 0) => Event::Stopped(signal),
            (_, libc::PTRACE_EVENT_SECCOMP) => Event::Picked,
            _ => Event::Other,
        }
    };
    Ok((pid, event))
}
