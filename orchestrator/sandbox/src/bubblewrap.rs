//! The bubblewrap command line.
//!
//! The root of the sandbox is a directory of the scratch directory, on the disk. System directories, of this machine or of a
//! toolchain root, are bound read-only; those that hold other kernels' headers (`/usr/src`,
//! `/lib/modules`, `/usr/lib/linux-kbuild-*`) or unpackaged files (`/usr/local`) are covered, so
//! that an action sees only what its key names. Mount points
//! that do not exist in the read-only `/usr` cannot be made there: their parents are then
//! rebuilt on a tmpfs from binds of their children.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io::{self, Seek, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::Command,
};

use kiln_kernel::toolbox::{KBUILD_PREFIX, SystemRoot};
use rustix::fs::{MemfdFlags, memfd_create};

use super::{Isolation, Layout, Scratch, View, proc, refusals, sys};

/// Files of /etc that a build can see; the toolbox hashes the same list.
pub const ETC_FILES: [&str; 12] = [
    "/etc/os-release",
    "/etc/lsb-release",
    "/etc/debian_version",
    "/etc/redhat-release",
    "/etc/fedora-release",
    "/etc/centos-release",
    "/etc/system-release",
    "/etc/SuSE-release",
    "/etc/arch-release",
    "/etc/alpine-release",
    "/etc/gentoo-release",
    "/etc/ld.so.cache",
];

/// Directories of /etc that an action can see: which programs are meant, and what the machine's owner sets for packages.
pub const ETC_DIRECTORIES: [&str; 3] = ["/etc/alternatives", "/etc/default", "/etc/sysconfig"];

/// The directories that distributions keep programs and libraries in: all but /usr are links
/// into it on merged systems.
pub const SYSTEM_DIRECTORIES: [&str; 7] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
];

/// Where programs put what they need for a moment, and everybody has files that come and go: directories of the action's own.
pub const TEMPORARY: [&str; 3] = ["/tmp", "/var/tmp", SHARED_MEMORY];

/// Where programs put what they share (shm_overview(7)).
pub(super) const SHARED_MEMORY: &str = "/dev/shm";

/// `bwrap` with its own namespaces and identity, and no mounts yet.
pub(super) fn namespaces() -> Command {
    let mut command = Command::new(Isolation::PROGRAM);
    command.env_clear().args([
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-net",
        "--unshare-cgroup-try",
        "--uid",
        "65534",
        "--gid",
        "65534",
        "--hostname",
        "kiln",
        "--die-with-parent",
        "--new-session",
        // Without a reaper in between, bwrap waits for the action itself, and so what the
        // action consumed reaches the record. bash reaps what is left to it.
        "--as-pid-1",
        "--cap-drop",
        "ALL",
    ]);
    command
}

pub(super) fn command(layout: &Layout, view: &View, scratch: &Scratch) -> io::Result<Command> {
    let mut mounts = Mounts::default();
    // All that can be written is on the disk, whose room is looked at: what a file takes of memory nobody can take back.
    mounts.bind("--bind", &scratch.root(), Path::new("/"));
    mounts.system(layout, view);
    mounts.push("--proc", ["/proc"]);
    for (cover, inside) in proc::covers(&scratch.run()) {
        mounts.bind("--ro-bind", &cover, &inside);
    }
    mounts.push("--dev", ["/dev"]);
    let shared_memory = Path::new(SHARED_MEMORY);
    mounts.bind("--bind", &scratch.temporary(shared_memory), shared_memory);
    mounts.push("--remount-ro", ["/dev"]);
    mounts.bind("--bind", &scratch.dkms_tree(), &layout.dkms_tree);
    mounts.bind("--ro-bind", &scratch.run(), &layout.run);
    mounts.bind("--bind", &scratch.out(), &layout.out);
    for uname in unames(&view.system) {
        mounts.bind("--ro-bind", &scratch.run().join("bin/uname"), uname);
    }
    // Directories that bwrap makes by itself on the way to others are closed to all but the owner.
    let directories: BTreeSet<&Path> = view
        .links
        .iter()
        .filter_map(|(inside, _)| inside.parent())
        .collect();
    for directory in directories {
        mounts.push("--dir", [directory]);
    }
    for (host, inside) in &view.read_only {
        mounts.bind("--ro-bind", host, inside);
    }
    for (inside, target) in &view.links {
        mounts.push("--symlink", [target.as_os_str(), inside.as_os_str()]);
    }
    for covered in &mounts.covered.clone() {
        mounts.push("--remount-ro", [covered.as_os_str()]);
    }

    let mut command = namespaces();
    command.args(mounts.arguments);
    let refusals = refusals_to_read()?;
    command
        .arg("--seccomp")
        .arg(refusals.as_raw_fd().to_string());
    sys::inherit(&mut command, refusals.into());
    for (name, value) in &view.environment {
        command.arg("--setenv").arg(name).arg(value);
    }
    command.arg("--chdir").arg(&view.directory).arg("--");
    Ok(command)
}

