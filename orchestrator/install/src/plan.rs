//! What a commit does, as data: enough to do it, to do it again, or to take its preparation back.
//!
//! Doing it again is harmless at every point: what was prepared has its final name or is still to get it,
//! and a file is removed only while it is still the one that was to be removed.

use std::{
    cmp::Reverse,
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use kiln_cache::ObjectDigest;
use kiln_durable::{Disk, Failure, all_at_once};
use serde::{Deserialize, Serialize};

use super::overlay::{Overlay, Source, State};

/// How the names of prepared files begin; they go on with what tells kernels apart, and a number.
pub(super) const PREPARED: &str = ".kiln-";

/// So many hexadecimal digits tell kernels apart, wherever their modules are.
const TAG: usize = 16;

/// The steps of a commit.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Directories that have to be made, parents first.
    pub(super) made: Vec<PathBuf>,
    /// What gets a new content, phase by phase.
    pub(super) puts: Vec<Put>,
    /// What is removed, phase by phase.
    pub(super) removals: Vec<Removal>,
    /// Directories that are removed if they are empty then, children first.
    pub(super) emptied: Vec<PathBuf>,
}

/// One path that gets a new content: what is prepared beside it is renamed to it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Put {
    pub(super) phase: Phase,
    pub(super) prepared: PathBuf,
    pub(super) to: PathBuf,
}

impl Put {
    /// Puts it in place. That it has been, or that its directory is gone with all that was in it, is fine.
    fn apply(&self, disk: &Disk) -> Result<(), Failure> {
        match disk.rename(&self.prepared, &self.to) {
            Err(failure) if failure.is_vanished() => return Ok(()),
            renamed => renamed?,
        }
        // Renaming to another name of the same file does nothing.
        if self.prepared.symlink_metadata().is_ok() {
            disk.remove(&self.prepared)?;
        }
        Ok(())
    }
}

/// When something is put in place or removed. Each phase is on disk before the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    /// Outside the kernel: archived originals.
    Archive,
    /// Inside the kernel: modules.
    Module,
    /// Outside the kernel: links that say what is installed.
    Link,
}

impl Phase {
    const OF_PUTS: [Self; 3] = [Self::Archive, Self::Module, Self::Link];

    /// A module goes before what says that it is installed.
    const OF_REMOVALS: [Self; 3] = [Self::Module, Self::Archive, Self::Link];

    fn of(is_inside: bool, is_link: bool) -> Self {
        match (is_inside, is_link) {
            (true, _) => Self::Module,
            (false, false) => Self::Archive,
            (false, true) => Self::Link,
        }
    }
}

/// One path that is removed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Removal {
    pub(super) phase: Phase,
    pub(super) path: PathBuf,
    pub(super) was: Identity,
}

impl Removal {
    /// Removes the path, if it is still what was to be removed.
    fn apply(&self, disk: &Disk) -> Result<(), Failure> {
        if Identity::of(&self.path).as_ref() == Some(&self.was) {
            disk.remove(&self.path)?;
        }
        Ok(())
    }
}

/// By what a file is known again, also where inode numbers do not last (overlayfs).
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    is_link: bool,
    size: u64,
    modified: (i64, i64),
}

