//! What a trace holds: absolute paths as they were given, and how each was used.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// How a path was used: what a caller has to know of it to tell whether it is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// Asked about: whether it is there, and of which kind.
    Look,
    /// Opened: its content, or the names in it.
    Open,
    /// Executed, by itself or as the interpreter of what was.
    Execute,
    /// Named as the target of a link that was made.
    Link,
}

/// Why a trace may lack something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// The kernel cannot trace, or something traces already.
    #[error("this kernel does not tell which files a program looks up")]
    Unsupported,
    /// A program of another architecture, whose calls the tables do not know.
    #[error("a program of another architecture ran")]
    Architecture,
    /// A call that is newer than the tables.
    #[error("system call {number} is not known")]
    Call {
        /// Its number.
        number: i32,
    },
    /// A path that could not be read from a process.
    #[error("a path could not be read from a process")]
    Unreadable,
    /// A program whose interpreter could not be told.
    #[error("the interpreter of {path} is not known")]
    Interpreter {
        /// The program.
        path: PathBuf,
    },
    /// A path through `/proc` to a file under another name.
    #[error("{path} leads to a file under another name")]
    Indirect {
        /// The path.
        path: PathBuf,
    },
    /// A process changed what is mounted where it sees it, or looked at a file without a path.
    #[error("a program has a view of its own of the files")]
    View,
    /// More paths than anyone would compare.
    #[error("too many paths were looked up")]
    TooMany,
}

/// One path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lookup {
    /// Absolute. Where the process gave it so, links and `..` are still in it.
    pub path: PathBuf,
    /// The strongest use.
    pub usage: Use,
}

/// Every path that counts, once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    paths: BTreeMap<Vec<u8>, Use>,
    bytes: usize,
    gap: Option<Gap>,
}

/// As many paths as a trace keeps, and as many bytes as they have together.
const LIMIT: usize = 100_000;
const BYTES: usize = 16 << 20;

impl Trace {
    /// The paths, sorted.
    pub fn lookups(&self) -> impl Iterator<Item = Lookup> + '_ {
        self.paths.iter().map(|(path, usage)| Lookup {
            path: PathBuf::from(OsString::from_vec(path.clone())),
            usage: *usage,
        })
    }

    /// What the trace may lack, if anything.
    pub fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
    }

    pub(crate) fn of_gap(gap: Gap) -> Self {
        Self {
            gap: Some(gap),
            ..Self::default()
        }
    }

    /// Notes that the trace lacks something; the first reason stays.
    pub(crate) fn lacks(&mut self, gap: Gap) {
        self.gap.get_or_insert(gap);
    }

    pub(crate) fn add(&mut self, path: &[u8], usage: Use) {
        if let Some(known) = self.paths.get_mut(path) {
            *known = usage.max(*known);
        } else if self.paths.len() == LIMIT || self.bytes + path.len() > BYTES {
            self.lacks(Gap::TooMany);
        } else {
            self.bytes += path.len();
            self.paths.insert(path.to_owned(), usage);
        }
    }
}

/// Whether an absolute path, as it was given, goes through one of the links of `/proc` that are names of nothing: what is
/// behind them has another name, which was looked up or not.
pub(crate) fn is_indirect(path: &[u8]) -> bool {
    let mut on_the_way = Vec::new();
    for part in parts(path) {
        if is_magic(&on_the_way) {
            return true;
        }
        match part {
            b".." => drop(on_the_way.pop()),
            name => on_the_way.push(name),
        }
        lead_on(&mut on_the_way);
    }
    // What is open was looked up; a directory by such a name was not.
    matches!(on_the_way.last(), Some(&(b"root" | b"cwd" | b"map_files"))) && is_magic(&on_the_way)
}

/// Whether a link to a plain path is as good as one of those links: there are such links below it, or it is one.
pub(crate) fn leads_to_indirect(path: &[u8]) -> bool {
    let mut on_the_way = Vec::new();
    for part in parts(path) {
        on_the_way.push(part);
        lead_on(&mut on_the_way);
    }
    matches!(on_the_way[..], [] | [b"dev"] | [b"proc", ..])
}

/// The names in a path, and `..`.
pub(crate) fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
}

