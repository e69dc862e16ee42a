//! Everything of the system that a sandbox shows, for the outcomes of actions that nobody could follow.
//!
//! Nothing is read: a file is taken for what it was while its inode, size, mode and time of the last change
//! are. So such an outcome is found on the machine that made it, and until anything at all is installed.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use kiln_cache::{ObjectDigest, ScanError};
use kiln_kernel::toolbox::{SystemRoot, TextComponent};
use kiln_sandbox::{ETC_DIRECTORIES, ETC_FILES, Layout, SYSTEM_DIRECTORIES, covers};
use rayon::prelude::*;

use super::look::is_to_come;

/// The component's name.
pub(crate) const EVERYTHING: &str = "everything visible";

/// How much a sandbox showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// The system.
    System,
    /// Other packages, too.
    Neighbours,
}

/// What a look found.
#[derive(Debug, Clone)]
pub(super) struct Everything {
    /// A line for each directory of /usr and its like, and for each of /etc that is shown.
    pub(super) component: TextComponent,
    /// The entry that changed last, and when: seconds and nanoseconds. Times to come do not count.
    pub(super) youngest: Option<(PathBuf, (i64, i64))>,
}

impl Everything {
    /// Looks at everything that the sandbox of an action with this layout shows.
    ///
    /// # Errors
    /// Fails if a directory cannot be listed that should be.
    pub(super) fn look(
        layout: &Layout,
        system: &SystemRoot,
        reach: Reach,
    ) -> Result<Self, ScanError> {
        let mut covered = covers(layout, system);
        covered.retain(|place| reach == Reach::System || *place != layout.source_tree);
        let walk = Walk { system, covered };
        let near: &[&Path] = match reach {
            Reach::System => &[],
            Reach::Neighbours => &[&layout.source_tree, &layout.dkms_tree],
        };
        let tops = SYSTEM_DIRECTORIES
            .iter()
            .chain(&ETC_DIRECTORIES)
            .chain(&ETC_FILES)
            .map(Path::new)
            .chain(near.iter().copied());
        let mut lines = vec![running_kernel()];
        let mut youngest = None;
        for top in tops {
            let host = system.host_path(top);
            let Ok(metadata) = fs::symlink_metadata(&host) else {
                lines.push(format!("{}=absent", top.display()));
                continue;
            };
            // A file of /etc may be shown through a link.
            let metadata = match fs::metadata(&host) {
                Ok(followed) if top.starts_with("/etc") => followed,
                _ => metadata,
            };
            if !metadata.is_dir() {
                let mut part = Part::default();
                walk.entry(top, &metadata, &mut part)?;
                lines.push(part.line(top));
                later(&mut youngest, part.youngest);
                continue;
            }
            let children = walk.children(top)?;
            let parts: Vec<(PathBuf, Part)> = children
                .into_par_iter()
                .map(|(path, metadata)| {
                    let mut part = Part::default();
                    walk.entry(&path, &metadata, &mut part)?;
                    Ok((path, part))
                })
                .collect::<Result<_, ScanError>>()?;
            let own = Some((host, (metadata.ctime(), metadata.ctime_nsec())));
            later(&mut youngest, own);
            let mut whole = Part::default();
            for (path, part) in parts {
                match top.starts_with("/etc") {
                    true => whole.text.extend(part.text),
                    false => lines.push(part.line(&path)),
                }
                later(&mut youngest, part.youngest);
            }
            if top.starts_with("/etc") {
                lines.push(whole.line(top));
            }
        }
        Ok(Self {
            component: TextComponent::new(EVERYTHING, lines),
            youngest,
        })
    }
}

/// What uname(2) says of the kernel that runs: who is not traced is told of it.
fn running_kernel() -> String {
    let names = rustix::system::uname();
    let [release, version, machine] = [names.release(), names.version(), names.machine()]
        .map(|name| name.to_string_lossy().into_owned());
    format!("running kernel={release} {version} {machine}")
}

/// What was found at a path and below it.
#[derive(Default)]
struct Part {
    text: Vec<u8>,
    youngest: Option<(PathBuf, (i64, i64))>,
}

impl Part {
    fn line(&self, path: &Path) -> String {
        format!("{}={}", path.display(), ObjectDigest::of(&self.text))
    }
}

fn later(youngest: &mut Option<(PathBuf, (i64, i64))>, other: Option<(PathBuf, (i64, i64))>) {
    let other = other.filter(|(_, (seconds, nanoseconds))| !is_to_come(*seconds, *nanoseconds));
    let time = |one: &Option<(PathBuf, (i64, i64))>| one.as_ref().map(|(_, time)| *time);
    if time(&other) > time(youngest) {
        *youngest = other;
    }
}

struct Walk<'a> {
    system: &'a SystemRoot,
    covered: Vec<PathBuf>,
}

impl Walk<'_> {
    /// Notes an entry and all below it.
    fn entry(&self, path: &Path, metadata: &Metadata, part: &mut Part) -> Result<(), ScanError> {
        let mut open = vec![(path.to_owned(), metadata.clone())];
        while let Some((path, metadata)) = open.pop() {
            let host = self.system.host_path(&path);
            let text = &mut part.text;
            text.extend_from_slice(path.as_os_str().as_encoded_bytes());
            text.push(0);
            let mut words = vec![u64::from(metadata.mode()), metadata.rdev()];
            let mut target = PathBuf::new();
            if metadata.is_symlink() {
                target = fs::read_link(&host).map_err(failed(&host))?;
            }
            if !metadata.is_dir() {
                words.extend([metadata.ino(), metadata.size()]);
                words.extend([metadata.ctime(), metadata.ctime_nsec()].map(i64::cast_unsigned));
            }
            for word in words {
                text.extend_from_slice(&word.to_le_bytes());
            }
            text.extend_from_slice(target.as_os_str().as_encoded_bytes());
            text.push(0);
            let time = (metadata.ctime(), metadata.ctime_nsec());
            later(&mut part.youngest, Some((host, time)));
            // In reverse: the last is taken first.
            if metadata.is_dir() {
                open.extend(self.children(&path)?.into_iter().rev());
            }
        }
        Ok(())
    }

    /// What is in a directory, sorted, but for what the sandbox covers.
    fn children(&self, directory: &Path) -> Result<Vec<(PathBuf, Metadata)>, ScanError> {
        let host = self.system.host_path(directory);
        let entries = match fs::read_dir(&host) {
            // Nor can the action list it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(Vec::new()),
            other => other.map_err(failed(&host))?,
        };
        let mut children = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed(&host))?;
            let path = directory.join(entry.file_name());
            if !self.covered.contains(&path) {
                let metadata = entry.metadata().map_err(failed(&host))?;
                children.push((path, metadata));
            }
        }
        children.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(children)
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> ScanError + '_ {
    |source| ScanError::Io {
        path: path.to_owned(),
        source,
    }
}
