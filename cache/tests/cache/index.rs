//! The index: typed values, one user at a time, and nothing lost with it but time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use kiln_cache::{ActionKind, Cost, Index, ScanOptions, Store, Subject, scan_file, scan_tree};

use crate::fixture::{Cache, files, record, settle, write};
use crate::process;

fn burst(store: &Store) -> Index {
    Index::burst(store, Duration::from_secs(10))
        .unwrap()
        .unwrap()
}

#[test]
fn what_is_put_is_there_next_time() {
    let cache = Cache::new();
    let tree = cache.dir.path().join("tree");
    write(&tree, "a", "1");
    settle();
    let snapshot = scan_tree(&tree, None, &ScanOptions::default())
        .unwrap()
        .snapshot;
    let file = scan_file(&tree.join("a"), None).unwrap().snapshot;
    let subject = Subject {
        name: "a".into(),
        target: "b".into(),
    };
    let cost = Cost {
        peak_memory: 7,
        ..Cost::default()
    };
    {
        let index = burst(&cache.store);
        index.put_tree("kernel", &snapshot).unwrap();
        index
            .put_files(b"tool\xff", std::slice::from_ref(&file))
            .unwrap();
        index.put_cost(&subject, &cost).unwrap();
        index.put_memo("name", b"key", b"value").unwrap();
    }
    let index = burst(&cache.again());
    assert_eq!(index.tree("kernel").unwrap(), Some(snapshot));
    assert_eq!(index.files(b"tool\xff").unwrap(), Some(vec![file]));
    assert_eq!(index.cost(&subject).unwrap(), Some(cost));
    assert_eq!(index.costs().unwrap(), [(subject, cost)]);
    assert_eq!(index.memo("name", b"key").unwrap().unwrap(), b"value");
    assert_eq!(index.memo("nam", b"ekey").unwrap(), None);
    assert_eq!(index.tree("tool").unwrap(), None);
    assert_eq!(index.files("kernel").unwrap(), None);
}

#[test]
fn who_cannot_get_in_goes_on_without() {
    let cache = Cache::new();
    let mut other = process::start("hold_index", &cache.path());
    assert_eq!(other.hear().unwrap(), "held");
    assert!(
        Index::burst(&cache.store, Duration::from_millis(20))
            .unwrap()
            .is_none()
    );
    cache.publish("x");
    assert!(other.finish());
    let index = burst(&cache.store);
    assert_eq!(index.memo("who", b"").unwrap().unwrap(), b"other");
    assert!(
        Index::burst(&cache.again(), Duration::ZERO)
            .unwrap()
            .is_none()
    );
}

#[test]
fn many_take_turns() {
    let cache = Cache::new();
    std::thread::scope(|scope| {
        for at in 0..4_u8 {
            let store = cache.again();
            scope.spawn(move || {
                for round in 0..10_u8 {
                    burst(&store).put_memo("n", &[at, round], &[1]).unwrap();
                }
            });
        }
    });
    let index = burst(&cache.store);
    assert!((0..4).all(|at| (0..10).all(|round| index.memo("n", &[at, round]).unwrap().is_some())));
}

#[test]
fn a_killed_users_index_is_still_an_index() {
    let cache = Cache::new();
    let mut other = process::start("hold_index", &cache.path());
    other.hear().unwrap();
    other.kill();
    burst(&cache.store).put_memo("n", b"", b"1").unwrap();
    assert!(burst(&cache.store).memo("n", b"").unwrap().is_some());
}

#[test]
fn a_damaged_index_is_made_anew() {
    let damage: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes.fill(0xff),
        |bytes| bytes.truncate(bytes.len() / 3),
        |bytes| bytes.iter_mut().step_by(7).for_each(|byte| *byte ^= 0x55),
        |bytes| bytes.clear(),
    ];
    for (at, damage) in damage.into_iter().enumerate() {
        let cache = Cache::new();
        {
            let index = burst(&cache.store);
            for key in 0..2000_u32 {
                index.put_memo("n", &key.to_le_bytes(), &[7; 300]).unwrap();
            }
        }
        let record = cache.publish("x");
        for path in files(&cache.path().join("index")) {
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::write(&path, bytes).unwrap();
        }
        let index = burst(&cache.store);
        index.put_memo("n", b"new", b"1").unwrap();
        assert_eq!(index.memo("n", b"new").unwrap().unwrap(), b"1", "{at}");
        drop(index);
        assert_eq!(
            burst(&cache.store).memo("n", b"new").unwrap().unwrap(),
            b"1",
            "{at}"
        );
        assert!(cache.store.lookup_verified(&record.key).unwrap().is_some());
    }
}

#[test]
fn an_index_that_others_may_write_to_is_made_anew() {
    let cache = Cache::new();
    let index = burst(&cache.store);
    index.put_memo("n", b"key", b"1").unwrap();
    drop(index);
    let file = files(&cache.path().join("index")).remove(0);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let index = burst(&cache.store);
    assert_eq!(index.memo("n", b"key").unwrap(), None);
    index.put_memo("n", b"key", b"2").unwrap();
    drop(index);
    let found = burst(&cache.store).memo("n", b"key").unwrap();
    assert_eq!(found.unwrap(), b"2");
}

#[test]
fn a_removed_index_or_one_only_read_is_no_error() {
    let cache = Cache::new();
    burst(&cache.store).put_memo("n", b"", b"1").unwrap();
    fs::remove_dir_all(cache.path().join("index")).unwrap();
    assert_eq!(burst(&cache.again()).memo("n", b"").unwrap(), None);
    let reading = Store::open_reading(&cache.path()).unwrap();
    assert!(Index::burst(&reading, Duration::ZERO).unwrap().is_none());
}

#[test]
fn the_nearest_record_is_found_with_and_without_notes() {
    let cache = Cache::new();
    let publish = |seed: &str, target: &str, created| {
        let mut record = record(seed);
        record.subject.target = target.into();
        record.created = created;
        cache.store.publish(&record).unwrap();
        record
    };
    let one = publish("1", "old", 10);
    let two = publish("2", "new", 20);
    let index = burst(&cache.store);
    let nearest = |target: &str| {
        let subject = Subject {
            target: target.into(),
            ..one.subject.clone()
        };
        index
            .nearest(&cache.store, &subject, ActionKind::Job)
            .unwrap()
    };
    assert_eq!(nearest("old"), Some(one.clone()), "nothing noted yet");
    index.note_record(&one).unwrap();
    index.note_record(&two).unwrap();
    assert_eq!(nearest("old"), Some(one.clone()));
    assert_eq!(nearest("other"), Some(two.clone()));
    cache.store.forget(&two.key).unwrap();
    assert_eq!(nearest("new"), Some(one));
}
