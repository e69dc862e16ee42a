//! The index: what can be had again by reading everything, kept so as not to.
//!
//! The database lets one process in at a time, so the index is opened in short
//! bursts, to plan and to commit, never across an action; whoever cannot get in goes on without. Lost,
//! locked or damaged, it costs time and nothing else. One value holds a whole tree's snapshot, because
//! sixteen thousand single reads take longer than the tree takes to `stat`.

mod database;

use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::digest::ActionKey;
use crate::encoding::{self, Frame};
use crate::key::ActionKind;
use crate::record::{ActionRecord, Cost, Subject};
use crate::store::{LockedFile, Store, StoreError, nearer};
use crate::tree::{FileSnapshot, TreeSnapshot};
use database::Database;

/// How often somebody else's lock is tried again.
const POLL: Duration = Duration::from_millis(2);

/// How many of a subject's latest records are remembered.
const RECENT: usize = 16;

/// A list of files with the name that it is kept under.
pub type NamedFiles = (Vec<u8>, Vec<FileSnapshot>);

/// The index, open. To be dropped soon: others wait. Dropping writes everything out.
#[derive(Debug)]
pub struct Index {
    // Before the lock, so that it is closed while we still hold it.
    database: Database,
    _lock: LockedFile,
}

/// What a value is about; the first byte of its key.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Table {
    Tree = b't',
    Files = b'f',
    Cost = b'c',
    Recent = b'r',
    Memo = b'm',
}

impl Index {
    /// Opens the index of a store, waiting up to `wait` for whoever has it open.
    ///
    /// `None` if that takes longer, or if the store was opened for reading. A damaged index is removed
    /// and made anew. Takes a few milliseconds.
    ///
    /// # Errors
    ///
    /// When it cannot even be made anew. Callers do well to go on without.
    pub fn burst(store: &Store, wait: Duration) -> Result<Option<Self>, StoreError> {
        if store.require_write().is_err() {
            return Ok(None);
        }
        let deadline = Instant::now() + wait;
        let lock_path = store.layout().index_lock();
        let lock = loop {
            match LockedFile::open(&lock_path, FlockOperation::NonBlockingLockExclusive) {
                Ok(lock) => break lock,
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(POLL),
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(StoreError::io(&lock_path, errno.into())),
            }
        };
        let database = Database::open(&store.layout().index(), deadline)?;
        Ok(database.map(|database| Self {
            database,
            _lock: lock,
        }))
    }

    /// The snapshot kept under a name.
    ///
    /// # Errors
    ///
    /// When the index cannot be read. A value that cannot be understood counts as absent.
    pub fn tree(&self, name: impl AsRef<[u8]>) -> Result<Option<TreeSnapshot>, StoreError> {
        let bytes = self.value(&key(Table::Tree, &[name.as_ref()]))?;
        Ok(bytes.and_then(|bytes| TreeSnapshot::decode(&bytes).ok()))
    }