/// Follows the links that every system has.
fn lead_on(parts: &mut Vec<&[u8]>) {
    let target: &[&[u8]] = match parts[..] {
        [b"dev", b"fd"] => &[b"proc", b"self", b"fd"],
        [b"dev", b"stdin"] => &[b"proc", b"self", b"fd", b"0"],
        [b"dev", b"stdout"] => &[b"proc", b"self", b"fd", b"1"],
        [b"dev", b"stderr"] => &[b"proc", b"self", b"fd", b"2"],
        [b"proc", b"thread-self"] => &[b"proc", b"self", b"task", b"0"],
        _ => return,
    };
    parts.clear();
    parts.extend_from_slice(target);
}

/// Whether this is one of the links.
fn is_magic(parts: &[&[u8]]) -> bool {
    let [b"proc", _process, rest @ ..] = parts else {
        return false;
    };
    let rest = match rest {
        [b"task", _thread, rest @ ..] => rest,
        rest => rest,
    };
    matches!(
        rest,
        [b"root" | b"cwd" | b"exe" | b"map_files"] | [b"fd", _]
    )
}

/// A path as seen from a directory: absolute, with `..` taken back by name, no link followed.
pub fn by_name(directory: &Path, path: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let start = if path.is_absolute() {
        Path::new("/")
    } else {
        directory
    };
    let whole = joined(start, path.as_os_str().as_bytes());
    PathBuf::from(OsString::from_vec(whole))
}

/// A path below a directory, with what is between no two names taken out, and `..` taken back by name.
pub(crate) fn joined(directory: &Path, path: &[u8]) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let mut whole = directory.as_os_str().as_bytes().to_vec();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                let end = whole.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                whole.truncate(end);
            }
            name => {
                if whole.last() != Some(&b'/') {
                    whole.push(b'/');
                }
                whole.extend_from_slice(name);
            }
        }
    }
    if whole.is_empty() {
        whole.push(b'/');
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_joined_by_name() {
        for (directory, path, whole) in [
            ("/a/b", "c", "/a/b/c"),
            ("/a/b", "./c//d", "/a/b/c/d"),
            ("/a/b", "../../../usr/x", "/usr/x"),
            ("/", "x", "/x"),
            ("/a", "..", "/"),
        ] {
            let found = joined(Path::new(directory), path.as_bytes());
            assert_eq!(String::from_utf8_lossy(&found), whole);
        }
    }

    #[test]
    fn links_of_proc_lead_elsewhere() {
        for path in [
            "/proc/self/root/usr/x",
            "/proc/12/cwd",
            "/proc/1/task/2/root/x",
            "/proc/self/fd/3/x",
            "/proc/self/map_files",
            "/proc/self/map_files/0-1",
            "/proc/self/cwd/../x",
            "/proc/self/root/..",
            "/proc/thread-self/../../cwd/x",
            "/dev/fd/5/x",
            "/dev/./fd//5/../x",
            "/dev/fd/../cwd/x",
            "/dev/stdin/x",
            "/usr/../dev/stderr/../x",
        ] {
            assert!(is_indirect(path.as_bytes()), "{path}");
        }
        for path in [
            "/proc/self/fd/3",
            "/proc/cpuinfo",
            "/proc/self/exe",
            "/usr/proc/self/root",
            "/dev/fd/5",
            "/dev/fd",
            "/dev/null",
            "/proc/self/../cpuinfo",
        ] {
            assert!(!is_indirect(path.as_bytes()), "{path}");
        }
        for path in [
            "/proc/self/cwd",
            "/proc/self/fd",
            "/proc",
            "/",
            "/dev",
            "/dev/fd",
            "/dev/stdin",
        ] {
            assert!(leads_to_indirect(path.as_bytes()), "{path}");
        }
        for path in ["/dev/null", "/usr/share", "/var/lib/dkms"] {
            assert!(!leads_to_indirect(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn the_strongest_use_counts() {
        let mut trace = Trace::default();
        trace.add(b"/a", Use::Open);
        trace.add(b"/a", Use::Look);
        assert_eq!(trace.lookups().next().unwrap().usage, Use::Open);
    }
}
