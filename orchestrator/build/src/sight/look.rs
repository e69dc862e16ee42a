//! Looks at a path of the system: what is there, by which links, and whether it moved lately.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    ffi::OsString,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use kiln_cache::{ObjectDigest, ScanError, lag};
use kiln_durable::regular;
use kiln_kernel::{
    sizes,
    toolbox::{KBUILD_PREFIX, SystemRoot, TextComponent},
};
use kiln_sandbox::Layout;
use kiln_trace::Use;
use rustix::fs::{Access, access};

use super::{
    SystemFiles,
    everything::{Everything, Reach},
    loader_cache,
};

/// As many links as Linux follows in one path (path_resolution(7)).
const LINKS_LIMIT: usize = 40;

/// How far a clock that runs may seem off.
const TICK: Duration = Duration::from_millis(20);

/// The dynamic linker's list of all libraries.
const LOADER_CACHE: &str = "/etc/ld.so.cache";

/// A moment after which nothing may have changed.
#[derive(Debug, Clone, Copy)]
pub struct Since {
    clock: SystemTime,
    steady: Instant,
}

/// Something that has changed since a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} changed")]
pub struct Moved {
    /// What.
    pub path: PathBuf,
}

impl Since {
    /// This moment.
    pub fn now() -> Self {
        Self {
            clock: SystemTime::now(),
            steady: Instant::now(),
        }
    }

    /// Whether a time stamp was given at this moment or later, or cannot be told from one that was. Not one of a
    /// time to come: it was given before the clock was set back, and so before this moment if the clock ran since.
    fn reaches(&self, seconds: i64, nanoseconds: i64) -> bool {
        let is_of_now_or_later = moment(seconds, nanoseconds) + lag(nanoseconds) >= self.clock;
        is_of_now_or_later && !is_to_come(seconds, nanoseconds)
    }

    /// Whether the clock ran as time did: where it was set back, time stamps prove nothing.
    pub fn clock_ran(&self) -> bool {
        let elapsed = self.steady.elapsed();
        let expected = self.clock + elapsed;
        let now = SystemTime::now();
        let off = now
            .duration_since(expected)
            .unwrap_or_else(|error| error.duration());
        // As much as a clock may be slewed (adjtimex(2)), and a tick.
        off <= TICK + elapsed / 1000
    }
}

/// Whether a time stamp is of a moment that is still to come by the clock.
pub(super) fn is_to_come(seconds: i64, nanoseconds: i64) -> bool {
    moment(seconds, nanoseconds) > SystemTime::now() + TICK
}

fn moment(seconds: i64, nanoseconds: i64) -> SystemTime {
    let since_1970 = Duration::new(
        u64::try_from(seconds).unwrap_or(0),
        u32::try_from(nanoseconds).unwrap_or(0),
    );
    SystemTime::UNIX_EPOCH + since_1970
}

/// Looks at paths of one system.
#[derive(Debug)]
pub struct Looker<'f> {
    system: SystemRoot,
    files: &'f SystemFiles,
    known: HashMap<(PathBuf, Use), String>,
    /// When it began to look.
    began: Instant,
    /// The first thing found that is younger than it may be.
    moved: Option<Moved>,
    since: Option<Since>,
}

impl<'f> Looker<'f> {
    /// Looks at paths as they are.
    pub fn new(system: SystemRoot, files: &'f SystemFiles) -> Self {
        Self {
            system,
            files,
            known: HashMap::new(),
            began: Instant::now(),
            moved: None,
            since: None,
        }
    }

    /// Looks at paths that must not have changed since a moment.
    pub fn since(system: SystemRoot, files: &'f SystemFiles, since: Since) -> Self {
        Self {
            since: Some(since),
            ..Self::new(system, files)
        }
    }

    /// What has changed since the moment, if anything that was looked at has.
    pub fn moved(&self) -> Option<&Moved> {
        self.moved.as_ref()
    }

