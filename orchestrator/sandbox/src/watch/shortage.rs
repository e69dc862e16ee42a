//! What a machine had not enough of for an action, as the kernel said it of a system call (errno(3)).

use rustix::io::Errno;

/// What there was too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// Processes: a limit of the user, of a control group, or of the system.
    #[error("no more processes could be started")]
    Processes,
    /// Memory.
    #[error("no more memory could be had")]
    Memory,
    /// Room on a disk, or in a quota.
    #[error("no room was left to write to")]
    Room,
    /// Open files of the whole system.
    #[error("no more files could be opened on this machine")]
    OpenFiles,
    /// Processes that kiln allows.
    #[error("limits.processes does not allow as many processes and threads at once")]
    AllowedProcesses,
    /// Memory that kiln allows.
    #[error("limits.memory does not allow as much memory")]
    AllowedMemory,
}

/// How an action's exit code says so: above all signals.
const CODES: u8 = 200;

impl Shortage {
    const ALL: [Self; 6] = [
        Self::Processes,
        Self::Memory,
        Self::Room,
        Self::OpenFiles,
        Self::AllowedProcesses,
        Self::AllowedMemory,
    ];

    /// What a system call was refused for, if that was for want of something.
    pub(super) fn of(call: i64, errno: Errno) -> Option<Self> {
        let starts = STARTS.contains(&call);
        match errno {
            Errno::AGAIN | Errno::NOSPC if starts => Some(Self::Processes),
            // Other calls give it for addresses where nothing is, too.
            Errno::NOMEM if starts || MEMORY.contains(&call) => Some(Self::Memory),
            Errno::NOSPC | Errno::DQUOT => Some(Self::Room),
            Errno::NFILE => Some(Self::OpenFiles),
            _ => None,
        }
    }

    /// The exit code of a watched action that met it.
    pub(super) fn code(self) -> u8 {
        CODES + self as u8
    }

    /// What a watched action met that ended with this code.
    pub(super) fn of_exit(code: i32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|shortage| i32::from(shortage.code()) == code)
    }
}

/// The calls that start a process or a thread.
#[cfg(target_arch = "x86_64")]
const STARTS: [i64; 4] = [
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_fork,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const STARTS: [i64; 2] = [libc::SYS_clone, libc::SYS_clone3];

/// The calls that ask for memory.
const MEMORY: [i64; 2] = [libc::SYS_mmap, libc::SYS_execve];

/// The calls that are few in any action, and are refused first: each is looked at.
pub(super) fn few() -> Vec<i64> {
    let mut calls = STARTS.to_vec();
    calls.push(libc::SYS_fallocate);
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_for_want_of_something_are_told_from_others() {
        let shortages = [
            (libc::SYS_clone, Errno::AGAIN, Some(Shortage::Processes)),
            (libc::SYS_clone3, Errno::NOMEM, Some(Shortage::Memory)),
            (libc::SYS_clone, Errno::INVAL, None),
            (libc::SYS_read, Errno::AGAIN, None),
            (libc::SYS_mmap, Errno::NOMEM, Some(Shortage::Memory)),
            (libc::SYS_mprotect, Errno::NOMEM, None),
            (libc::SYS_write, Errno::NOSPC, Some(Shortage::Room)),
            (libc::SYS_openat, Errno::DQUOT, Some(Shortage::Room)),
            (libc::SYS_openat, Errno::NFILE, Some(Shortage::OpenFiles)),
            (libc::SYS_openat, Errno::MFILE, None),
            (libc::SYS_openat, Errno::NOENT, None),
        ];
        for (call, errno, expected) in shortages {
            assert_eq!(Shortage::of(call, errno), expected, "{call} {errno}");
        }
    }

    #[test]
    fn exit_codes_tell_them_apart() {
        for shortage in Shortage::ALL {
            assert_eq!(Shortage::of_exit(shortage.code().into()), Some(shortage));
        }
        assert_eq!(Shortage::of_exit(2), None);
        assert_eq!(Shortage::of_exit(137), None);
    }
}
