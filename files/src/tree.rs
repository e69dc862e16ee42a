//! Directories with all that is in them, copied as `cp -r` does, with their times.
//!
//! A copy is planned before anything is written: what is in its way, or what it would
//! overwrite of itself, is known while everything is as it was.

use std::{
    collections::HashMap,
    fs::{self, Metadata},
    io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::{
    Directory,
    error::FilesError,
    filled::remove_filled,
    identity::Identity,
    mounts::refuse_mounts,
    place::{Listed, directory_of, keep_attributes_of_directory},
    temporary::{KEPT, TemporaryDirectory},
};

/// What became of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// All of it is there.
    Copied,
    /// It is what it was to be a copy of: one directory by two names.
    Same,
}

/// A source of so many files and directories is none.
const MOST: usize = 200_000;

/// Nor is one whose names have so many bytes in all.
const MOST_NAMES: usize = 32 << 20;

/// An entry of a tree that is to be copied. A socket is none: it has no content, and is where somebody listens.
struct Entry {
    /// Below the top; empty for that.
    path: PathBuf,
    /// The directory that it is in, by its place in the listing; the top is in itself.
    parent: usize,
    metadata: Metadata,
}

/// A directory that is to be copied: the one that was opened, whatever its path leads to by now.
#[derive(Debug)]
pub struct SourceTree {
    top: Directory,
    place: PathBuf,
}

impl SourceTree {
    /// Opens what a path leads to. A link that comes to be on the way meanwhile is not followed.
    ///
    /// # Errors
    /// Fails if it is no directory, or cannot be read.
    pub fn open(place: &Path) -> Result<Self, FilesError> {
        let failed = || FilesError::at(place);
        let whole = fs::canonicalize(place).map_err(failed())?;
        let root = Directory::open(Path::new("/")).map_err(failed())?;
        let below = whole.strip_prefix("/").unwrap_or(&whole);
        Ok(Self {
            top: root.directory(below).map_err(failed())?,
            place: place.to_owned(),
        })
    }

    /// The directory.
    pub fn directory(&self) -> &Directory {
        &self.top
    }

    /// Where it was opened.
    pub fn place(&self) -> &Path {
        &self.place
    }

    fn identity(&self) -> Result<Identity, FilesError> {
        let top = self.top.metadata(Path::new(""));
        Ok((&top.map_err(FilesError::at(&self.place))?).into())
    }

    /// Whether a path leads to it.
    ///
    /// # Errors
    /// Fails if it cannot be looked at any more.
    pub fn is_at(&self, path: &Path) -> Result<bool, FilesError> {
        let own = self.identity()?;
        Ok(Identity::of(path).is_ok_and(|other| other == own))
    }
}

/// Copies the content of a directory into another, which is made if need be, with times and with what of their modes
/// lets nobody but the copier change anything. What else is there stays.
///
/// # Errors
/// Fails before anything is written if one is inside the other, a pipe or a device is in it, something of another kind is
/// in the way, or there is too much of it; else with the first file that cannot be copied. Every file that was there is then
/// the old or the new one.
pub fn copy_tree(from: &SourceTree, to: &Path) -> Result<Copied, FilesError> {
    if from.is_at(to)? {
        return Ok(Copied::Same);
    }
    refuse_target_below(from, to)?;
    let entries = list(from)?;
    refuse_special(from, &entries)?;
    refuse_overlap(from, &entries, to)?;
    for entry in &entries {
        refuse_other_kind(entry, &below(to, &entry.path))?;
    }
    refuse_without_room(from, &entries, to)?;
    copy_entries(from, &entries, to)?;
    Ok(Copied::Copied)
}

/// Makes a directory a copy of another, and nothing else: what was there goes once the copy is
/// whole. A link is replaced by a directory; what it leads to stays.
///
/// # Errors
/// As [`copy_tree`], and if something is mounted in what would go. What was there then stays.
pub fn replace_tree(from: &SourceTree, to: &Path) -> Result<Copied, FilesError> {
    if from.is_at(to)? {
        return Ok(Copied::Same);
    }
    refuse_target_below(from, to)?;
    let entries = list(from)?;
    refuse_special(from, &entries)?;
    refuse_overlap(from, &entries, to)?;
    let there = fs::symlink_metadata(to).ok();
    if there.as_ref().is_some_and(Metadata::is_dir) {
        refuse_mounts(to)?;
    }
    let failed = || FilesError::at(to);
    let directory = directory_of(to);
    fs::create_dir_all(directory).map_err(failed())?;
    refuse_without_room(from, &entries, directory)?;
    let new = TemporaryDirectory::new_in(directory, ".kiln-tree-").map_err(failed())?;
    let copy = new.path().join("new");
    copy_entries(from, &entries, &copy)?;
    if there.is_none() {
        fs::rename(&copy, to).map_err(failed())?;
    } else if let Err(error) = exchange(&copy, to) {
        if new.path().join(KEPT).exists() {
            // It could not be put back, and is not to go with its directory.
            new.keep();
        }
        return Err(failed()(error));
    }
    // What it replaced goes with the temporary directory.
    Ok(Copied::Copied)
}