    /// What is at a path, in one word or a few: equal texts mean that a job sees the same.
    ///
    /// `libraries` are the names whose entries in the loader's cache count.
    ///
    /// # Errors
    /// Fails if a file cannot be read that is there, or changes while it is read.
    pub fn state(
        &mut self,
        path: &Path,
        usage: Use,
        libraries: &BTreeSet<String>,
    ) -> Result<String, ScanError> {
        if path == Path::new(LOADER_CACHE) {
            return self.loader_cache(libraries);
        }
        let asked = (path.to_owned(), usage);
        if let Some(state) = self.known.get(&asked) {
            return Ok(state.clone());
        }
        let walk = self.walk(path);
        let mut text = String::new();
        for target in &walk.links {
            text.push_str(&format!("link to {}, ", target.display()));
        }
        for barrier in &walk.barriers {
            text.push_str(&format!("{barrier}, "));
        }
        text.push_str(&self.end(&walk, usage)?);
        self.known.insert(asked, text.clone());
        Ok(text)
    }

    /// Everything that a sandbox shows of the system, without reading it.
    ///
    /// # Errors
    /// Fails if a directory cannot be listed.
    pub fn everything(
        &mut self,
        layout: &Layout,
        reach: Reach,
    ) -> Result<TextComponent, ScanError> {
        let files = self.files;
        let Everything {
            component,
            youngest,
        } = files.everything(layout, &self.system, reach, self.began)?;
        if let (Some(since), Some((path, (seconds, nanoseconds)))) = (self.since, youngest)
            && since.reaches(seconds, nanoseconds)
        {
            self.note(&path);
        }
        Ok(component)
    }

    /// Where a path is on this machine, links followed, and what it is; nothing if it leads nowhere.
    pub fn find(&mut self, path: &Path) -> Option<(PathBuf, Metadata)> {
        let walk = self.walk(path);
        Some((walk.host, walk.metadata?))
    }

    /// The first part of a path that is not there, if no link leads to it.
    pub fn missing_part(&mut self, path: &Path) -> Option<PathBuf> {
        let walk = self.walk(path);
        (walk.metadata.is_none() && walk.links.is_empty()).then_some(walk.inside)
    }

    fn end(&mut self, walk: &Walk, usage: Use) -> Result<String, ScanError> {
        let Some(metadata) = &walk.metadata else {
            return Ok("absent".to_owned());
        };
        let content = usage != Use::Look;
        Ok(if metadata.is_dir() {
            if content {
                self.look_at(&walk.host, metadata);
                format!("directory {}", names(walk)?)
            } else {
                "directory".to_owned()
            }
        } else if metadata.is_file() {
            self.look_at(&walk.host, metadata);
            let kind = if metadata.mode() & 0o111 == 0 {
                "file"
            } else {
                "program"
            };
            let size = format!("of {} bytes", metadata.len());
            let what = match content.then(|| self.files.digest(&walk.host)).transpose() {
                Ok(digest) => digest.map_or(size, |digest| digest.to_string()),
                // Nor can the job read it.
                Err(ScanError::Io { source, .. })
                    if source.kind() == io::ErrorKind::PermissionDenied =>
                {
                    size
                }
                Err(error) => return Err(error),
            };
            let time = (metadata.mtime(), metadata.mtime_nsec());
            format!("{kind} {what} of {}.{:09}", time.0, time.1)
        } else {
            "something else".to_owned()
        })
    }

    fn loader_cache(&mut self, libraries: &BTreeSet<String>) -> Result<String, ScanError> {
        let path = Path::new(LOADER_CACHE);
        let Some((host, metadata)) = self.find(path) else {
            return Ok("absent".to_owned());
        };
        self.look_at(&host, &metadata);
        let io_error = |source| ScanError::Io {
            path: host.clone(),
            source,
        };
        let content = regular::read_at_once(&host, sizes::LISTING).map_err(io_error)?;
        Ok(match loader_cache::entries(&content, libraries) {
            Some(text) => format!("entries {}", ObjectDigest::of(text.as_bytes())),
            None => format!("file {}", ObjectDigest::of(&content)),
        })
    }

