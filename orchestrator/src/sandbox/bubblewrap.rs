//! The bubblewrap command line.
//!
//! The root of the sandbox is a fresh tmpfs. System directories are bound read-only; those
//! that hold other kernels' headers (`/usr/src`, `/lib/modules`) or unpackaged files
//! (`/usr/local`) are covered, so that an action sees only what its key names. Mount points
//! that do not exist in the read-only `/usr` cannot be made there: their parents are then
//! rebuilt on a tmpfs from binds of their children.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Isolation, Layout, Scratch, View};

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

/// The directories that DKMS-era distributions keep programs and libraries in.
const SYSTEM_LINKS: [&str; 6] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

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
        // Without its own init in between, bwrap reaps the action, whose processor time and
        // memory then count as bwrap's.
        "--as-pid-1",
        // Without a reaper in between, bwrap waits for the action itself, and so what the
        // action consumed reaches the record. bash reaps what is left to it.
        "--as-pid-1",
        "--cap-drop",
        "ALL",
    ]);
    command
}

pub(super) fn command(layout: &Layout, view: &View, scratch: &Scratch) -> Command {
    let mut mounts = Mounts::default();
    mounts.system(layout, view);
    mounts.push("--proc", ["/proc"]);
    mounts.push("--dev", ["/dev"]);
    mounts.push("--tmpfs", ["/tmp"]);
    mounts.push("--dir", ["/var/tmp"]);
    mounts.bind("--bind", &scratch.dkms_tree(), &layout.dkms_tree);
    mounts.bind("--ro-bind", &scratch.run(), &layout.run);
    mounts.bind("--bind", &scratch.out(), &layout.out);
    mounts.bind(
        "--ro-bind",
        &scratch.run().join("bin/uname"),
        Path::new("/usr/bin/uname"),
    );
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
    for (name, value) in &view.environment {
        command.arg("--setenv").arg(name).arg(value);
    }
    command.arg("--chdir").arg(&view.directory).arg("--");
    command
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
        let inside = view
            .read_only
            .iter()
            .map(|(_, inside)| inside)
            .chain(view.links.iter().map(|(inside, _)| inside));
        let covers: Vec<PathBuf> = [layout.source_tree.as_path(), Path::new("/usr/local")]
            .into_iter()
            .map(Path::to_owned)
            .chain([modules_directory()])
            .collect();
        let points: Vec<PathBuf> = inside
            .filter(|path| path.starts_with("/usr"))
            .filter(|path| !covers.iter().any(|cover| path.starts_with(cover)))
            .chain(covers.iter())
            .filter(|path| !path.exists())
            .cloned()
            .collect();
        self.directory(Path::new("/usr"), &points);
        for link in SYSTEM_LINKS.map(Path::new) {
            match fs::read_link(link) {
                Ok(target) => self.push("--symlink", [target.as_os_str(), link.as_os_str()]),
                Err(_) if link.is_dir() => self.bind("--ro-bind", link, link),
                Err(_) => {}
            }
        }
        for cover in covers {
            self.push("--tmpfs", [cover.as_os_str()]);
            self.covered.push(cover);
        }
        let etc = ETC_FILES.iter().chain(&["/etc/alternatives"]);
        for path in etc.map(Path::new).filter(|path| path.exists()) {
            self.bind("--ro-bind", path, path);
        }
    }

    /// Binds `directory` read-only, or, where `points` below it do not exist, rebuilds it
    /// child by child on a tmpfs so that they can be made.
    fn directory(&mut self, directory: &Path, points: &[PathBuf]) {
        if !points.iter().any(|p| p.starts_with(directory)) {
            return self.bind("--ro-bind", directory, directory);
        }
        self.push("--tmpfs", [directory.as_os_str()]);
        self.covered.push(directory.to_owned());
        let mut children: Vec<_> = fs::read_dir(directory)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        children.sort();
        for child in children {
            match fs::read_link(&child) {
                Ok(target) => self.push("--symlink", [target.as_os_str(), child.as_os_str()]),
                Err(_) if child.is_dir() => self.directory(&child, points),
                Err(_) => self.bind("--ro-bind", &child, &child),
            }
        }
    }
}

/// Where `/lib/modules` really is: `/lib` is a link into `/usr` on merged systems.
fn modules_directory() -> PathBuf {
    let lib = fs::canonicalize("/lib").unwrap_or_else(|_| PathBuf::from("/lib"));
    lib.join("modules")
}