impl Identity {
    /// The file's or link's, if there is one.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = path.symlink_metadata().ok()?;
        (!found.is_dir()).then(|| Self {
            is_link: found.is_symlink(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}

/// A content on its way to a prepared file.
pub(super) enum Preparation<'a> {
    File(&'a Source),
    Link(&'a Path),
}

impl Plan {
    /// The steps that make an overlay true, and what to prepare for its puts, in their order.
    pub(super) fn of<'a>(overlay: &'a Overlay, kernel: &Path) -> (Self, Vec<Preparation<'a>>) {
        let is_inside = |path: &Path| path.starts_with(kernel);
        let tag = ObjectDigest::of(kernel.as_os_str().as_bytes()).to_string();
        let mut plan = Self::default();
        let mut preparations = Vec::new();
        for (path, state) in overlay.changes() {
            let preparation = match state {
                State::Absent => {
                    plan.remove(path, is_inside(path));
                    continue;
                }
                State::File(source) => Preparation::File(source),
                State::Link(target) => Preparation::Link(target),
            };
            let is_link = matches!(preparation, Preparation::Link(_));
            let phase = Phase::of(is_inside(path), is_link);
            let name = format!("{PREPARED}{}.{}", &tag[..TAG], plan.puts.len());
            plan.add_missing_directories(path);
            plan.puts.push(Put {
                phase,
                prepared: path.with_file_name(name),
                to: path.clone(),
            });
            preparations.push(preparation);
        }
        plan.emptied = overlay.emptied().cloned().collect();
        plan.emptied
            .sort_by_key(|directory| Reverse(depth(directory)));
        (plan, preparations)
    }

    fn remove(&mut self, path: &Path, is_inside: bool) {
        if let Some(was) = Identity::of(path) {
            let phase = Phase::of(is_inside, was.is_link);
            let path = path.to_path_buf();
            self.removals.push(Removal { phase, path, was });
        }
    }

    fn add_missing_directories(&mut self, path: &Path) {
        let missing: Vec<_> = path
            .ancestors()
            .skip(1)
            .take_while(|directory| {
                directory.symlink_metadata().is_err() && !self.made.iter().any(|m| m == directory)
            })
            .map(Path::to_path_buf)
            .collect();
        self.made.extend(missing.into_iter().rev());
    }

    /// Checks what can be checked of the steps that come after the preparation.
    pub(super) fn check(&self) -> Result<(), Failure> {
        for removal in &self.removals {
            if let Some(directory) = removal.path.parent() {
                rustix::fs::access(directory, rustix::fs::Access::WRITE_OK)
                    .map_err(|errno| Failure::new(&removal.path, errno.into()))?;
            }
        }
        match self
            .puts
            .iter()
            .find(|put| put.to.symlink_metadata().is_ok_and(|found| found.is_dir()))
        {
            Some(put) => Err(Failure::new(
                &put.to,
                io::Error::from(io::ErrorKind::IsADirectory),
            )),
            None => Ok(()),
        }
    }

    /// Takes the preparation back. What was renamed already has no prepared file any more.
    pub(super) fn take_back(&self, disk: &Disk) -> Result<(), Failure> {
        let mut done = Ok(());
        for put in &self.puts {
            done = done.and(disk.remove(&put.prepared));
        }
        for directory in self.made.iter().rev() {
            done = done.and(disk.remove_directory(directory));
        }
        done.and(disk.sync_directories_of(self.prepared_paths()))
    }

    /// Does what was prepared.
    pub(super) fn apply(&self, disk: &Disk) -> Result<(), Failure> {
        for phase in Phase::OF_PUTS {
            let puts: Vec<&Put> = self.puts.iter().filter(|put| put.phase == phase).collect();
            all_at_once(&puts, |put| put.apply(disk))?;
            disk.sync_directories_of(puts.iter().map(|put| &put.to))?;
        }
        for phase in Phase::OF_REMOVALS {
            let of_phase = |removal: &&Removal| removal.phase == phase;
            let removals: Vec<&Removal> = self.removals.iter().filter(of_phase).collect();
            all_at_once(&removals, |removal| removal.apply(disk))?;
            disk.sync_directories_of(removals.iter().map(|removal| &removal.path))?;
        }
        for directories in self.emptied.chunk_by(|one, next| depth(one) == depth(next)) {
            all_at_once(directories, |directory| disk.remove_directory(directory))?;
        }
        disk.sync_directories_of(&self.emptied)
    }

    /// The first path that is not below one of some directories, or that something on the way to it leads away from.
    pub(super) fn stray(&self, places: &[&Path]) -> Option<&PathBuf> {
        let now = Overlay::default();
        let is_below = |path: &Path| {
            places.iter().any(|place| path.starts_with(place)) && now.locate(path) == path
        };
        self.made
            .iter()
            .chain(self.puts.iter().flat_map(|put| [&put.prepared, &put.to]))
            .chain(self.removals.iter().map(|removal| &removal.path))
            .chain(&self.emptied)
            .find(|path| !is_below(path))
    }

    /// All paths that the preparation makes.
    pub(super) fn prepared_paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.made
            .iter()
            .chain(self.puts.iter().map(|put| &put.prepared))
    }
}

/// How many directories a path is in.
fn depth(path: &Path) -> usize {
    path.components().count()
}
