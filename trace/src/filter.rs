//! The filter program: which system calls are stopped (seccomp(2), classic BPF).
//!
//! Not stopped are calls without paths, and `newfstatat` of a descriptor with `AT_EMPTY_PATH`, which is how the C library
//! asks about an open file. Stopped besides are calls about the machine, which get answers of ours, and calls that
//! change what a path leads to. `io_uring` is refused: what goes through its rings passes no filter. All calls of
//! another architecture and all that are newer than the tables are stopped, so that the trace can say that it is
//! incomplete.

use std::mem::offset_of;

use crate::{
    answers::{ANSWERED, MEASURED_LIMITS},
    calls::{LAST_KNOWN, REMOUNTING, path_calls},
    sockets::SOCKET_CALLS,
};

#[cfg(target_arch = "x86_64")]
pub(crate) const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(crate) const ARCHITECTURE: u32 = 0xc000_00b7;
/// Elsewhere every call counts as another architecture's.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) const ARCHITECTURE: u32 = 0;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const GREATER: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
/// `ENOSYS`, as on a kernel without it.
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// The flags of the one message that is not stopped: the filter's own end goes out with it, before anybody listens. They mean
/// nothing to a socket of this machine, so no program has a use for just these.
pub(crate) const FIRST_MESSAGE: libc::c_int =
    libc::MSG_NOSIGNAL | libc::MSG_CONFIRM | libc::MSG_DONTROUTE;

fn statement(code: u32, k: u32) -> libc::sock_filter {
    jump(code, k, 0, 0)
}

/// Skips `yes` or `no` statements.
fn jump(code: u32, k: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: yes,
        jf: no,
        k,
    }
}

/// The low half of an argument, on a little-endian machine.
fn argument(index: usize) -> u32 {
    (offset_of!(libc::seccomp_data, args) + 8 * index) as u32
}

/// A program that stops these calls for a tracer (ptrace(2)), and no others.
pub fn stops_for_tracer(calls: &[libc::c_long]) -> Vec<libc::sock_filter> {
    let pass = statement(RETURN, libc::SECCOMP_RET_ALLOW);
    let mut program = beginning(pass).to_vec();
    let stop = statement(RETURN, libc::SECCOMP_RET_TRACE);
    program.extend(returns(calls.iter().copied(), stop));
    program.push(pass);
    program
}

/// Loads a call's number, if it is one of this architecture; otherwise ends so.
fn beginning(otherwise: libc::sock_filter) -> [libc::sock_filter; 4] {
    [
        statement(LOAD, offset_of!(libc::seccomp_data, arch) as u32),
        jump(EQUAL, ARCHITECTURE, 1, 0),
        otherwise,
        statement(LOAD, offset_of!(libc::seccomp_data, nr) as u32),
    ]
}

/// Ends so for each of these numbers.
fn returns(
    numbers: impl Iterator<Item = libc::c_long>,
    end: libc::sock_filter,
) -> impl Iterator<Item = libc::sock_filter> {
    numbers.flat_map(move |number| [jump(EQUAL, number as u32, 0, 1), end])
}

/// Does so for one call only, whose number is loaded; this cannot go on afterwards.
fn only(number: libc::c_long, body: &[libc::sock_filter]) -> Vec<libc::sock_filter> {
    let mut program = vec![jump(EQUAL, number as u32, 0, body.len() as u8)];
    program.extend_from_slice(body);
    program
}

/// The program.
pub(crate) fn program() -> Vec<libc::sock_filter> {
    let stop = statement(RETURN, libc::SECCOMP_RET_USER_NOTIF);
    let pass = statement(RETURN, libc::SECCOMP_RET_ALLOW);
    let mut program = beginning(stop).to_vec();
    program.extend([jump(GREATER, LAST_KNOWN, 0, 1), stop]);
    let refuse = statement(RETURN, REFUSE);
    program.extend(only(libc::SYS_io_uring_setup, &[refuse]));
    // A descriptor is asked about: there is no path.
    let of_descriptor = [
        statement(LOAD, argument(3)),
        jump(EQUAL, libc::AT_EMPTY_PATH as u32, 1, 0),
        stop,
        statement(LOAD, argument(0)),
        jump(EQUAL, libc::AT_FDCWD as u32, 0, 1),
        stop,
        pass,
    ];
    program.extend(only(libc::SYS_newfstatat, &of_descriptor));
    let [processes, signals] = MEASURED_LIMITS;
    let of_limit = [
        statement(LOAD, argument(1)),
        jump(EQUAL, processes, 1, 0),
        jump(EQUAL, signals, 0, 1),
        stop,
        pass,
    ];
    program.extend(only(libc::SYS_prlimit64, &of_limit));
    let of_message = [
        statement(LOAD, argument(2)),
        jump(EQUAL, FIRST_MESSAGE as u32, 0, 1),
        pass,
        stop,
    ];
    program.extend(only(libc::SYS_sendmsg, &of_message));
    // Only the number is looked at from here on, which lets the kernel remember who passes.
    let looked_into = [libc::SYS_newfstatat, libc::SYS_prlimit64, libc::SYS_sendmsg];
    let numbers = ANSWERED
        .into_iter()
        .chain(REMOUNTING)
        .chain(SOCKET_CALLS)
        .chain(path_calls().map(|call| call.number))
        .filter(|number| !looked_into.contains(number));
    program.extend(returns(numbers, stop));
    program.push(pass);
    program
}