/// What an action is refused, as a file for bubblewrap to read.
fn refusals_to_read() -> io::Result<File> {
    let mut file = File::from(memfd_create("refusals", MemfdFlags::CLOEXEC)?);
    file.write_all(&refusals::bytes())?;
    file.rewind()?;
    Ok(file)
}

/// The mount arguments in order; bwrap performs them in order too.
#[derive(Default)]
struct Mounts {
    arguments: Vec<OsString>,
    /// Directories covered by a tmpfs that become read-only once filled.
    covered: Vec<PathBuf>,
}

impl Mounts {
    fn push<A: Into<OsString>>(&mut self, option: &str, values: impl IntoIterator<Item = A>) {
        self.arguments.push(option.into());
        self.arguments.extend(values.into_iter().map(Into::into));
    }

    fn bind(&mut self, option: &str, host: &Path, inside: &Path) {
        self.push(option, [host.as_os_str(), inside.as_os_str()]);
    }

    fn system(&mut self, layout: &Layout, view: &View) {
        let system = &view.system;
        let covers = covers(layout, system);
        let inside = view
            .read_only
            .iter()
            .map(|(_, inside)| inside)
            .chain(view.links.iter().map(|(inside, _)| inside));
        let points: Vec<PathBuf> = inside
            .filter(|path| !covers.iter().any(|cover| path.starts_with(cover)))
            .chain(covers.iter())
            .filter(|path| !system.files().exists(path))
            .cloned()
            .collect();
        for directory in SYSTEM_DIRECTORIES.map(Path::new) {
            let host = system.host_path(directory);
            match fs::read_link(&host) {
                Ok(target) => self.push("--symlink", [target.as_os_str(), directory.as_os_str()]),
                Err(_) if host.is_dir() => self.directory(system, directory, &points),
                Err(_) => {}
            }
        }
        for cover in covers {
            self.push("--tmpfs", [cover.as_os_str()]);
            self.covered.push(cover);
        }
        let etc = ETC_FILES.iter().chain(&ETC_DIRECTORIES).map(Path::new);
        for path in etc {
            if let Some(place) = system.files().resolve(path) {
                self.bind("--ro-bind", &place.host, path);
            }
        }
    }

    /// Binds a directory of the system read-only, or, where `points` below it do not exist,
    /// rebuilds it child by child on a tmpfs so that they can be made.
    fn directory(&mut self, system: &SystemRoot, directory: &Path, points: &[PathBuf]) {
        let host = system.host_path(directory);
        if !points.iter().any(|p| p.starts_with(directory)) {
            return self.bind("--ro-bind", &host, directory);
        }
        self.push("--tmpfs", [directory.as_os_str()]);
        self.covered.push(directory.to_owned());
        let mut names: Vec<_> = fs::read_dir(&host)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        names.sort();
        for name in names {
            let (host, child) = (host.join(&name), directory.join(&name));
            match fs::read_link(&host) {
                Ok(target) => self.push("--symlink", [target.as_os_str(), child.as_os_str()]),
                Err(_) if host.is_dir() => self.directory(system, &child, points),
                Err(_) => self.bind("--ro-bind", &host, &child),
            }
        }
    }
}

/// Directories of the system that hold kernels' headers or unpackaged files: nobody sees what is in
/// them, only what is bound into them.
pub fn covers(layout: &Layout, system: &SystemRoot) -> Vec<PathBuf> {
    let lib = system.files().resolve(Path::new("/lib"));
    let lib = lib.map_or_else(|| PathBuf::from("/lib"), |place| place.inside);
    let kbuild = fs::read_dir(system.host_path(Path::new("/usr/lib")))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().starts_with(KBUILD_PREFIX))
        .map(|name| Path::new("/usr/lib").join(name));
    let mut covers = vec![
        layout.source_tree.clone(),
        PathBuf::from("/usr/local"),
        lib.join("modules"),
    ];
    covers.extend(kbuild);
    covers.sort();
    covers
}

/// Where the system has a `uname` that is a file of its own.
pub fn unames(system: &SystemRoot) -> Vec<&'static Path> {
    ["/usr/bin/uname", "/bin/uname"]
        .into_iter()
        .map(Path::new)
        .filter(|path| {
            let place = system.files().resolve(path);
            place.is_some_and(|place| place.inside == *path)
        })
        .collect()
}