    /// Follows a path as the kernel would inside.
    fn walk(&mut self, path: &Path) -> Walk {
        let mut open: VecDeque<OsString> = VecDeque::new();
        push_front(&mut open, path);
        let mut walk = Walk {
            links: Vec::new(),
            barriers: Vec::new(),
            inside: PathBuf::from("/"),
            host: self.system.directory().to_owned(),
            metadata: fs::symlink_metadata(self.system.directory()).ok(),
        };
        while let Some(name) = open.pop_front() {
            let parent = walk.metadata.take();
            if name == ".." {
                walk.inside.pop();
                walk.host = self.system.host_path(&walk.inside);
                walk.metadata = fs::symlink_metadata(&walk.host).ok();
                continue;
            }
            if let Some(parent) = &parent {
                self.pass(&walk.host, parent);
                walk.barriers.extend(barrier(&walk.host, parent, PASS));
            }
            let next = walk.inside.join(&name);
            let host = self.system.host_path(&next);
            let Ok(metadata) = fs::symlink_metadata(&host) else {
                if let Some(parent) = &parent {
                    self.look_at(&walk.host, parent);
                }
                walk.inside = next;
                walk.host = host;
                return walk;
            };
            if !metadata.is_symlink() {
                if open.is_empty() {
                    walk.barriers.extend(barrier(&host, &metadata, READ));
                    walk.barriers.extend(access_list(&host));
                }
                walk.inside = next;
                walk.host = host;
                walk.metadata = Some(metadata);
                continue;
            }
            self.look_at(&host, &metadata);
            let target = fs::read_link(&host).unwrap_or_default();
            if target.is_absolute() {
                walk.inside = PathBuf::from("/");
                walk.host = self.system.directory().to_owned();
                walk.metadata = fs::symlink_metadata(&walk.host).ok();
            } else {
                walk.metadata = parent;
            }
            push_front(&mut open, &target);
            walk.links.push(target);
            if walk.links.len() > LINKS_LIMIT {
                walk.metadata = None;
                return walk;
            }
        }
        walk
    }

    /// Judges something whose every change counts.
    fn look_at(&mut self, host: &Path, metadata: &Metadata) {
        let changed = self
            .since
            .is_some_and(|since| since.reaches(metadata.ctime(), metadata.ctime_nsec()));
        if changed {
            self.note(host);
        }
    }

    /// Judges a directory on the way: that it got other entries does not count, that it was put into its place does.
    fn pass(&mut self, host: &Path, metadata: &Metadata) {
        let replaced = self.since.is_some_and(|since| {
            since.reaches(metadata.ctime(), metadata.ctime_nsec())
                && !since.reaches(metadata.mtime(), metadata.mtime_nsec())
        });
        if replaced {
            self.note(host);
        }
    }

    fn note(&mut self, host: &Path) {
        self.moved.get_or_insert_with(|| Moved {
            path: host.to_owned(),
        });
    }
}

/// Where a path leads.
struct Walk {
    /// The targets of the links on the way.
    links: Vec<PathBuf>,
    /// What not everybody may pass or read, and who may.
    barriers: Vec<String>,
    /// The end, or the first part that is not there, without links.
    inside: PathBuf,
    /// The same on this machine.
    host: PathBuf,
    /// What is there; nothing if the path leads nowhere.
    metadata: Option<Metadata>,
}

/// What everybody needs for what is behind a directory.
const PASS: u32 = 0o001;

/// What everybody needs for what is in a file or directory.
const READ: u32 = 0o004;

/// What a job may find closed that kiln, which may be root, finds open: who may do what, and whether the caller may,
/// who is in groups of their own. Whatever is unusual counts, though it closes nothing: a job can see it.
fn barrier(host: &Path, metadata: &Metadata, needed: u32) -> Option<String> {
    let mode = metadata.mode() & 0o7777;
    if USUAL.contains(&mode) {
        return None;
    }
    let (uid, gid) = (metadata.uid(), metadata.gid());
    let wanted = match needed {
        PASS => Access::EXEC_OK,
        _ => Access::READ_OK,
    };
    let caller = match (rustix::process::geteuid().is_root(), access(host, wanted)) {
        (true, _) => "",
        (false, Ok(())) => ", open",
        (false, Err(_)) => ", closed",
    };
    Some(format!("mode {mode:o} of {uid}:{gid}{caller}"))
}