    /// All snapshots of trees, each with its name.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub fn trees(&self) -> Result<Vec<(Vec<u8>, TreeSnapshot)>, StoreError> {
        let mut trees = Vec::new();
        for name in self.names(Table::Tree)? {
            trees.extend(self.tree(&name)?.map(|tree| (name, tree)));
        }
        Ok(trees)
    }

    /// All lists of file snapshots, each with its name.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub fn file_lists(&self) -> Result<Vec<NamedFiles>, StoreError> {
        let mut lists = Vec::new();
        for name in self.names(Table::Files)? {
            lists.extend(self.files(&name)?.map(|files| (name, files)));
        }
        Ok(lists)
    }

    /// The names that a table's values are kept under.
    fn names(&self, table: Table) -> Result<Vec<Vec<u8>>, StoreError> {
        let prefix = key(table, &[&[]]);
        let keys = self.database.keys([table as u8])?;
        Ok(keys
            .iter()
            .filter_map(|found| found.get(prefix.len()..).map(<[u8]>::to_vec))
            .collect())
    }

    /// Keeps a snapshot under a name.
    ///
    /// # Errors
    ///
    /// When the index cannot be written.
    pub fn put_tree(
        &self,
        name: impl AsRef<[u8]>,
        snapshot: &TreeSnapshot,
    ) -> Result<(), StoreError> {
        let key = key(Table::Tree, &[name.as_ref()]);
        self.put_value(&key, snapshot.encode())
    }

    /// The list of file snapshots kept under a name.
    ///
    /// # Errors
    ///
    /// As [`Index::tree`].
    pub fn files(&self, name: impl AsRef<[u8]>) -> Result<Option<Vec<FileSnapshot>>, StoreError> {
        let bytes = self.value(&key(Table::Files, &[name.as_ref()]))?;
        Ok(bytes.and_then(|bytes| encoding::decode(Frame::FILES, &bytes).ok()))
    }

    /// Keeps a list of file snapshots under a name, as one value.
    ///
    /// # Errors
    ///
    /// As [`Index::put_tree`].
    pub fn put_files(
        &self,
        name: impl AsRef<[u8]>,
        files: &[FileSnapshot],
    ) -> Result<(), StoreError> {
        let key = key(Table::Files, &[name.as_ref()]);
        self.put_value(&key, encoding::encode(Frame::FILES, &files))
    }

    /// What the subject's action took when it last ran.
    ///
    /// # Errors
    ///
    /// As [`Index::tree`].
    pub fn cost(&self, subject: &Subject) -> Result<Option<Cost>, StoreError> {
        let bytes = self.value(&subject_key(Table::Cost, subject))?;
        let cost =
            bytes.and_then(|bytes| encoding::decode::<(Subject, Cost)>(Frame::COST, &bytes).ok());
        Ok(cost.map(|(_, cost)| cost))
    }

    /// Keeps what the subject's action took.
    ///
    /// # Errors
    ///
    /// As [`Index::put_tree`].
    pub fn put_cost(&self, subject: &Subject, cost: &Cost) -> Result<(), StoreError> {
        let value = encoding::encode(Frame::COST, &(subject, cost));
        self.put_value(&subject_key(Table::Cost, subject), value)
    }

    /// All recorded costs, in no order that means anything.
    ///
    /// # Errors
    ///
    /// As [`Index::tree`].
    pub fn costs(&self) -> Result<Vec<(Subject, Cost)>, StoreError> {
        let mut costs = Vec::new();
        for value in self.database.values([Table::Cost as u8])? {
            costs.extend(encoding::decode::<(Subject, Cost)>(Frame::COST, &value).ok());
        }
        Ok(costs)
    }

    /// A small value that the caller derived and kept, by its name and key.
    ///
    /// # Errors
    ///
    /// As [`Index::tree`].
    pub fn memo(&self, name: &str, key_bytes: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = self.value(&key(Table::Memo, &[name.as_bytes(), key_bytes]))?;
        Ok(bytes)
    }

    /// Keeps a small derived value. What it means, and that it still holds, is the caller's to know.
    ///
    /// # Errors
    ///
    /// As [`Index::put_tree`].
    pub fn put_memo(&self, name: &str, key_bytes: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let key = key(Table::Memo, &[name.as_bytes(), key_bytes]);
        self.put_value(&key, value.to_vec())
    }

    /// Remembers that a record was published, for [`Index::nearest`].
    ///
    /// # Errors
    ///
    /// As [`Index::put_tree`].
    pub fn note_record(&self, record: &ActionRecord) -> Result<(), StoreError> {
        let place = recent_key(record.kind, &record.subject.name);
        let mut recent = self.recent(&place)?;
        recent.retain(|(key, target)| *key != record.key && *target != record.subject.target);
        recent.insert(0, (record.key, record.subject.target.clone()));
        recent.truncate(RECENT);
        self.put_value(&place, encoding::encode(Frame::RECENT, &recent))
    }

    /// Like [`Store::nearest`], but asks the noted records first and reads all only if none helps.
    ///
    /// # Errors
    ///
    /// As [`Index::tree`] and [`Store::nearest`].
    pub fn nearest(
        &self,
        store: &Store,
        subject: &Subject,
        kind: ActionKind,
    ) -> Result<Option<ActionRecord>, StoreError> {
        let mut best = None;
        for (key, _) in self.recent(&recent_key(kind, &subject.name))? {
            best = nearer(subject, kind, best, store.read_record(&key)?);
        }
        match best {
            Some(record) => Ok(Some(record)),
            None => store.nearest(subject, kind),
        }
    }

    fn recent(&self, place: &[u8]) -> Result<Vec<(ActionKey, String)>, StoreError> {
        let bytes = self.value(place)?;
        let recent = bytes.and_then(|bytes| encoding::decode(Frame::RECENT, &bytes).ok());
        Ok(recent.unwrap_or_default())
    }

    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.database.value(key)
    }

    fn put_value(&self, key: &[u8], value: Vec<u8>) -> Result<(), StoreError> {
        self.database.put(key, value)
    }
}

/// A key: its table, then each part preceded by its length, so that no two lists of parts collide.
fn key(table: Table, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![table as u8];
    for part in parts {
        key.extend_from_slice(&(part.len() as u32).to_be_bytes());
        key.extend_from_slice(part);
    }
    key
}

fn subject_key(table: Table, subject: &Subject) -> Vec<u8> {
    key(table, &[subject.name.as_bytes(), subject.target.as_bytes()])
}

fn recent_key(kind: ActionKind, name: &str) -> Vec<u8> {
    key(Table::Recent, &[kind.name().as_bytes(), name.as_bytes()])
}
