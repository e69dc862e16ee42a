//! Where a path leads for a process: followed part by part below that process's root directory, as the kernel does it
//! (path_resolution(7)).

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2, readlinkat},
    io::Errno,
};

use crate::lookup::{is_indirect, parts};

/// As many links as Linux follows in one path.
const LINKS: usize = 40;

/// What a path leads to, and by which ways. All paths are absolute, without links and `..`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// The links that were followed.
    pub(crate) links: Vec<Vec<u8>>,
    /// The end, or the first part that is not there.
    pub(crate) end: Vec<u8>,
    /// Whether it goes on through a link of `/proc` that is the name of nothing.
    pub(crate) is_indirect: bool,
    /// Whether it is back at the root on its way.
    pub(crate) is_back_at_root: bool,
}

/// The root directory of a process.
pub(crate) fn root_of(pid: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = format!("/proc/{pid}/root");
    Ok(rustix::fs::open(root, flags, Mode::empty())?)
}

/// Whether an absolute path goes through a link, or is one.
pub(crate) fn has_link(root: BorrowedFd<'_>, path: &[u8]) -> bool {
    match look(root, path) {
        Ok(found) => is_link(&found),
        Err(errno) => errno == Errno::LOOP,
    }
}

/// Follows an absolute path.
pub(crate) fn resolve(root: BorrowedFd<'_>, path: &[u8]) -> Resolved {
    let mut open: VecDeque<Vec<u8>> = parts(path).map(<[u8]>::to_vec).collect();
    let mut inside: Vec<Vec<u8>> = Vec::new();
    let mut found = Resolved::default();
    while let Some(part) = open.pop_front() {
        if part == b".." {
            inside.pop();
            found.is_back_at_root |= inside.is_empty();
            continue;
        }
        inside.push(part);
        if inside[0] == b"proc" {
            // What is there is of the process that asks, so nothing is looked at.
            let mut whole = whole(&inside);
            for part in &open {
                whole.push(b'/');
                whole.extend_from_slice(part);
            }
            if is_indirect(&whole) {
                found.end = whole;
                found.is_indirect = true;
                return found;
            }
            continue;
        }
        let place = whole(&inside);
        let Ok(there) = look(root, &place) else {
            break;
        };
        if !is_link(&there) {
            continue;
        }
        found.links.push(place);
        let Ok(target) = readlinkat(&there, "", Vec::new()) else {
            break;
        };
        if found.links.len() > LINKS {
            break;
        }
        inside.pop();
        if target.as_bytes().starts_with(b"/") {
            inside.clear();
            found.is_back_at_root = true;
        }
        for part in parts(target.as_bytes())
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            open.push_front(part.to_vec());
        }
    }
    found.end = whole(&inside);
    found
}

/// Opens what is at a path without links on the way: a link as such.
fn look(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    openat2(root, path, flags, Mode::empty(), resolve)
}

/// Opens a file for reading as a process would, links followed.
pub(crate) fn open_inside(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(root, path, flags, Mode::empty(), resolve)?)
}

fn is_link(found: &OwnedFd) -> bool {
    fstat(found.as_fd())
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

fn whole(parts: &[Vec<u8>]) -> Vec<u8> {
    match parts {
        [] => b"/".to_vec(),
        parts => parts
            .iter()
            .flat_map(|part| [b"/", &part[..]].concat())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::*;

    /// Follows a path below a directory.
    fn followed(root: &Path, path: &str) -> (Vec<String>, String) {
        let root = fs::File::open(root).unwrap();
        let found = resolve(root.as_fd(), path.as_bytes());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (found.links.into_iter().map(text).collect(), text(found.end))
    }

    #[test]
    fn as_the_kernel_does() {
        let world = tempfile::tempdir().unwrap();
        let root = world.path();
        fs::create_dir_all(root.join("usr/share/deep")).unwrap();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::create_dir_all(root.join("x/y")).unwrap();
        fs::write(root.join("usr/share/file"), "").unwrap();
        for (target, link) in [
            ("usr/lib", "lib"),
            ("/x/y", "s"),
            ("../usr/share/file", "x/file"),
            ("/usr/share/none", "x/dangling"),
            ("loop", "loop"),
            ("../../../usr", "up"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        for (path, links, end) in [
            ("/usr/share/file", &[][..], "/usr/share/file"),
            ("/lib/../share/file", &["/lib"], "/usr/share/file"),
            ("/x/../usr/./share//file", &[], "/usr/share/file"),
            ("/s/../../usr/share/deep", &["/s"], "/usr/share/deep"),
            ("/s/../file", &["/s", "/x/file"], "/usr/share/file"),
            ("/x/dangling", &["/x/dangling"], "/usr/share/none"),
            ("/x/none/../../usr", &[], "/x/none"),
            ("/up/share", &["/up"], "/usr/share"),
            ("/../../usr", &[], "/usr"),
            ("/", &[], "/"),
        ] {
            let links = links.iter().map(|link| (*link).to_owned()).collect();
            assert_eq!(followed(root, path), (links, end.to_owned()), "{path}");
        }
        assert_eq!(followed(root, "/loop/x").0.len(), LINKS + 1);
        let open = fs::File::open(root).unwrap();
        for (path, expected) in [
            ("/lib/x", true),
            ("/lib", true),
            ("/x/y", false),
            ("/no", false),
        ] {
            assert_eq!(has_link(open.as_fd(), path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn links_of_proc_are_no_names() {
        let world = tempfile::tempdir().unwrap();
        fs::create_dir_all(world.path().join("dev")).unwrap();
        symlink("/proc/self/fd", world.path().join("dev/fd")).unwrap();
        symlink("/proc/self", world.path().join("own")).unwrap();
        let root = fs::File::open(world.path()).unwrap();
        for (path, expected) in [
            ("/dev/fd/3", false),
            ("/dev/fd/3/x", true),
            ("/own/cwd", true),
            ("/own/root/x", true),
            ("/own/exe", false),
            ("/own/status", false),
            ("/own/../cpuinfo", false),
        ] {
            let found = resolve(root.as_fd(), path.as_bytes());
            assert_eq!(found.is_indirect, expected, "{path}");
        }
    }
}
