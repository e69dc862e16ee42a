//! The system calls that take paths, and where in their arguments the paths are.
//!
//! A call that is in none of the tables and not newer than [`LAST_KNOWN`] takes no path. Addresses of sockets: `sockets`.

use crate::lookup::Use;

/// One path of a call: the argument with the directory that a relative path starts from, where there is one, and the
/// argument with the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathArgument {
    pub(crate) directory: Option<usize>,
    pub(crate) path: usize,
}

/// A call and its paths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathCall {
    pub(crate) number: libc::c_long,
    pub(crate) paths: &'static [PathArgument],
    pub(crate) usage: Use,
}

const fn plain(path: usize) -> PathArgument {
    PathArgument {
        directory: None,
        path,
    }
}

const fn at(directory: usize, path: usize) -> PathArgument {
    PathArgument {
        directory: Some(directory),
        path,
    }
}

const fn call(number: libc::c_long, paths: &'static [PathArgument], usage: Use) -> PathCall {
    PathCall {
        number,
        paths,
        usage,
    }
}

const FIRST: &[PathArgument] = &[plain(0)];
const SECOND: &[PathArgument] = &[plain(1)];
const BOTH: &[PathArgument] = &[plain(0), plain(1)];
const AT: &[PathArgument] = &[at(0, 1)];
const BOTH_AT: &[PathArgument] = &[at(0, 1), at(2, 3)];
/// The target first; it is not looked up yet, but whoever follows the link later looks there.
const LINK: &[PathArgument] = BOTH;
const LINK_AT: &[PathArgument] = &[plain(0), at(1, 2)];

/// The newest system call that the tables were made for (`mseal`).
pub(crate) const LAST_KNOWN: u32 = 462;

/// Calls that every architecture has, the frequent ones first.
const COMMON: &[PathCall] = &[
    call(libc::SYS_openat, AT, Use::Open),
    call(libc::SYS_newfstatat, AT, Use::Look),
    call(libc::SYS_execve, FIRST, Use::Execute),
    call(libc::SYS_readlinkat, AT, Use::Look),
    call(libc::SYS_statx, AT, Use::Look),
    call(libc::SYS_faccessat, AT, Use::Look),
    call(libc::SYS_faccessat2, AT, Use::Look),
    call(libc::SYS_openat2, AT, Use::Open),
    call(libc::SYS_execveat, AT, Use::Execute),
    call(libc::SYS_chdir, FIRST, Use::Look),
    call(libc::SYS_statfs, FIRST, Use::Look),
    call(libc::SYS_truncate, FIRST, Use::Look),
    call(libc::SYS_getxattr, FIRST, Use::Look),
    call(libc::SYS_lgetxattr, FIRST, Use::Look),
    call(libc::SYS_listxattr, FIRST, Use::Look),
    call(libc::SYS_llistxattr, FIRST, Use::Look),
    call(libc::SYS_setxattr, FIRST, Use::Look),
    call(libc::SYS_lsetxattr, FIRST, Use::Look),
    call(libc::SYS_removexattr, FIRST, Use::Look),
    call(libc::SYS_lremovexattr, FIRST, Use::Look),
    call(libc::SYS_inotify_add_watch, SECOND, Use::Open),
    call(libc::SYS_mkdirat, AT, Use::Look),
    call(libc::SYS_mknodat, AT, Use::Look),
    call(libc::SYS_fchownat, AT, Use::Look),
    call(libc::SYS_fchmodat, AT, Use::Look),
    call(libc::SYS_utimensat, AT, Use::Look),
    call(libc::SYS_unlinkat, AT, Use::Look),
    call(libc::SYS_renameat2, BOTH_AT, Use::Look),
    call(libc::SYS_linkat, BOTH_AT, Use::Open),
    call(libc::SYS_symlinkat, LINK_AT, Use::Link),
    call(libc::SYS_acct, FIRST, Use::Look),
    call(libc::SYS_name_to_handle_at, AT, Use::Look),
    call(libc::SYS_fanotify_mark, &[at(3, 4)], Use::Look),
    call(libc::SYS_quotactl, SECOND, Use::Look),
    call(libc::SYS_swapon, FIRST, Use::Look),
    call(libc::SYS_swapoff, FIRST, Use::Look),
    call(FCHMODAT2, AT, Use::Look),
];

/// Calls after which the same path may lead to another file, or a file is reached without a path. What was mounted before a
/// program began cannot be unmounted by it.
pub(crate) const REMOUNTING: [libc::c_long; 10] = [
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_fspick,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_move_mount,
    libc::SYS_fsmount,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_open_by_handle_at,
];

/// Not yet named by libc everywhere; the same number on every architecture.
const FCHMODAT2: libc::c_long = 452;

/// Calls that only x86-64 still has.
#[cfg(target_arch = "x86_64")]
const OLD: &[PathCall] = &[
    call(libc::SYS_access, FIRST, Use::Look),
    call(libc::SYS_readlink, FIRST, Use::Look),
    call(libc::SYS_stat, FIRST, Use::Look),
    call(libc::SYS_lstat, FIRST, Use::Look),
    call(libc::SYS_open, FIRST, Use::Open),
    call(libc::SYS_creat, FIRST, Use::Look),
    call(libc::SYS_mkdir, FIRST, Use::Look),
    call(libc::SYS_rmdir, FIRST, Use::Look),
    call(libc::SYS_unlink, FIRST, Use::Look),
    call(libc::SYS_rename, BOTH, Use::Look),
    call(libc::SYS_renameat, BOTH_AT, Use::Look),
    call(libc::SYS_link, BOTH, Use::Open),
    call(libc::SYS_symlink, LINK, Use::Link),
    call(libc::SYS_chmod, FIRST, Use::Look),
    call(libc::SYS_chown, FIRST, Use::Look),
    call(libc::SYS_lchown, FIRST, Use::Look),
    call(libc::SYS_utime, FIRST, Use::Look),
    call(libc::SYS_utimes, FIRST, Use::Look),
    call(libc::SYS_futimesat, AT, Use::Look),
    call(libc::SYS_mknod, FIRST, Use::Look),
    call(libc::SYS_uselib, FIRST, Use::Open),
];

#[cfg(not(target_arch = "x86_64"))]
const OLD: &[PathCall] = &[call(libc::SYS_renameat, BOTH_AT, Use::Look)];

/// Every call that takes a path.
pub(crate) fn path_calls() -> impl Iterator<Item = &'static PathCall> {
    COMMON.iter().chain(OLD)
}

/// The call of a number.
pub(crate) fn path_call(number: libc::c_int) -> Option<&'static PathCall> {
    path_calls().find(|call| call.number == libc::c_long::from(number))
}
