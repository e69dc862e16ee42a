//! Calls about the machine and what they are answered: the same on every machine.

use crate::{bpf, judge::Machine, sys};

/// How many processors traced programs are told of.
pub const PROCESSORS: usize = 8;

/// How much memory, in bytes.
pub const MEMORY: u64 = 8 << 30;

/// How many processes a user may have, and signals that wait. The kernel derives both from the machine's memory.
const PROCESSES_AND_SIGNALS: u64 = 32768;

/// The calls that are answered.
pub(crate) const ANSWERED: [libc::c_long; 8] = [
    libc::SYS_sched_getaffinity,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_prlimit64,
    libc::SYS_getpriority,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_getattr,
    libc::SYS_ioprio_get,
];

/// The limits (getrlimit(2)) that are [`PROCESSES_AND_SIGNALS`].
pub(crate) const MEASURED_LIMITS: [u32; 2] = [libc::RLIMIT_NPROC, libc::RLIMIT_SIGPENDING];

/// The bytes of a mask of processors; the first has [`PROCESSORS`] bits.
const MASK: usize = 8;

/// The answer to a call; none if it is to go on.
pub(crate) fn answer(call: &libc::seccomp_notif, machine: &Machine) -> Option<i64> {
    if call.data.arch != bpf::ARCHITECTURE {
        return None;
    }
    let arguments = &call.data.args;
    match libc::c_long::from(call.data.nr) {
        libc::SYS_sched_getaffinity if arguments[1] < MASK as u64 => Some(-i64::from(libc::EINVAL)),
        libc::SYS_sched_getaffinity => {
            let mut mask = [0; MASK];
            mask[0] = u8::MAX;
            Some(written(call, arguments[2], &mask, MASK as i64))
        }
        libc::SYS_uname => Some(written(call, arguments[0], &machine.names(), 0)),
        libc::SYS_sysinfo => Some(written(call, arguments[0], &words(SYSINFO), 0)),
        // One that sets a limit goes on.
        libc::SYS_prlimit64 if arguments[2] == 0 && arguments[3] != 0 => {
            let limits = [PROCESSES_AND_SIGNALS; 2];
            Some(written(call, arguments[3], &words(limits), 0))
        }
        // As the call itself returns it: 20 less the nice value.
        libc::SYS_getpriority => Some(20),
        libc::SYS_sched_getscheduler | libc::SYS_ioprio_get => Some(0),
        libc::SYS_sched_getattr if arguments[2] < SCHED_ATTR[0] => Some(-i64::from(libc::EINVAL)),
        libc::SYS_sched_getattr => Some(written(call, arguments[1], &words(SCHED_ATTR), 0)),
        _ => None,
    }
}

/// `struct sched_attr`: its size, the usual policy, nothing else.
const SCHED_ATTR: [u64; 6] = [48, 0, 0, 0, 0, 0];

/// `struct sysinfo`: a second after the start, no load, all memory free, no swap, one process, sizes in bytes.
const SYSINFO: [u64; 14] = [1, 0, 0, 0, MEMORY, MEMORY, 0, 0, 0, 0, 1, 0, 0, 1];

fn words<const N: usize>(words: [u64; N]) -> Vec<u8> {
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// Writes an answer to where the caller wants it; returns what the call returns.
fn written(call: &libc::seccomp_notif, address: u64, bytes: &[u8], done: i64) -> i64 {
    match sys::write_memory(call.pid, address, bytes) {
        Ok(()) => done,
        Err(_) => -i64::from(libc::EFAULT),
    }
}
