//! The filter program: which system calls are stopped (seccomp(2), classic BPF).
//!
//! Not stopped are calls without paths, and `newfstatat` of a descriptor with `AT_EMPTY_PATH`, which is how the C library
//! asks about an open file. Stopped besides are calls about the machine, which get answers of ours, and calls that
//! change what a path leads to. `io_uring` is refused: what goes through its rings passes no filter. All calls of
//! another architecture and all that are newer than the tables are stopped, so that the trace can say that it is
//! incomplete.

use crate::{
    answers::{ANSWERED, MEASURED_LIMITS},
    bpf::{
        ARCHITECTURE, EQUAL, GREATER, end, ends, fail, jump, load_architecture, load_argument,
        load_number, only,
    },
    calls::{LAST_KNOWN, REMOUNTING, path_calls},
    sockets::SOCKET_CALLS,
};

/// The flags of the one message that is not stopped: the filter's own end goes out with it, before anybody listens. They mean
/// nothing to a socket of this machine, so no program has a use for just these.
pub(crate) const FIRST_MESSAGE: libc::c_int =
    libc::MSG_NOSIGNAL | libc::MSG_CONFIRM | libc::MSG_DONTROUTE;

/// A program that stops these calls for a tracer (ptrace(2)), and no others.
pub fn stops_for_tracer(calls: &[libc::c_long]) -> Vec<libc::sock_filter> {
    let pass = end(libc::SECCOMP_RET_ALLOW);
    let mut program = beginning(pass).to_vec();
    let stop = end(libc::SECCOMP_RET_TRACE);
    program.extend(ends(calls.iter().copied(), stop));
    program.push(pass);
    program
}

/// Loads a call's number, if it is one of this architecture; otherwise ends so.
fn beginning(otherwise: libc::sock_filter) -> [libc::sock_filter; 4] {
    [
        load_architecture(),
        jump(EQUAL, ARCHITECTURE, 1, 0),
        otherwise,
        load_number(),
    ]
}

/// The program.
pub(crate) fn program() -> Vec<libc::sock_filter> {
    let stop = end(libc::SECCOMP_RET_USER_NOTIF);
    let pass = end(libc::SECCOMP_RET_ALLOW);
    let mut program = beginning(stop).to_vec();
    program.extend([jump(GREATER, LAST_KNOWN, 0, 1), stop]);
    // As on a kernel without it.
    program.extend(only(libc::SYS_io_uring_setup, &[fail(libc::ENOSYS)]));
    // A descriptor is asked about: there is no path.
    let of_descriptor = [
        load_argument(3),
        jump(EQUAL, libc::AT_EMPTY_PATH as u32, 1, 0),
        stop,
        load_argument(0),
        jump(EQUAL, libc::AT_FDCWD as u32, 0, 1),
        stop,
        pass,
    ];
    program.extend(only(libc::SYS_newfstatat, &of_descriptor));
    let [processes, signals] = MEASURED_LIMITS;
    let of_limit = [
        load_argument(1),
        jump(EQUAL, processes, 1, 0),
        jump(EQUAL, signals, 0, 1),
        stop,
        pass,
    ];
    program.extend(only(libc::SYS_prlimit64, &of_limit));
    let of_message = [
        load_argument(2),
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
    program.extend(ends(numbers, stop));
    program.push(pass);
    program
}
