//! System calls that need `unsafe`: what this process is to have of its own, and a hook between fork and exec. Each
//! block says why it is sound.
#![allow(unsafe_code)]

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
    ptr,
};

use rustix::io::FdFlags;

/// The first descriptor that is none of the standard ones.
const FIRST: libc::c_int = 3;

/// Keeps descriptors that were inherited from what this process starts: a build could read a file that only the
/// caller may open. What this process opens itself never gets there.
pub fn settle_descriptors() {
    // SAFETY: the call takes numbers. It only marks descriptors; nothing is closed here.
    let marked = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if marked == 0 {
        return;
    }
    // Kernels before 5.11.
    let names = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten();
    let numbers = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in numbers.filter(|number| *number >= FIRST) {
        // SAFETY: as above.
        unsafe {
            libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// The part of a personality that says which architecture a process is told of (personality(2)).
const ARCHITECTURE: libc::c_ulong = 0xff;

/// Asks for the personality, and changes nothing.
const ASK: libc::c_ulong = 0xffff_ffff;

/// Gives up what of its personality a process has inherited (personality(2)), but for the architecture: old numbers of
/// the kernel, addresses that do not vary.
pub fn settle_personality() {
    // SAFETY: the call takes a number, no pointer.
    unsafe {
        let inherited = libc::personality(ASK);
        if let Ok(inherited) = libc::c_ulong::try_from(inherited) {
            libc::personality(inherited & ARCHITECTURE);
        }
    }
}

/// Has a command start as this user, where the mounts are a copy of this process's: what is mounted later is not seen.
/// Where copies may not be made, it starts among the mounts of all.
pub(super) fn apart_as(command: &mut Command, uid: u32, gid: u32) {
    let hook = move || {
        // SAFETY: flags, a constant string, and null where the call wants none.
        unsafe {
            if libc::unshare(libc::CLONE_NEWNS) == 0 {
                let flags = libc::MS_REC | libc::MS_PRIVATE;
                libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), flags, ptr::null());
            }
        }
        // SAFETY: the calls take numbers, and no list of groups.
        let dropped = unsafe {
            libc::setgroups(0, ptr::null()) == 0 && libc::setgid(gid) == 0 && libc::setuid(uid) == 0
        };
        if dropped {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: between fork and exec only async-signal-safe things may be done. The hook makes plain system calls on
    // values it owns, allocates nothing and takes no lock; the C library's wrappers change no other thread, for after
    // fork there is none.
    unsafe {
        command.pre_exec(hook);
    }
}

/// Whether a regular file that is open here for reading is open for writing anywhere: then it can have no lease (fcntl(2)).
/// False where the file system knows no leases.
pub(super) fn is_open_for_writing(file: &File) -> bool {
    // SAFETY: the calls take numbers, and a descriptor that is open across them.
    let lease =
        |kind: libc::c_int| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    match lease(libc::F_RDLCK) {
        0 => {
            // Who opens it for writing later does not wait.
            lease(libc::F_UNLCK);
            false
        }
        _ => io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock,
    }
}

/// Has a command inherit a descriptor, under its number here.
pub(super) fn inherit(command: &mut Command, descriptor: OwnedFd) {
    let hook = move || Ok(rustix::io::fcntl_setfd(&descriptor, FdFlags::empty())?);
    // SAFETY: as for `apart_as`.
    unsafe {
        command.pre_exec(hook);
    }
}

/// Has a descriptor open until a command has become its program, and not from then on.
pub(super) fn keep_until_exec(command: &mut Command, descriptor: OwnedFd) {
    let hook = move || Ok(rustix::io::fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?);
    // SAFETY: as for `apart_as`.
    unsafe {
        command.pre_exec(hook);
    }
}

/// Has a command start under a seccomp filter; without one where the kernel has none.
pub(super) fn refuse(command: &mut Command, program: Vec<libc::sock_filter>) {
    let hook = move || {
        put_on(&program, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW);
        Ok(())
    };
    // SAFETY: as for `apart_as`.
    unsafe {
        command.pre_exec(hook);
    }
}

/// Puts a filter on this process, for ever; none where the kernel has none. It may be called between fork and exec.
pub(super) fn put_on(program: &[libc::sock_filter], flags: libc::c_ulong) {
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or_default(),
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: two system calls on numbers, and on a program that lives across them and that the kernel only reads.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const filter,
        );
    }
}
