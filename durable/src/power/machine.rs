//! What happened to the files of a machine, and the processes that it happened by.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::SystemTime;

use rustix::fs::Timespec;

use crate::{Disk, Operation, Step, Watch};

/// A machine that has one directory.
#[derive(Debug)]
pub struct Machine {
    pub(super) root: PathBuf,
    /// Of the root.
    pub(super) inode: u64,
    known: Mutex<Known>,
    turn: Turn,
}

/// Lets one thread at a time do an operation and note it: what happened between the two would be
/// noted as a part of another one, a renaming only in half.
#[derive(Debug, Default)]
struct Turn {
    holder: Mutex<Option<Holder>>,
    is_free: Condvar,
}

#[derive(Debug)]
struct Holder {
    thread: ThreadId,
    /// How many operations it is in, one inside the other.
    depth: usize,
}

impl Turn {
    fn holder(&self) -> MutexGuard<'_, Option<Holder>> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for this thread's turn.
    fn take(&self) {
        let me = thread::current().id();
        let mut holder = self.holder();
        while holder.as_ref().is_some_and(|held| held.thread != me) {
            holder = self
                .is_free
                .wait(holder)
                .unwrap_or_else(PoisonError::into_inner);
        }
        holder
            .get_or_insert(Holder {
                thread: me,
                depth: 0,
            })
            .depth += 1;
    }

    /// Whether it is this thread's turn.
    fn is_mine(&self) -> bool {
        let me = thread::current().id();
        self.holder().as_ref().is_some_and(|held| held.thread == me)
    }

    fn give(&self) {
        let mut holder = self.holder();
        if let Some(held) = holder.as_mut() {
            held.depth -= 1;
            if held.depth == 0 {
                *holder = None;
                self.is_free.notify_all();
            }
        }
    }
}

/// A process on a machine; from some operation on, it does nothing more.
#[derive(Debug)]
pub struct Process {
    machine: Arc<Machine>,
    ends_at: usize,
    begun: AtomicUsize,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    /// How many operations there were.
    pub(super) noted: u64,
    /// What each directory may come back as, the synced state first; by inode, as directories move.
    pub(super) directories: HashMap<u64, Vec<Names>>,
    /// What files have in them, by inode.
    pub(super) contents: HashMap<u64, Content>,
}

pub(super) type Names = BTreeMap<OsString, Node>;

#[derive(Debug, Clone)]
pub(super) enum Node {
    Directory {
        inode: u64,
        permissions: Permissions,
    },
    Link {
        target: PathBuf,
        modified: Timespec,
    },
    File {
        inode: u64,
        modified: SystemTime,
        permissions: Permissions,
    },
}

#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) is_synced: bool,
}

impl Machine {
    /// A machine whose directory has what is in it now, to last.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn new(root: &Path) -> io::Result<Arc<Self>> {
        let mut known = Known::default();
        known.add_all(root)?;
        Ok(Arc::new(Self {
            root: root.to_path_buf(),
            inode: root.metadata()?.ino(),
            known: Mutex::new(known),
            turn: Turn::default(),
        }))
    }

    /// A process that stops before its operation of that number, counted from 0.
    pub fn process(self: &Arc<Self>, ends_at: usize) -> Arc<Process> {
        Arc::new(Process {
            machine: Arc::clone(self),
            ends_at,
            begun: AtomicUsize::new(0),
        })
    }

    /// A process that does not stop.
    pub fn steady(self: &Arc<Self>) -> Arc<Process> {
        self.process(usize::MAX)
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// The disk that the process writes to.
    pub fn disk(self: &Arc<Self>) -> Disk {
        Disk::watched(Arc::<Self>::clone(self))
    }

    /// Whether it has stopped.
    pub fn has_ended(&self) -> bool {
        self.begun.load(Ordering::SeqCst) > self.ends_at
    }
}

impl Watch for Process {
    fn before(&self, _: &Step<'_>) -> io::Result<()> {
        self.machine.turn.take();
        self.begun.fetch_add(1, Ordering::SeqCst);
        if self.has_ended() {
            self.machine.turn.give();
            return Err(io::Error::other("stopped"));
        }
        Ok(())
    }

    fn after(&self, step: &Step<'_>) {
        // Also called for what was stopped before it began, which has given its turn back.
        if !self.machine.turn.is_mine() {
            return;
        }
        if !self.has_ended() {
            self.machine.known().note(step);
        }
        self.machine.turn.give();
    }
}

