//! Crash images: what is on disk after each step of a publication, opened as if the power had failed.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{ActionKind, ActionRecord, Cost, Detail, KeyBuilder, ObjectDigest, Output};
use crate::{Status, Store, Subject, VerifyMode};

type Observer = Box<dyn FnMut(&str)>;

thread_local! {
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}

/// Called by a publication after each of its steps.
pub(super) fn step(name: &str) {
    OBSERVER.with_borrow_mut(|observer| {
        if let Some(observer) = observer {
            observer(name);
        }
    });
}

#[test]
fn after_a_crash_at_any_step_there_is_all_of_an_outcome_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let images = crash_images(dir.path(), |store| publish(store, "new").key);
    let mut complete = Vec::new();
    for (step, image) in &images.taken {
        let store = Store::open(image).unwrap();
        let found = store.lookup_verified(&images.key).unwrap();
        assert_eq!(
            found.is_some(),
            store.lookup(&images.key).unwrap().is_some(),
            "{step}"
        );
        complete.push(found.is_some());
        assert!(store.verify(VerifyMode::Look).unwrap().is_clean(), "{step}");
        assert_eq!(
            fs::read_dir(image.join("tmp")).unwrap().count(),
            1,
            "{step}: only the gate"
        );
        // The interrupted work can be done again.
        publish(&store, "new");
        assert!(
            store.lookup_verified(&images.key).unwrap().is_some(),
            "{step}"
        );
        assert_eq!(store.take_damage(), [], "{step}");
    }
    assert!(!complete[0] && complete[complete.len() - 1]);
    assert!(complete.is_sorted(), "once there, it stays: {complete:?}");
}

#[test]
fn replacing_a_record_leaves_the_old_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let old = |store: &Store| publish_with(store, "same", b"old log");
    let images = crash_images(dir.path(), |store| {
        old(store);
        publish_with(store, "same", b"new log").key
    });
    let logs = [b"old log", b"new log"].map(|log| Some(ObjectDigest::of(log)));
    let mut seen = false;
    for (step, image) in &images.taken {
        let found = Store::open(image)
            .unwrap()
            .lookup_verified(&images.key)
            .unwrap();
        seen |= found.is_some();
        assert!(!seen || logs.contains(&found.unwrap().log), "{step}");
    }
    assert!(seen);
}

/// A file whose name was synced but whose content was not: what a disk without barriers may leave.
#[test]
fn an_entry_that_lost_its_content_in_a_crash_is_a_miss() {
    for part in ["objects", "actions"] {
        let dir = tempfile::tempdir().unwrap();
        let images = crash_images(dir.path(), |store| publish(store, "new").key);
        let (_, image) = images.taken.last().unwrap();
        for file in files(&image.join(part)) {
            fs::remove_file(&file).unwrap();
            fs::write(&file, "").unwrap();
        }
        let store = Store::open(image).unwrap();
        assert_eq!(store.lookup_verified(&images.key).unwrap(), None);
        publish(&store, "new");
        assert!(
            store.lookup_verified(&images.key).unwrap().is_some(),
            "{part}"
        );
    }
}

struct Images {
    key: crate::ActionKey,
    taken: Vec<(String, PathBuf)>,
}

/// Copies the cache after each step of what `work` does to it.
fn crash_images(dir: &Path, work: impl Fn(&Store) -> crate::ActionKey) -> Images {
    let live = dir.join("live");
    let store = Store::open(&live).unwrap();
    let taken = std::rc::Rc::new(RefCell::new(Vec::new()));
    let (seen, target) = (taken.clone(), dir.to_path_buf());
    OBSERVER.set(Some(Box::new(move |step| {
        let mut taken = seen.borrow_mut();
        let image = target.join(format!("image{}", taken.len()));
        copy(&live, &image);
        taken.push((step.to_owned(), image));
    })));
    let key = work(&store);
    OBSERVER.set(None);
    let taken = taken.take();
    assert!(taken.len() >= 8, "{taken:?}");
    Images { key, taken }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn publish(store: &Store, seed: &str) -> ActionRecord {
    publish_with(store, seed, b"a log")
}

fn publish_with(store: &Store, seed: &str, log: &[u8]) -> ActionRecord {
    let mut key = KeyBuilder::new(ActionKind::Job);
    key.component("seed", ObjectDigest::of(seed.as_bytes()), Detail::Opaque);
    let (key, components) = key.finish();
    let mut publication = store.publication();
    let object = publication.put_bytes(seed.as_bytes()).unwrap();
    let output = Output {
        path: "a.ko".into(),
        object,
        size: seed.len() as u64,
        executable: false,
    };
    let record = ActionRecord {
        key,
        kind: ActionKind::Job,
        subject: Subject {
            name: "a/1".into(),
            target: "k/x86_64".into(),
        },
        components,
        status: Status::Success,
        outputs: vec![output],
        log: Some(publication.put_bytes(log).unwrap()),
        note: Default::default(),
        cost: Cost::default(),
        created: 0,
    };
    publication.commit_with(&record).unwrap();
    record
}
