//! Statements of seccomp filters (seccomp(2), classic BPF).

use std::mem::offset_of;

use libc::sock_filter;

/// Jumps if what is loaded is this number.
pub const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
/// Jumps if it is greater.
pub const GREATER: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
/// Jumps if it has any of these bits.
pub const ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;

/// `AUDIT_ARCH_*` (linux/audit.h) of this machine's own programs.
#[cfg(target_arch = "x86_64")]
pub const ARCHITECTURE: u32 = 0xc000_003e;
/// `AUDIT_ARCH_*` (linux/audit.h) of this machine's own programs.
#[cfg(target_arch = "aarch64")]
pub const ARCHITECTURE: u32 = 0xc000_00b7;
/// Elsewhere every call counts as another architecture's.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub const ARCHITECTURE: u32 = 0;

/// Loads the architecture of a call.
pub fn load_architecture() -> sock_filter {
    load(offset_of!(libc::seccomp_data, arch))
}

/// Loads the number of a call.
pub fn load_number() -> sock_filter {
    load(offset_of!(libc::seccomp_data, nr))
}

/// Loads the low half of an argument, on a little-endian machine.
pub fn load_argument(index: usize) -> sock_filter {
    load(offset_of!(libc::seccomp_data, args) + 8 * index)
}

fn load(offset: usize) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32)
}

/// Ends with a `SECCOMP_RET_*`.
pub fn end(code: u32) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, code)
}

/// Ends with an error of this number.
pub fn fail(errno: libc::c_int) -> sock_filter {
    end(libc::SECCOMP_RET_ERRNO | errno as u32)
}

/// Ends so for each of these numbers, if it is loaded.
pub fn ends(
    numbers: impl IntoIterator<Item = libc::c_long>,
    end: sock_filter,
) -> impl Iterator<Item = sock_filter> {
    let numbers = numbers.into_iter();
    numbers.flat_map(move |number| [jump(EQUAL, number as u32, 0, 1), end])
}

/// Judges one call so, whose number is loaded; this must come to an end.
pub fn only(number: libc::c_long, body: &[sock_filter]) -> Vec<sock_filter> {
    let mut program = vec![jump(EQUAL, number as u32, 0, body.len() as u8)];
    program.extend_from_slice(body);
    program
}

/// Skips any number of statements.
pub fn skip(statements: usize) -> sock_filter {
    statement(libc::BPF_JMP | libc::BPF_JA, statements as u32)
}

/// Skips `yes` or `no` statements.
pub fn jump(code: u32, k: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: yes,
        jf: no,
        k,
    }
}

fn statement(code: u32, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}
