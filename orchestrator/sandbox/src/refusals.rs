//! System calls that an action is refused (seccomp(2), classic BPF): those that reach parts of the kernel which no build
//! needs, make namespaces, in which a process has all privileges, start processes that nobody watches, change other processes, or type on somebody's terminal; and, where they
//! have no namespaces, network and what the whole system shares.
//!
//! The list is the one of sandboxes for desktop programs, and what only root may do besides. Programs of a 32-bit kernel's own
//! tools run as well, so calls by the numbers of i386 are refused too.

use kiln_trace::bpf::{
    ANY_BIT, EQUAL, end, ends, fail, jump, load_architecture, load_argument, load_number, only,
    skip,
};

/// A namespace of any kind (clone(2), unshare(2)); one of time shares its bit with a signal's number in clone. And a process
/// that the watch would not see.
const APART: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_UNTRACED) as u32;

/// ioctl(2) requests that put words into a terminal's input (ioctl_tty(2)).
const TYPING: [u32; 2] = [libc::TIOCSTI as u32, libc::TIOCLINUX as u32];

/// The calls of one architecture, by their numbers there.
struct Architecture {
    /// `AUDIT_ARCH_*` of linux/audit.h.
    audit: u32,
    /// Refused as if it was not root who asks.
    forbidden: &'static [libc::c_long],
    /// Refused as on a kernel without them: a C library goes on with an older one. Shared memory of System V is among them, which
    /// outlives whoever made it and is nobody's.
    unknown: &'static [libc::c_long],
    /// Refused so to whoever has no namespace for them: queues and semaphores that the whole system has.
    systemwide: &'static [libc::c_long],
    /// Allowed for the calling process only: these arguments must be 0.
    own: &'static [(libc::c_long, &'static [usize])],
    socket: libc::c_long,
    clone: libc::c_long,
    unshare: libc::c_long,
    ioctl: libc::c_long,
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const NATIVE: Architecture = Architecture {
    audit: kiln_trace::bpf::ARCHITECTURE,
    forbidden: &[
        libc::SYS_acct,
        libc::SYS_add_key,
        libc::SYS_bpf,
        libc::SYS_delete_module,
        libc::SYS_finit_module,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fsopen,
        libc::SYS_fspick,
        libc::SYS_init_module,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_keyctl,
        libc::SYS_mount,
        libc::SYS_mount_setattr,
        libc::SYS_move_mount,
        libc::SYS_open_by_handle_at,
        libc::SYS_open_tree,
        libc::SYS_perf_event_open,
        libc::SYS_pivot_root,
        libc::SYS_quotactl,
        libc::SYS_quotactl_fd,
        libc::SYS_reboot,
        libc::SYS_request_key,
        libc::SYS_setns,
        libc::SYS_swapoff,
        libc::SYS_swapon,
        libc::SYS_syslog,
        libc::SYS_umount2,
        libc::SYS_userfaultfd,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_iopl,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_ioperm,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_modify_ldt,
    ],
    unknown: &[
        libc::SYS_clone3,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_shmat,
        libc::SYS_shmctl,
        libc::SYS_shmget,
    ],
    systemwide: &[
        libc::SYS_msgctl,
        libc::SYS_msgget,
        libc::SYS_msgrcv,
        libc::SYS_msgsnd,
        libc::SYS_semctl,
        libc::SYS_semget,
        libc::SYS_semop,
        libc::SYS_semtimedop,
    ],
    own: &[
        (libc::SYS_ioprio_set, &[1]),
        (libc::SYS_prlimit64, &[0]),
        (libc::SYS_sched_setaffinity, &[0]),
        (libc::SYS_sched_setattr, &[0]),
        (libc::SYS_sched_setparam, &[0]),
        (libc::SYS_sched_setscheduler, &[0]),
        (libc::SYS_setpriority, &[0, 1]),
    ],
    socket: libc::SYS_socket,
    clone: libc::SYS_clone,
    unshare: libc::SYS_unshare,
    ioctl: libc::SYS_ioctl,
};

