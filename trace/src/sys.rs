//! The system calls that need `unsafe`: installing the filter between fork and exec, the notifications, and
//! reading another process's memory. Each block says why it is sound.
#![allow(unsafe_code)]

use std::{
    io,
    mem::{self, MaybeUninit},
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
};

use crate::filter::FIRST_MESSAGE;

/// `SECCOMP_IOCTL_NOTIF_*` of linux/seccomp.h, for the sizes of libc's structs.
const RECEIVE: libc::c_ulong = request(3, mem::size_of::<libc::seccomp_notif>(), 0);
const SEND: libc::c_ulong = request(3, mem::size_of::<libc::seccomp_notif_resp>(), 1);
const SET_FLAGS: libc::c_ulong = request(1, mem::size_of::<u64>(), 4);
/// The stopped process runs on in the place of the one that answered it (Linux 6.6).
const SYNCHRONOUS: u64 = 1;

/// A request number as `_IOC` makes it, with the magic number `!`.
const fn request(direction: u64, size: usize, number: u64) -> libc::c_ulong {
    (direction << 30) | ((size as u64) << 16) | ((b'!' as u64) << 8) | number
}

/// What the child is told once its listening end has come.
pub(crate) const LISTENING: &[u8; 1] = b"+";

/// Has the child of a command put the filter on itself, send the listening end over `channel`, and wait for [`LISTENING`].
/// Where it cannot put it on, it goes on without, and sends nothing; where nobody listens, it does not start.
pub(crate) fn filter_child(
    command: &mut Command,
    program: Vec<libc::sock_filter>,
    channel: OwnedFd,
) {
    let hook = move || {
        // SAFETY: plain system calls on values that live as long as the calls.
        unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            let filter = libc::sock_fprog {
                len: program.len() as u16,
                filter: program.as_ptr().cast_mut(),
            };
            let flags =
                libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
            let listener = libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const filter,
            );
            if listener >= 0 {
                send_descriptor(channel.as_raw_fd(), listener as RawFd);
                libc::close(listener as RawFd);
                let mut word = [0];
                rustix::io::retry_on_intr(|| rustix::io::read(&channel, &mut word))?;
                if word != *LISTENING {
                    return Err(io::Error::from_raw_os_error(libc::EPIPE));
                }
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe things may be done. The hook makes plain
    // system calls on memory that was laid out before the fork, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(hook);
    }
}

/// Sends a descriptor along with one byte, allocating nothing.
///
/// # Safety
/// Both descriptors must be open.
unsafe fn send_descriptor(channel: RawFd, descriptor: RawFd) {
    let mut byte = 0u8;
    let mut data = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let mut control = Control([0; 64]);
    // SAFETY: the header points to live memory of the sizes that it names, and the control
    // message is written within it.
    unsafe {
        let mut header: libc::msghdr = mem::zeroed();
        header.msg_iov = &raw mut data;
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut control).cast();
        header.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let message = libc::CMSG_FIRSTHDR(&raw const header);
        (*message).cmsg_level = libc::SOL_SOCKET;
        (*message).cmsg_type = libc::SCM_RIGHTS;
        (*message).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(message)
            .cast::<RawFd>()
            .write_unaligned(descriptor);
        libc::sendmsg(channel, &raw const header, FIRST_MESSAGE);
    }
}

/// Room for one control message with a descriptor, aligned as one.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Waits for the descriptor of a child; none if it ended or went on without.
pub(crate) fn receive_descriptor(channel: BorrowedFd<'_>) -> Option<OwnedFd> {
    let mut byte = 0u8;
    let mut data = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let mut control = Control([0; 64]);
    // SAFETY: as for sending; a descriptor that came belongs to nobody else.
    unsafe {
        let mut header: libc::msghdr = mem::zeroed();
        header.msg_iov = &raw mut data;
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut control).cast();
        header.msg_controllen = mem::size_of::<Control>();
        let received = loop {
            let received =
                libc::recvmsg(channel.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC);
            if received >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                break received;
            }
        };
        let message = libc::CMSG_FIRSTHDR(&raw const header);
        if received <= 0 || message.is_null() || (*message).cmsg_type != libc::SCM_RIGHTS {
            return None;
        }
        let descriptor = libc::CMSG_DATA(message).cast::<RawFd>().read_unaligned();
        Some(OwnedFd::from_raw_fd(descriptor))
    }
}

