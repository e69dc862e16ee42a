//! One machine: a store of its own, a key or the trust in one, and a cache client.

use std::time::{Duration, SystemTime};

use kiln_cache::{
    ActionKey, ActionKind, ActionRecord, Cost, Detail, KeyBuilder, ObjectDigest, Output, Status,
    Store, Subject,
};
use kiln_remote::{Options, RemoteCache, SigningKey, Trust};
use tempfile::TempDir;

/// A machine.
pub(crate) struct Site {
    _folder: TempDir,
    pub(crate) store: Store,
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            store: Store::open(&folder.path().join("cache")).unwrap(),
            _folder: folder,
        }
    }

    /// Makes an outcome: a module of this size, and a log.
    pub(crate) fn record(&self, name: &str, size: usize) -> ActionRecord {
        let mut module = format!("module {name} ").into_bytes();
        // Not the same everywhere, so that a piece in the wrong place is noticed.
        while module.len() < size {
            module.extend_from_slice(
                ObjectDigest::of(&module[module.len().saturating_sub(64)..])
                    .0
                    .as_bytes(),
            );
        }
        let log = format!("log of {name}\n");
        let mut publication = self.store.publication();
        let object = publication.put_bytes(&module).unwrap();
        let log = publication.put_bytes(log.as_bytes()).unwrap();
        let record = ActionRecord {
            key: action(name),
            kind: ActionKind::Job,
            subject: Subject {
                name: name.to_owned(),
                target: "6.1.0-56-amd64/x86_64".to_owned(),
            },
            components: Vec::new(),
            status: Status::Success,
            outputs: vec![Output {
                path: format!("{name}.ko"),
                object,
                size: module.len() as u64,
                executable: false,
            }],
            log: Some(log),
            note: [("version".to_owned(), "1".to_owned())].into(),
            cost: Cost {
                wall: Duration::from_secs(2),
                ..Cost::default()
            },
            created: now(),
        };
        publication.commit_with(&record).unwrap();
        record
    }

    /// Whether the store has a record and all its objects, each good.
    pub(crate) fn has(&self, record: &ActionRecord) -> bool {
        let found = self.store.lookup_verified(&record.key).unwrap();
        found.as_ref() == Some(record)
            && record
                .log
                .is_none_or(|log| self.store.verify_object(&log).unwrap().is_some())
    }

    /// Whether the store has nothing of a record.
    pub(crate) fn has_nothing_of(&self, record: &ActionRecord) -> bool {
        self.store.lookup(&record.key).unwrap().is_none()
            && !record.objects().any(|object| self.store.contains(&object))
    }
}

pub(crate) fn action(name: &str) -> ActionKey {
    let mut key = KeyBuilder::new(ActionKind::Job);
    key.component("source", ObjectDigest::of(name.as_bytes()), Detail::Opaque);
    key.finish().0
}

pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

pub(crate) fn options(endpoint: &str) -> Options {
    Options::new(endpoint.parse().unwrap())
}

/// A client that may write, and one that trusts it.
pub(crate) fn pair(options: &Options) -> (RemoteCache, RemoteCache) {
    let key = SigningKey::generate().unwrap();
    (writer(options, &key), reader(options, &key))
}

pub(crate) fn writer(options: &Options, key: &SigningKey) -> RemoteCache {
    RemoteCache::new(options.clone(), Trust::default(), Some(key.clone())).unwrap()
}

pub(crate) fn reader(options: &Options, key: &SigningKey) -> RemoteCache {
    RemoteCache::new(options.clone(), Trust::new(vec![key.trusted()]), None).unwrap()
}

/// Uploads records, all of which must get there.
pub(crate) fn upload(cache: &RemoteCache, site: &Site, records: &[ActionRecord]) {
    for record in records {
        cache.push(record, &site.store).unwrap();
    }
    let summary = cache.flush();
    assert!(summary.failure.is_none(), "{summary:?}");
    assert_eq!(summary.pushed, records.len() as u64);
}