/// arch/x86/entry/syscalls/syscall_32.tbl, in the order of the list above.
#[cfg(target_arch = "x86_64")]
const I386: Architecture = Architecture {
    audit: 0x4000_0003,
    forbidden: &[
        51, 286, 357, 129, 350, 431, 432, 430, 433, 128, 283, 288, 21, 442, 429, 342, 428, 336,
        217, 131, 443, 88, 287, 346, 115, 87, 103, 22, 52, 374, 110, 101, 123,
    ],
    // One call has all of System V's, and another all about sockets, where a process does not use the newer ones.
    unknown: &[435, 425, 426, 427, 397, 396, 395, 117],
    systemwide: &[402, 399, 401, 400, 394, 393, 420, 102],
    own: &[
        (289, &[1]),
        (340, &[0]),
        (241, &[0]),
        (351, &[0]),
        (154, &[0]),
        (156, &[0]),
        (97, &[0, 1]),
    ],
    socket: 359,
    clone: 120,
    unshare: 310,
    ioctl: 54,
};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURES: [Architecture; 2] = [NATIVE, I386];
#[cfg(target_arch = "aarch64")]
const ARCHITECTURES: [Architecture; 1] = [NATIVE];
/// Elsewhere there is no list.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURES: [Architecture; 0] = [];

/// What marks the numbers of x32 on x86_64. No other number here has this bit.
const X32: u32 = 0x4000_0000;

/// The program, for an action with or without namespaces of its own.
pub(super) fn program(has_namespaces: bool) -> Vec<libc::sock_filter> {
    let mut program = Vec::new();
    for architecture in ARCHITECTURES {
        let body = architecture.body(has_namespaces);
        program.extend([
            load_architecture(),
            // A conditional jump goes 255 statements far, the other one any.
            jump(EQUAL, architecture.audit, 1, 0),
            skip(body.len()),
        ]);
        program.extend(body);
    }
    // Of architectures that no build has programs of.
    program.push(match ARCHITECTURES.is_empty() {
        true => end(libc::SECCOMP_RET_ALLOW),
        false => fail(libc::ENOSYS),
    });
    program
}

impl Architecture {
    /// Judges a call of this architecture, to the end.
    fn body(&self, has_namespaces: bool) -> Vec<libc::sock_filter> {
        let (forbid, deny) = (fail(libc::EPERM), fail(libc::ENOSYS));
        let pass = end(libc::SECCOMP_RET_ALLOW);
        let mut body = vec![load_number(), jump(ANY_BIT, X32, 0, 1), deny];
        body.extend(ends(self.forbidden.iter().copied(), forbid));
        body.extend(ends(self.unknown.iter().copied(), deny));
        for (call, arguments) in self.own {
            let zero = |index: &usize| [load_argument(*index), jump(EQUAL, 0, 1, 0), forbid];
            let mut of_itself: Vec<_> = arguments.iter().flat_map(zero).collect();
            of_itself.push(pass);
            body.extend(only(*call, &of_itself));
        }
        if !has_namespaces {
            body.extend(ends(self.systemwide.iter().copied(), deny));
            let no_network = fail(libc::EAFNOSUPPORT);
            let of_sockets = [
                load_argument(0),
                jump(EQUAL, libc::AF_UNIX as u32, 1, 0),
                no_network,
                pass,
            ];
            body.extend(only(self.socket, &of_sockets));
        }
        let of_births = [load_argument(0), jump(ANY_BIT, APART, 0, 1), forbid, pass];
        for call in [self.clone, self.unshare] {
            body.extend(only(call, &of_births));
        }
        let of_terminals = [
            load_argument(1),
            jump(EQUAL, TYPING[0], 1, 0),
            jump(EQUAL, TYPING[1], 0, 1),
            forbid,
            pass,
        ];
        body.extend(only(self.ioctl, &of_terminals));
        body.push(pass);
        body
    }
}

/// The program for an action with namespaces as bytes, as bubblewrap wants it.
pub(super) fn bytes() -> Vec<u8> {
    program(true)
        .into_iter()
        .flat_map(|one| {
            let [code0, code1] = one.code.to_ne_bytes();
            let [a, b, c, d] = one.k.to_ne_bytes();
            [code0, code1, one.jt, one.jf, a, b, c, d]
        })
        .collect()
}