/// Asks for the quick way of answering. Without it a stopped call costs ten times as much.
pub(crate) fn answer_synchronously(listener: BorrowedFd<'_>) -> io::Result<()> {
    set_flags(listener, SYNCHRONOUS)
}

/// Answers without it: the stopped process goes on where it was.
pub(crate) fn answer_in_its_place(
    listener: BorrowedFd<'_>,
    send: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    set_flags(listener, 0)?;
    let sent = send();
    set_flags(listener, SYNCHRONOUS)?;
    sent
}

fn set_flags(listener: BorrowedFd<'_>, flags: u64) -> io::Result<()> {
    // SAFETY: the request takes its flags by value.
    checked(unsafe { libc::ioctl(listener.as_raw_fd(), SET_FLAGS as _, flags) })
}

/// The next stopped call. An error of kind `NotFound` says that its process has ended meanwhile.
pub(crate) fn receive(listener: BorrowedFd<'_>) -> io::Result<libc::seccomp_notif> {
    let mut call = MaybeUninit::<libc::seccomp_notif>::zeroed();
    // SAFETY: the kernel fills a zeroed struct of the size that the request number names.
    unsafe {
        checked(libc::ioctl(
            listener.as_raw_fd(),
            RECEIVE as _,
            call.as_mut_ptr(),
        ))?;
        Ok(call.assume_init())
    }
}

/// Lets a stopped call go on.
pub(crate) fn let_go_on(listener: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    let answer = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: 0,
        flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
    };
    // SAFETY: the kernel reads a struct of the size that the request number names.
    checked(unsafe { libc::ioctl(listener.as_raw_fd(), SEND as _, &raw const answer) })
}

/// Answers a stopped call in the kernel's place: a result, or a negative error number.
pub(crate) fn answer(listener: BorrowedFd<'_>, id: u64, result: i64) -> io::Result<()> {
    let answer = libc::seccomp_notif_resp {
        id,
        val: result.max(0),
        error: result.min(0) as i32,
        flags: 0,
    };
    // SAFETY: the kernel reads a struct of the size that the request number names.
    checked(unsafe { libc::ioctl(listener.as_raw_fd(), SEND as _, &raw const answer) })
}

/// Writes into a process's memory.
pub(crate) fn write_memory(pid: u32, address: u64, bytes: &[u8]) -> io::Result<()> {
    let local = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let remote = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: bytes.len(),
    };
    // SAFETY: the kernel reads the live bytes, and checks the other side's address.
    let written = unsafe {
        libc::process_vm_writev(
            pid as libc::pid_t,
            &raw const local,
            1,
            &raw const remote,
            1,
            0,
        )
    };
    if usize::try_from(written) == Ok(bytes.len()) {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Reads up to the end of a page, or of `buffer`, from a process; how many bytes came: none where it has nothing, or has ended.
pub(crate) fn read_memory(pid: u32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let page = 4096 - (address as usize & 4095);
    let length = buffer.len().min(page);
    let local = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: length,
    };
    let remote = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: length,
    };
    // SAFETY: the kernel writes at most `length` bytes into the buffer, and checks the other side's address.
    let read = unsafe {
        libc::process_vm_readv(
            pid as libc::pid_t,
            &raw const local,
            1,
            &raw const remote,
            1,
            0,
        )
    };
    let Ok(read) = usize::try_from(read) else {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::EFAULT | libc::ESRCH) => Ok(0),
            _ => Err(error),
        };
    };
    Ok(read)
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Shutdown, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn where_nobody_takes_the_listening_end_the_command_does_not_start() {
        let closed = |end: UnixStream| drop(end);
        let refused = |end: UnixStream| {
            end.shutdown(Shutdown::Both).unwrap();
            mem::forget(end);
        };
        for ends in [closed, refused] {
            let (here, there) = UnixStream::pair().unwrap();
            let mut command = Command::new("true");
            filter_child(&mut command, crate::filter::program(), there.into());
            ends(here);
            let error = command.spawn().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}");
        }
    }
}
