//! The only file that names sled: a map of bytes that may be damaged, locked or not there.
//!
//! On some damage sled panics, in any call. All of them go through one function, and from the first panic
//! or refusal on the database is absent: nothing is found, nothing kept, and it is removed when closed.
//! Where sled cannot write, it waits for ever. It is not opened where there is little room, and has a thread of its own,
//! which is left alone when it takes too long.
//! Whether somebody has it open is known from the lock on the file that sled itself locks, taken before.

use std::cell::Cell;
use std::ffi::OsStr;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use kiln_durable::regular::{self, Unreadable};
use kiln_files::Guard;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::POLL;
use crate::store::StoreError;

/// sled's page cache, in bytes: a burst reads each value once.
const CACHE: u64 = 8 << 20;

/// Bytes of one of sled's segments. Opening reads the last one again, with the large values that it
/// refers to: with sled's own 512 KiB, opening took three times as long.
const SEGMENT: usize = 128 << 10;

/// The file that sled locks.
const LOCKED: &str = "db";

/// The one directory that sled makes in its own.
const DIRECTORY: &str = "blobs";

/// A log that is larger takes longer to read than everything that the index saves. sled reads it by segments, all
/// other files whole: their limits are limits of memory.
const LOG_LIMIT: u64 = 4 << 30;

/// How the file's name begins where sled notes which pages are where in its log: 250 KB for 20,000 keys of 85 bytes, each
/// written three times, and a log of 26 MB.
const SNAPSHOT: &str = "snap.";
const SNAPSHOT_LIMIT: u64 = 32 << 20;

/// No value is larger: the tree of a source with a million files would be.
const VALUE_LIMIT: usize = 64 << 20;

/// What sled adds to a large value, which is a file of its own.
const FRAME: u64 = 4 << 10;

/// sled's settings are some words.
const SETTINGS_LIMIT: u64 = 64 << 10;

/// More than an index ever writes in a run.
const ROOM: u64 = 32 << 20;

/// No call takes so long on a disk that works.
const PATIENCE: Duration = Duration::from_secs(20);

/// What sled's thread is to do.
type Task = Box<dyn FnOnce(&sled::Db) + Send>;

/// The database, open. Dropping writes everything out.
#[derive(Debug)]
pub(super) struct Database {
    /// Always there, until it is dropped: then the thread closes sled.
    tasks: Option<Sender<Task>>,
    /// Whether sled could be closed, once it is.
    closed: Receiver<bool>,
    path: PathBuf,
    state: Cell<State>,
}

/// Whether the database can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sound,
    /// To be made anew.
    Damaged,
    /// sled has not come back.
    Lost,
}

/// Why the database could not do something.
enum Fault {
    /// The system refuses, which says nothing of what is in the database.
    System(io::Error),
    Damaged(io::Error),
}

impl Database {
    /// Opens the database in a directory; a damaged one is made anew. `None` if somebody has it open still
    /// at the deadline, or if there is no room for it.
    pub(super) fn open(path: &Path, deadline: Instant) -> Result<Option<Self>, StoreError> {
        if !is_sound(path, &Guard::of_process())? {
            make_anew(path)?;
        }
        if !has_room(path)? {
            return Ok(None);
        }
        if !is_free(path, deadline)? {
            return Ok(None);
        }
        let database = match Self::start(path) {
            Err(Fault::Damaged(_)) => {
                make_anew(path)?;
                Self::start(path)
            }
            started => started,
        };
        match database {
            Ok(database) => Ok(Some(database)),
            Err(Fault::System(error)) => Err(StoreError::io(path, error)),
            Err(Fault::Damaged(source)) => Err(StoreError::Index {
                path: path.to_path_buf(),
                source,
            }),
        }
    }

    /// Starts sled's thread.
    fn start(path: &Path) -> Result<Self, Fault> {
        let (tasks, to_do) = channel::<Task>();
        let (opened, is_open) = channel();
        let (done, closed) = channel();
        let place = path.to_path_buf();
        let thread = thread::Builder::new().name("index".to_owned());
        let started = thread.spawn(move || {
            let db = match open(&place) {
                Ok(db) => db,
                Err(fault) => return drop(opened.send(Err(fault))),
            };
            let _ = opened.send(Ok(()));
            for task in to_do {
                task(&db);
            }
            // What cannot be written out is found out again next time.
            let is_flushed = !matches!(shielded(|| db.flush()), Err(Fault::Damaged(_)));
            let is_closed = shielded(|| {
                drop(db);
                Ok(())
            });
            let _ = done.send(is_flushed && is_closed.is_ok());
        });
        started.map_err(Fault::System)?;
        match is_open.recv_timeout(PATIENCE) {
            Ok(opened) => opened?,
            Err(_) => return Err(Fault::System(io::ErrorKind::TimedOut.into())),
        }
        Ok(Self {
            tasks: Some(tasks),
            closed,
            path: path.to_path_buf(),
            state: Cell::new(State::Sound),
        })
    }

