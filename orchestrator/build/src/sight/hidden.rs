//! Files that this machine has, and that a sandboxed process looks for in vain. Under dkms it would find them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use kiln_files::is_everybodys;
use kiln_sandbox::TEMPORARY;

use super::{Extent, extent::inside};

/// What a sandbox has of its own, with other content than the machine, on purpose.
const OWN: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];

/// What the C library itself looks for in any program (nss(5), tzset(3), ld.so(8) and others).
const LIBRARY: [&str; 14] = [
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/gai.conf",
    "/etc/locale.alias",
    "/etc/ld.so.preload",
    "/etc/machine-id",
    "/etc/selinux",
    "/etc/inputrc",
];

/// What a sandboxed process finds at a path that is not the system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// Something of the sandbox's own, or what is the sandbox's own business.
    Own,
    /// Whatever this machine has: the process is not in the sandbox yet.
    Outside,
    /// Nothing, and this machine has nothing there either.
    Absent,
    /// Nothing, though this machine has something there.
    Hidden,
}

/// What a process finds at a path. An empty directory of this machine counts as nothing: nobody learns much from it.
pub(super) fn finding(process: u32, path: &Path, extent: &Extent) -> Finding {
    let mut places = OWN.iter().chain(&LIBRARY);
    if places.any(|place| path.starts_with(place)) {
        return Finding::Own;
    }
    if !extent.is_inside(process) {
        return Finding::Outside;
    }
    if fs::symlink_metadata(inside(process, path)).is_ok() {
        return Finding::Own;
    }
    let there = extent.host_path(path);
    match fs::metadata(&there) {
        Err(_) if TEMPORARY.iter().any(|place| path.starts_with(place)) => Finding::Own,
        Err(_) => Finding::Absent,
        Ok(metadata) if metadata.is_dir() && is_empty(&there) => Finding::Absent,
        Ok(_) => Finding::Hidden,
    }
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut names| names.next().is_none())
}

/// The packages that hidden paths are of: directories of the source tree or the DKMS tree, or one of these two as a whole;
/// where the action has such a directory itself, what else is in it. With them go those that were `listed`.
pub(super) fn neighbours(
    hidden: &BTreeSet<PathBuf>,
    listed: BTreeSet<PathBuf>,
    extent: &Extent,
) -> BTreeSet<PathBuf> {
    let unit = |path: &PathBuf| extent.unit(path);
    let mut found = listed;
    found.extend(hidden.iter().filter_map(unit));
    let sources: Vec<PathBuf> = found.iter().flat_map(|path| sources(path)).collect();
    found.extend(sources.iter().filter_map(unit));
    found
}

/// Where a machine's owner puts what programs are to find: a configuration, or programs of its own.
const PUBLIC: [&str; 4] = ["/usr/local", "/etc", "/opt", "/var/lib"];

/// What is to be shown for a hidden path to be seen; none if it is not everybody's to read, or the caller's own.
pub(super) fn public(path: &Path) -> Option<PathBuf> {
    let place = PUBLIC.iter().find(|place| path.starts_with(place))?;
    let whole = match *place == "/usr/local" {
        true => Path::new(place),
        false => path,
    };
    is_everybodys(whole).then(|| whole.to_owned())
}

/// Where the sources are of what is in the DKMS tree, in a directory of a module or in one of a version: versions have
/// links there.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let inner = |directory: &PathBuf| -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        directories.map(|entry| entry.path()).collect()
    };
    let mut directories = vec![directory.to_owned()];
    let modules = inner(&directories[0]);
    directories.extend(modules.iter().flat_map(inner));
    directories.extend(modules);
    let source = |directory: PathBuf| {
        let target = fs::read_link(directory.join("source")).ok()?;
        Some(kiln_trace::by_name(&directory, &target))
    };
    directories.into_iter().filter_map(source).collect()
}
