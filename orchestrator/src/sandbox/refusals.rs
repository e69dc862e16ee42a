//! System calls that an action is refused (seccomp(2), classic BPF): those that reach parts of the kernel which no build
//! needs, make namespaces, in which a process has all privileges, or type on somebody's terminal.
//!
//! The list is the one of sandboxes for desktop programs, and what only root may do besides. Programs of a 32-bit kernel's own
//! tools run as well, so calls by the numbers of i386 are refused too.

use std::mem::offset_of;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// As if it was not root who asks.
const FORBIDDEN: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
/// As on a kernel without the call: a C library goes on with an older one.
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// A namespace of any kind (clone(2), unshare(2)); one of time shares its bit with a signal's number in clone.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

/// ioctl(2) requests that put words into a terminal's input (ioctl_tty(2)).
const TYPING: [u32; 2] = [libc::TIOCSTI as u32, libc::TIOCLINUX as u32];

/// The calls of one architecture, by their numbers there.
struct Architecture {
    /// `AUDIT_ARCH_*` of linux/audit.h.
    audit: u32,
    forbidden: &'static [libc::c_long],
    unknown: &'static [libc::c_long],
    clone: libc::c_long,
    unshare: libc::c_long,
    ioctl: libc::c_long,
}

/// Calls that are of all architectures.
macro_rules! common {
    ($($more:ident),*) => {
        &[
            libc::SYS_acct, libc::SYS_add_key, libc::SYS_bpf, libc::SYS_delete_module, libc::SYS_finit_module,
            libc::SYS_fsconfig, libc::SYS_fsmount, libc::SYS_fsopen, libc::SYS_fspick, libc::SYS_init_module,
            libc::SYS_kexec_load, libc::SYS_kexec_file_load, libc::SYS_keyctl, libc::SYS_mount,
            libc::SYS_mount_setattr, libc::SYS_move_mount, libc::SYS_open_by_handle_at, libc::SYS_open_tree,
            libc::SYS_perf_event_open, libc::SYS_pivot_root, libc::SYS_quotactl, libc::SYS_quotactl_fd,
            libc::SYS_reboot, libc::SYS_request_key, libc::SYS_setns, libc::SYS_swapoff, libc::SYS_swapon,
            libc::SYS_syslog, libc::SYS_umount2, libc::SYS_userfaultfd, $(libc::$more),*
        ]
    };
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURES: [Architecture; 2] = [
    Architecture {
        audit: 0xc000_003e,
        forbidden: common![SYS_iopl, SYS_ioperm, SYS_modify_ldt],
        unknown: &[
            libc::SYS_clone3,
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
        ],
        clone: libc::SYS_clone,
        unshare: libc::SYS_unshare,
        ioctl: libc::SYS_ioctl,
    },
    // arch/x86/entry/syscalls/syscall_32.tbl, in the order of the list above.
    Architecture {
        audit: 0x4000_0003,
        forbidden: &[
            51, 286, 357, 129, 350, 431, 432, 430, 433, 128, 283, 288, 21, 442, 429, 342, 428, 336,
            217, 131, 443, 88, 287, 346, 115, 87, 103, 22, 52, 374, 110, 101, 123,
        ],
        unknown: &[435, 425, 426, 427],
        clone: 120,
        unshare: 310,
        ioctl: 54,
    },
];

#[cfg(target_arch = "aarch64")]
const ARCHITECTURES: [Architecture; 1] = [Architecture {
    audit: 0xc000_00b7,
    forbidden: common![],
    unknown: &[
        libc::SYS_clone3,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
    ],
    clone: libc::SYS_clone,
    unshare: libc::SYS_unshare,
    ioctl: libc::SYS_ioctl,
}];

/// Elsewhere there is no list.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURES: [Architecture; 0] = [];

/// What marks the numbers of x32 on x86_64.
const X32: u32 = 0x4000_0000;

/// The program.
pub(super) fn program() -> Vec<libc::sock_filter> {
    let pass = end(libc::SECCOMP_RET_ALLOW);
    let mut program = Vec::new();
    for architecture in ARCHITECTURES {
        let body = architecture.body();
        program.extend([
            statement(LOAD, offset_of!(libc::seccomp_data, arch) as u32),
            // A conditional jump goes 255 statements far, the other one any.
            jump(EQUAL, architecture.audit, 1, 0),
            statement(libc::BPF_JMP | libc::BPF_JA, body.len() as u32),
        ]);
        program.extend(body);
    }
    // Of architectures that no build has programs of.
    program.push(match ARCHITECTURES.is_empty() {
        true => pass,
        false => end(UNKNOWN),
    });
    program
}

impl Architecture {
    /// Judges a call of this architecture, to the end.
    fn body(&self) -> Vec<libc::sock_filter> {
        let mut body = vec![statement(LOAD, offset_of!(libc::seccomp_data, nr) as u32)];
        if self.audit == 0xc000_003e {
            body.extend([jump(ANY_BIT, X32, 0, 1), end(UNKNOWN)]);
        }
        let ends = [(self.forbidden, FORBIDDEN), (self.unknown, UNKNOWN)];
        for (numbers, code) in ends {
            for number in numbers {
                body.extend([jump(EQUAL, *number as u32, 0, 1), end(code)]);
            }
        }
        for call in [self.clone, self.unshare] {
            body.extend([
                jump(EQUAL, call as u32, 0, 4),
                statement(LOAD, argument(0)),
                jump(ANY_BIT, NAMESPACES, 0, 1),
                end(FORBIDDEN),
                end(libc::SECCOMP_RET_ALLOW),
            ]);
        }
        body.extend([
            jump(EQUAL, self.ioctl as u32, 0, 5),
            statement(LOAD, argument(1)),
            jump(EQUAL, TYPING[0], 1, 0),
            jump(EQUAL, TYPING[1], 0, 1),
            end(FORBIDDEN),
            end(libc::SECCOMP_RET_ALLOW),
            end(libc::SECCOMP_RET_ALLOW),
        ]);
        body
    }
}

/// The low half of an argument, on a little-endian machine: flags and requests are in it.
fn argument(index: usize) -> u32 {
    (offset_of!(libc::seccomp_data, args) + 8 * index) as u32
}

fn end(code: u32) -> libc::sock_filter {
    statement(RETURN, code)
}

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

/// The program as bytes, as bubblewrap wants it.
pub(super) fn bytes() -> Vec<u8> {
    program()
        .into_iter()
        .flat_map(|one| {
            let [code0, code1] = one.code.to_ne_bytes();
            let [a, b, c, d] = one.k.to_ne_bytes();
            [code0, code1, one.jt, one.jf, a, b, c, d]
        })
        .collect()
}