impl Known {
    fn add_all(&mut self, directory: &Path) -> io::Result<()> {
        let names = names(directory);
        for (name, node) in &names {
            let path = directory.join(name);
            match node {
                Node::Directory { .. } => self.add_all(&path)?,
                Node::File { inode, .. } => {
                    let content = Content {
                        bytes: fs::read(path)?,
                        is_synced: true,
                    };
                    self.contents.insert(*inode, content);
                }
                Node::Link { .. } => {}
            }
        }
        let inode = directory.metadata()?.ino();
        self.directories.insert(inode, vec![names]);
        Ok(())
    }

    fn note(&mut self, step: &Step<'_>) {
        self.noted += 1;
        let path = step.path;
        match step.operation {
            Operation::SyncFile => self.note_content(path, true),
            Operation::SyncDirectory => {
                if let Some(inode) = directory(path) {
                    self.directories.insert(inode, vec![names(path)]);
                }
            }
            Operation::SyncTree => self.note_tree(path),
            operation => {
                if operation == Operation::Remove {
                    self.note_removal(path);
                }
                if operation == Operation::Write {
                    self.note_content(path, false);
                }
                if operation == Operation::MakeDirectory {
                    self.note_directory(path);
                }
                for path in [Some(path), step.from].into_iter().flatten() {
                    self.note_names(path.parent());
                }
            }
        }
    }

    fn note_content(&mut self, path: &Path, is_synced: bool) {
        // What was removed meanwhile cannot come back by this name.
        if let (Ok(found), Ok(bytes)) = (path.symlink_metadata(), fs::read(path)) {
            let content = Content { bytes, is_synced };
            self.contents.insert(found.ino(), content);
        }
    }

    /// One that was there already keeps what it has; one with the number of a removed one begins empty.
    fn note_directory(&mut self, path: &Path) {
        let Some(inode) = directory(path) else {
            return;
        };
        let states = self.directories.entry(inode).or_default();
        if states.is_empty() || names(path).is_empty() {
            *states = vec![Names::new()];
        }
    }

    /// All below a directory lasts as it is now.
    fn note_tree(&mut self, path: &Path) {
        let Some(inode) = directory(path) else {
            return;
        };
        let names = names(path);
        for (name, node) in &names {
            match node {
                Node::Directory { .. } => self.note_tree(&path.join(name)),
                Node::File { .. } => self.note_content(&path.join(name), true),
                Node::Link { .. } => {}
            }
        }
        self.directories.insert(inode, vec![names]);
    }

    /// Of a removed directory all is removed, name by name, whether its own name comes back or not.
    fn note_removal(&mut self, path: &Path) {
        if path.symlink_metadata().is_ok() {
            return;
        }
        let parent = path.parent().and_then(directory);
        let known = parent.and_then(|parent| self.directories.get(&parent)?.last());
        let name = path.file_name().unwrap_or_default();
        if let Some(Node::Directory { inode, .. }) = known.and_then(|names| names.get(name)) {
            self.empty(*inode);
        }
    }

    fn empty(&mut self, inode: u64) {
        let states = self.directories.get(&inode);
        let mut left = states
            .and_then(|states| states.last())
            .cloned()
            .unwrap_or_default();
        while let Some((_, node)) = left.pop_first() {
            if let Node::Directory { inode, .. } = node {
                self.empty(inode);
            }
            if let Some(states) = self.directories.get_mut(&inode) {
                states.push(left.clone());
            }
        }
    }

    fn note_names(&mut self, path: Option<&Path>) {
        if let Some(path) = path
            && let Some(inode) = directory(path)
            && let Some(states) = self.directories.get_mut(&inode)
        {
            states.push(names(path));
        }
    }
}

/// The inode of a directory, if it is one.
fn directory(path: &Path) -> Option<u64> {
    let found = path.symlink_metadata().ok()?;
    found.is_dir().then(|| found.ino())
}

/// What is in a directory, where other threads may be at work: what has just gone is gone.
fn names(directory: &Path) -> Names {
    let node = |path: &Path| {
        let found = path.symlink_metadata()?;
        Ok::<_, io::Error>(if found.is_dir() {
            Node::Directory {
                inode: found.ino(),
                permissions: found.permissions(),
            }
        } else if found.is_symlink() {
            Node::Link {
                target: fs::read_link(path)?,
                modified: Timespec {
                    tv_sec: found.mtime(),
                    tv_nsec: found.mtime_nsec(),
                },
            }
        } else {
            Node::File {
                inode: found.ino(),
                modified: found.modified()?,
                permissions: found.permissions(),
            }
        })
    };
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name(), node(&entry.path()).ok()?)))
        .collect()
}