/// Removes a directory and all below it. A link is removed, not what it leads to; that there is
/// nothing is fine.
///
/// # Errors
/// Fails before anything is removed if something is mounted on it or below it; else if
/// something cannot be removed.
pub fn remove_tree(path: &Path) -> Result<(), FilesError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(FilesError::at(path)(error)),
        Ok(there) if there.is_dir() => {
            refuse_mounts(path)?;
            remove_filled(path)
        }
        Ok(_) => fs::remove_file(path),
    }
    .map_err(FilesError::at(path))
}

/// A directory and all that is below it, the directory first.
fn list(from: &SourceTree) -> Result<Vec<Entry>, FilesError> {
    let SourceTree { top, place } = from;
    let itself = PathBuf::new();
    let metadata = top.metadata(&itself).map_err(FilesError::at(place))?;
    let mut entries = vec![Entry {
        path: itself,
        parent: 0,
        metadata,
    }];
    let mut names = 0;
    let mut next = 0;
    while let Some(entry) = entries.get(next) {
        let parent = next;
        next += 1;
        if !entry.metadata.is_dir() {
            continue;
        }
        let inner = entry.path.clone();
        let listed = below(place, &inner);
        let failed = || FilesError::at(&listed);
        let directory = top.directory(&inner).map_err(failed())?;
        for entry in directory.entries().map_err(failed())? {
            let (name, _) = entry.map_err(failed())?;
            // What is mounted there counts, not what it covers.
            let metadata = directory.metadata(Path::new(&name)).map_err(failed())?;
            let path = inner.join(name);
            // A mount that leads back up has no end.
            if metadata.is_dir() && is_above(&entries, parent, &Identity::from(&metadata)) {
                return Err(overlap(place, &place.join(path)));
            }
            names += path.as_os_str().len();
            if names > MOST_NAMES || entries.len() >= MOST {
                let path = place.clone();
                return Err(FilesError::TooMuch { path });
            }
            if !metadata.file_type().is_socket() {
                entries.push(Entry {
                    path,
                    parent,
                    metadata,
                });
            }
        }
    }
    Ok(entries)
}

/// Fails if there is a pipe or a device in a source: nothing of the kind can be built from.
fn refuse_special(from: &SourceTree, entries: &[Entry]) -> Result<(), FilesError> {
    let is_special = |found: &Metadata| !(found.is_dir() || found.is_file() || found.is_symlink());
    match entries.iter().find(|entry| is_special(&entry.metadata)) {
        Some(entry) => Err(FilesError::Special {
            path: below(&from.place, &entry.path),
        }),
        None => Ok(()),
    }
}

/// Whether an entry, or a directory that it is in, is a certain one.
fn is_above(entries: &[Entry], mut at: usize, sought: &Identity) -> bool {
    loop {
        if Identity::from(&entries[at].metadata) == *sought {
            return true;
        }
        if at == 0 {
            return false;
        }
        at = entries[at].parent;
    }
}

/// Fails if a file system has not the room for a copy. What is sparse is copied as if it were not.
fn refuse_without_room(from: &SourceTree, entries: &[Entry], to: &Path) -> Result<(), FilesError> {
    let there = to.ancestors().find(|path| path.exists());
    let Ok(disk) = rustix::fs::statvfs(there.unwrap_or(to)) else {
        return Ok(());
    };
    let files = entries.iter().filter(|entry| entry.metadata.is_file());
    let size: u64 = files
        .map(|entry| entry.metadata.len())
        .fold(0, u64::saturating_add);
    match size > disk.f_bavail.saturating_mul(disk.f_frsize) {
        true => Err(FilesError::at(&from.place)(
            io::ErrorKind::StorageFull.into(),
        )),
        false => Ok(()),
    }
}