/// The list of who may do what besides owner and group (acl(5)), if there is one.
fn access_list(host: &Path) -> Option<String> {
    const NAME: &str = "system.posix_acl_access";
    let length = rustix::fs::getxattr(host, NAME, &mut [0_u8; 0]).ok()?;
    let mut list = vec![0; length];
    match rustix::fs::getxattr(host, NAME, &mut list) {
        Ok(length) => Some(format!("list {}", ObjectDigest::of(&list[..length]))),
        // It is another one by now.
        Err(_) => Some("list".to_owned()),
    }
}

/// The permissions that files, programs and directories of a system have: everybody may read them.
const USUAL: [u32; 4] = [0o644, 0o755, 0o444, 0o555];

fn push_front(open: &mut VecDeque<OsString>, path: &Path) {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    for name in names {
        open.push_front(name);
    }
}

/// What sandboxes cover on every machine.
const COVERED: [&str; 4] = ["/usr/src", "/usr/local", "/usr/lib/modules", "/lib/modules"];

/// The digest of the names in a directory, each with its kind.
fn names(walk: &Walk) -> Result<ObjectDigest, ScanError> {
    let directory = &walk.host;
    let io_error = |source| ScanError::Io {
        path: directory.to_owned(),
        source,
    };
    let mut lines = Vec::new();
    for entry in fs::read_dir(directory).map_err(io_error)? {
        let entry = entry.map_err(io_error)?;
        // What a sandbox covers is there on every machine, and what it shows of kernels the key has by other components.
        let name = entry.file_name();
        let is_kbuild = name.to_string_lossy().starts_with(KBUILD_PREFIX);
        if is_kbuild || COVERED.map(Path::new).contains(&&*walk.inside.join(&name)) {
            continue;
        }
        let kind = entry.file_type().map_err(io_error)?;
        let kind = match (kind.is_dir(), kind.is_symlink(), kind.is_file()) {
            (true, ..) => b'd',
            (_, true, _) => b'l',
            (_, _, true) => b'f',
            _ => b'o',
        };
        let mut line = vec![kind];
        line.extend_from_slice(entry.file_name().as_encoded_bytes());
        line.push(0);
        lines.push(line);
    }
    lines.sort();
    Ok(ObjectDigest::of(&lines.concat()))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::fs::{XattrFlags, setxattr};

    use super::*;

    fn state(path: &Path) -> String {
        let files = SystemFiles::default();
        let mut looker = Looker::new(SystemRoot::host(), &files);
        looker.state(path, Use::Look, &BTreeSet::new()).unwrap()
    }

    #[test]
    fn what_was_touched_since_is_told_from_what_was_not() {
        let since = Since::now();
        let now = since.clock.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_secs()).unwrap();
        assert!(!since.reaches(now - 2, 1));
        // Of whole seconds, perhaps of every other.
        assert!(since.reaches(now - 1, 0));
        assert!(!since.reaches(now - 3, 0));
        thread::sleep(Duration::from_millis(1100));
        assert!(since.reaches(now + 1, 1));
        // Put there before the clock was set back.
        assert!(!since.reaches(now + 3600, 1));
    }

    #[test]
    fn a_list_of_access_rights_counts() {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "").unwrap();
        let before = state(&path);
        // The version; owner rw-, user 65534 ---, group r--, mask r--, others r--: each a tag, rights and a number.
        let mut list = vec![2, 0, 0, 0];
        for (tag, rights, number) in [
            (1_u16, 6_u16, u32::MAX),
            (2, 0, 65534),
            (4, 4, u32::MAX),
            (16, 4, u32::MAX),
            (32, 4, u32::MAX),
        ] {
            list.extend(tag.to_le_bytes());
            list.extend(rights.to_le_bytes());
            list.extend(number.to_le_bytes());
        }
        setxattr(&path, "system.posix_acl_access", &list, XattrFlags::empty()).unwrap();
        let after = state(&path);
        assert!(after.contains("list "), "{after}");
        assert_ne!(before, after);
    }
}