    pub(super) fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.to_vec();
        let found = self.shielded(move |db| db.get(key))?;
        Ok(found.flatten().map(|value| value.to_vec()))
    }

    /// All values whose keys begin alike.
    pub(super) fn values(&self, prefix: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>, StoreError> {
        let prefix = prefix.as_ref().to_vec();
        let found = self.shielded(move |db| {
            let values = db.scan_prefix(prefix).values();
            values
                .map(|value| value.map(|value| value.to_vec()))
                .collect()
        })?;
        Ok(found.unwrap_or_default())
    }

    /// All keys that begin alike.
    pub(super) fn keys(&self, prefix: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>, StoreError> {
        let prefix = prefix.as_ref().to_vec();
        let found = self.shielded(move |db| {
            let keys = db.scan_prefix(prefix).keys();
            keys.map(|key| key.map(|key| key.to_vec())).collect()
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Keeps a value, if it is not too large to be kept.
    pub(super) fn put(&self, key: &[u8], value: Vec<u8>) -> Result<(), StoreError> {
        if value.len() > VALUE_LIMIT {
            return Ok(());
        }
        let key = key.to_vec();
        self.shielded(move |db| db.insert(key, value)).map(drop)
    }

    /// Has sled do something; `None` if the database is damaged or lost, or known to be.
    fn shielded<T: Send + 'static>(
        &self,
        act: impl FnOnce(&sled::Db) -> sled::Result<T> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let is_sound = self.state.get() == State::Sound;
        let Some(tasks) = self.tasks.as_ref().filter(|_| is_sound) else {
            return Ok(None);
        };
        let (answer, answered) = channel();
        let task = move |db: &sled::Db| drop(answer.send(shielded(|| act(db))));
        let sent = tasks.send(Box::new(task));
        match sent
            .ok()
            .and_then(|()| answered.recv_timeout(PATIENCE).ok())
        {
            Some(Ok(done)) => Ok(Some(done)),
            Some(Err(Fault::System(error))) => Err(StoreError::io(&self.path, error)),
            Some(Err(Fault::Damaged(_))) => {
                self.state.set(State::Damaged);
                Ok(None)
            }
            None => {
                self.state.set(State::Lost);
                Ok(None)
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.tasks = None;
        if self.state.get() == State::Lost {
            return;
        }
        match self.closed.recv_timeout(PATIENCE) {
            Ok(is_closed) if is_closed && self.state.get() == State::Sound => {}
            Ok(_) => drop(make_anew(&self.path)),
            Err(_) => {}
        }
    }
}

fn open(path: &Path) -> Result<sled::Db, Fault> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE)
        .segment_size(SEGMENT)
        .flush_every_ms(None);
    shielded(|| config.open())
}

/// Every call of sled.
fn shielded<T>(act: impl FnOnce() -> sled::Result<T>) -> Result<T, Fault> {
    match panic::catch_unwind(AssertUnwindSafe(act)) {
        Ok(done) => done.map_err(|error| match io::Error::from(error) {
            error if error.raw_os_error().is_some() => Fault::System(error),
            error => Fault::Damaged(error),
        }),
        Err(_) => Err(Fault::Damaged(io::ErrorKind::InvalidData.into())),
    }
}

/// Whether the database's directory holds nothing that opening would wait for, that has no end, or that others
/// may have written.
fn is_sound(path: &Path, guard: &Guard) -> Result<bool, StoreError> {
    let io = |error| StoreError::io(path, error);
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        entries => entries.map_err(io)?,
    };
    for entry in entries {
        let entry = entry.map_err(io)?;
        let is_sound = match entry.file_type().map_err(io)? {
            kind if kind.is_dir() => {
                entry.file_name() == DIRECTORY && is_sound(&entry.path(), guard)?
            }
            _ => match regular::open(&entry.path(), limit(&entry.path())) {
                Ok((_, metadata)) => guard.inspect_own(&entry.path(), &metadata).is_ok(),
                Err(Unreadable::Missing) => true,
                Err(Unreadable::NotRegular | Unreadable::TooLarge) => false,
                Err(Unreadable::System(error)) => return Err(io(error)),
            },
        };
        if !is_sound {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How large a file of sled's may be.
fn limit(path: &Path) -> u64 {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    if path
        .parent()
        .is_some_and(|place| place.ends_with(DIRECTORY))
    {
        VALUE_LIMIT as u64 + FRAME
    } else if name == LOCKED {
        LOG_LIMIT
    } else if name.starts_with(SNAPSHOT) {
        SNAPSHOT_LIMIT
    } else {
        SETTINGS_LIMIT
    }
}

/// Whether sled can write as much as it may want to.
fn has_room(path: &Path) -> Result<bool, StoreError> {
    let place = path.ancestors().find(|place| place.is_dir());
    let found = rustix::fs::statvfs(place.unwrap_or(path));
    let found = found.map_err(|errno| StoreError::io(path, errno.into()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize) >= ROOM)
}

/// Waits until nobody has the database open. We hold the index's lock, so that is a process just about to
/// exit, or a child of it, and no other comes in meanwhile.
fn is_free(path: &Path, deadline: Instant) -> Result<bool, StoreError> {
    let path = path.join(LOCKED);
    let file = match regular::open(&path, LOG_LIMIT) {
        Ok((file, _)) => file,
        Err(Unreadable::System(error)) => return Err(StoreError::io(&path, error)),
        Err(_) => return Ok(true),
    };
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(POLL),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(StoreError::io(&path, errno.into())),
        }
    }
    // Given back by name: a child between fork and exec may have the file open as well.
    let _ = flock(&file, FlockOperation::Unlock);
    Ok(true)
}

fn make_anew(path: &Path) -> Result<(), StoreError> {
    // Whoever may read sled's file can hold its lock for ever.
    let closed = || fs::DirBuilder::new().mode(0o700).create(path);
    let made = fs::remove_dir_all(path).and_then(|()| closed());
    made.map_err(|error| StoreError::io(path, error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn database(path: &Path) -> Database {
        let deadline = Instant::now() + Duration::from_secs(60);
        Database::open(path, deadline).unwrap().unwrap()
    }

    #[test]
    fn a_database_on_which_sled_panics_is_absent_and_then_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        {
            let database = database(&path);
            database.put(b"key", b"value".to_vec()).unwrap();
            let found = database.shielded(|_| -> sled::Result<()> { panic!("as sled does") });
            assert!(found.unwrap().is_none());
            assert_eq!(database.state.get(), State::Damaged);
            assert_eq!(database.value(b"key").unwrap(), None);
            database.put(b"key", b"other".to_vec()).unwrap();
            assert_eq!(database.values(b"key").unwrap(), [[0; 0]; 0]);
        }
        let database = database(&path);
        assert_eq!(database.value(b"key").unwrap(), None);
        database.put(b"key", b"value".to_vec()).unwrap();
        assert_eq!(database.value(b"key").unwrap().unwrap(), b"value");
    }

    #[test]
    fn files_that_are_larger_than_any_are_made_anew_and_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let large = vec![7; VALUE_LIMIT];
        for name in ["conf", "snap.", "blobs/"] {
            database(&path).put(b"key", large.clone()).unwrap();
            // What was just closed is as large as it gets, and good.
            assert_eq!(database(&path).value(b"key").unwrap().unwrap(), large);
            let inside = fs::read_dir(&path)
                .unwrap()
                .chain(fs::read_dir(path.join(DIRECTORY)).unwrap());
            let found = inside.map(|entry| entry.unwrap().path()).find(|file| {
                let file = file.strip_prefix(&path).unwrap().to_str().unwrap();
                file.starts_with(name)
            });
            let file = fs::File::options()
                .write(true)
                .open(found.unwrap())
                .unwrap();
            file.set_len(2 << 30).unwrap();
            assert!(!is_sound(&path, &Guard::of_process()).unwrap(), "{name}");
            assert_eq!(database(&path).value(b"key").unwrap(), None, "{name}");
        }
        let database = database(&path);
        database.put(b"key", vec![7; VALUE_LIMIT + 1]).unwrap();
        assert_eq!(database.value(b"key").unwrap(), None);
    }

    #[test]
    fn who_has_the_database_open_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let other = database(&path);
        assert!(Database::open(&path, Instant::now()).unwrap().is_none());
        drop(other);
        database(&path);
    }
}