/// A path below a directory; joining an empty one would follow a link.
fn below(top: &Path, inner: &Path) -> PathBuf {
    if inner.as_os_str().is_empty() {
        return top.to_owned();
    }
    top.join(inner)
}

/// Fails if the target is below the source: looked at first, as the source may be large then.
fn refuse_target_below(from: &SourceTree, to: &Path) -> Result<(), FilesError> {
    let top = from.identity()?;
    let parent = fs::canonicalize(directory_of(to));
    let mut above = parent.iter().flat_map(|parent| parent.ancestors());
    if above.any(|above| Identity::of(above).is_ok_and(|above| above == top)) {
        return Err(overlap(&from.place, to));
    }
    Ok(())
}

/// Fails if a directory of the source is one of the target's too, at another place in it, or
/// is one that the target is in.
fn refuse_overlap(from: &SourceTree, entries: &[Entry], to: &Path) -> Result<(), FilesError> {
    let sources: HashMap<Identity, &Path> = entries
        .iter()
        .filter(|entry| entry.metadata.is_dir())
        .map(|entry| (Identity::from(&entry.metadata), entry.path.as_path()))
        .collect();
    let parent = fs::canonicalize(directory_of(to));
    for above in parent.iter().flat_map(|parent| parent.ancestors()) {
        if Identity::of(above).is_ok_and(|above| sources.contains_key(&above)) {
            return Err(overlap(&from.place, to));
        }
    }
    if !to.is_dir() {
        return Ok(());
    }
    for entry in list(&SourceTree::open(to)?)? {
        let place = sources.get(&Identity::from(&entry.metadata));
        if entry.metadata.is_dir() && place.is_some_and(|place| *place != entry.path) {
            return Err(overlap(&from.place, to));
        }
    }
    Ok(())
}

fn overlap(from: &Path, to: &Path) -> FilesError {
    FilesError::Overlap {
        from: from.to_owned(),
        to: to.to_owned(),
    }
}

/// Fails if a copy's place has something that it cannot replace: a link to a directory is
/// none, what is behind it is somebody else's.
fn refuse_other_kind(entry: &Entry, place: &Path) -> Result<(), FilesError> {
    let Ok(there) = fs::symlink_metadata(place) else {
        return Ok(());
    };
    let special = !(there.is_dir() || there.is_file() || there.is_symlink());
    if special || there.is_dir() != entry.metadata.is_dir() {
        return Err(FilesError::InTheWay {
            path: place.to_owned(),
        });
    }
    Ok(())
}

fn copy_entries(from: &SourceTree, entries: &[Entry], to: &Path) -> Result<(), FilesError> {
    fs::create_dir_all(directory_of(to)).map_err(FilesError::at(to))?;
    for entry in entries {
        let (source, place) = (below(&from.place, &entry.path), below(to, &entry.path));
        let listed = Listed {
            directory: &from.top,
            path: &entry.path,
            metadata: &entry.metadata,
            place: &source,
        };
        if entry.metadata.is_dir() {
            match fs::create_dir(&place) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(FilesError::at(&place)(error));
                }
                _ => {}
            }
        } else if entry.metadata.is_symlink() {
            listed.copy_link(&place)?;
        } else {
            listed.copy_file(&place)?;
        }
    }
    // Last and from the inside, because what is put into a directory changes its time, and
    // because it may be one that is not to be written to.
    for entry in entries.iter().rev().filter(|entry| entry.metadata.is_dir()) {
        let place = below(to, &entry.path);
        keep_attributes_of_directory(&entry.metadata, &place).map_err(FilesError::at(&place))?;
    }
    Ok(())
}

/// Puts a directory at a place; what was there then is where it has been, or nothing.
///
/// # Errors
/// Fails if the system cannot; what was there then stays.
pub fn put_directory(new: &Path, place: &Path) -> io::Result<()> {
    match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(new, place),
        Err(error) => Err(error),
        Ok(_) => exchange(new, place),
    }
}

/// Gives two paths each other's files: at once where the file system can do that.
fn exchange(new: &Path, old: &Path) -> io::Result<()> {
    if renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE).is_ok() {
        return Ok(());
    }
    let aside = new.with_file_name(KEPT);
    fs::rename(old, &aside)?;
    fs::rename(new, old).inspect_err(|_| {
        let _ = fs::rename(&aside, old);
    })
}

#[cfg(test)]
mod tests;
