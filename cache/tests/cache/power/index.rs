//! The index after a power failure or a kill. Its database writes files of its own, at its own times, so that
//! here any part of what it has written may be there: what it gives is a hint that was true once, or nothing,
//! and a run with it comes to what a run without it comes to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use kiln_cache::{ActionKind, Cost, Index, ScanOptions, Store, TreeSnapshot, scan_tree};
use tempfile::TempDir;

use crate::fixture::{files, key, memory, record, settle, try_publish, write};
use crate::process;

/// What a disk writes at once.
const BLOCK: usize = 512;

/// How long to wait for the index.
const PATIENCE: Duration = Duration::from_secs(60);

/// The files of an index, by their paths.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A cache, a tree, and two states of the index: from before the tree and all else changed, and from after.
struct Ground {
    dir: TempDir,
    states: [Files; 2],
    snapshots: [TreeSnapshot; 2],
}

impl Ground {
    fn new() -> Self {
        let dir = memory();
        let tree = dir.path().join("tree");
        write(&tree, "src/a.c", "one");
        write(&tree, "src/b.c", "b");
        settle();
        let before = work(dir.path(), 1);
        let old = read(&index(dir.path()));
        write(&tree, "src/a.c", "two");
        write(&tree, "src/c.c", "c");
        settle();
        let after = work(dir.path(), 2);
        let new = read(&index(dir.path()));
        assert_ne!(before, after);
        Self {
            dir,
            states: [old, new],
            snapshots: [before, after],
        }
    }

    /// Puts files in the place of the index, and has runs come to what they should.
    fn try_with(&self, found: &Files, what: &str) {
        println!("{what}");
        let index = index(self.dir.path());
        fs::remove_dir_all(&index).unwrap();
        fs::create_dir(&index).unwrap();
        for (path, content) in found {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        for _ in 0..2 {
            self.look(what);
            let snapshot = work(self.dir.path(), 2);
            assert_eq!(snapshot.digest(), self.snapshots[1].digest(), "{what}");
        }
        let store = Store::open(&cache(self.dir.path())).unwrap();
        let index = Index::burst(&store, PATIENCE).unwrap().unwrap();
        assert!(index.tree("tree").unwrap().is_some(), "{what}: not kept");
        assert!(index.memo("n", &[7]).unwrap().is_some(), "{what}: not kept");
    }

    /// All that the index gives was true once.
    fn look(&self, what: &str) {
        let store = Store::open(&cache(self.dir.path())).unwrap();
        let index = Index::burst(&store, PATIENCE).unwrap().unwrap();
        let is_known = |value: u8| [1, 2].contains(&value);
        if let Some(snapshot) = index.tree("tree").unwrap() {
            assert!(self.snapshots.contains(&snapshot), "{what}");
        }
        let subject = record("1").subject;
        if let Some(cost) = index.cost(&subject).unwrap() {
            assert!(is_known(cost.peak_memory as u8), "{what}");
        }
        for at in 0..20 {
            if let Some(memo) = index.memo("n", &[at]).unwrap() {
                assert!(is_known(memo[0]) && memo == [memo[0]; 100], "{what}");
            }
        }
        let nearest = index.nearest(&store, &subject, ActionKind::Job).unwrap();
        let keys = ["1", "2"].map(|seed| key(seed).0);
        assert!(keys.contains(&nearest.unwrap().key), "{what}");
    }
}

/// What a run does with the index; the tree's snapshot.
fn work(dir: &Path, number: u8) -> TreeSnapshot {
    let store = Store::open(&cache(dir)).unwrap();
    let index = Index::burst(&store, PATIENCE).unwrap().unwrap();
    let known = index.tree("tree").unwrap();
    let tree = dir.join("tree");
    let scan = scan_tree(&tree, known.as_ref(), &ScanOptions::default()).unwrap();
    index.put_tree("tree", &scan.snapshot).unwrap();
    let record = try_publish(&store, &number.to_string()).unwrap();
    index.note_record(&record).unwrap();
    let cost = Cost {
        peak_memory: number.into(),
        ..Cost::default()
    };
    index.put_cost(&record.subject, &cost).unwrap();
    for at in 0..20 {
        index.put_memo("n", &[at], &[number; 100]).unwrap();
    }
    scan.snapshot
}

fn cache(dir: &Path) -> PathBuf {
    dir.join("cache")
}

fn index(dir: &Path) -> PathBuf {
    cache(dir).join("index")
}

fn read(index: &Path) -> Files {
    let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    files(index).into_iter().map(read).collect()
}

#[test]
fn an_index_that_is_cut_anywhere_is_a_hint_or_nothing() {
    let ground = Ground::new();
    for state in &ground.states {
        for (path, content) in state {
            let used = content.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
            let stride = (used / 40).max(1) | 1;
            for length in (0..=used).step_by(stride) {
                let what = format!("{} cut at {length} of {used}", path.display());
                let mut cut = state.clone();
                cut.insert(path.clone(), content[..length].to_vec());
                ground.try_with(&cut, &what);
                let mut zeros = content.clone();
                zeros[length..].fill(0);
                cut.insert(path.clone(), zeros);
                ground.try_with(&cut, &format!("{what}, the rest zeros"));
            }
            let mut without = state.clone();
            without.remove(path);
            ground.try_with(&without, &format!("{} is gone", path.display()));
        }
    }
}

/// Any blocks of any files may have been written, in any order.
#[test]
fn an_index_of_which_any_part_was_written_is_a_hint_or_nothing() {
    let ground = Ground::new();
    let [old, new] = &ground.states;
    for seed in 0..120 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut mixed = Files::new();
        for path in old.keys().chain(new.keys()) {
            let nothing = Vec::new();
            let [before, after] = [old, new].map(|state| state.get(path).unwrap_or(&nothing));
            let is_mixed = random.bool();
            let is_new = random.bool();
            let mut content = match random.bool() {
                true => before.clone(),
                false => vec![0; after.len()],
            };
            content.resize(after.len(), 0);
            let blocks = content.chunks_mut(BLOCK).zip(after.chunks(BLOCK));
            for (block, written) in blocks {
                if if is_mixed { random.bool() } else { is_new } {
                    block.copy_from_slice(written);
                }
            }
            if random.u8(..8) > 0 {
                mixed.insert(path.clone(), content);
            }
        }
        ground.try_with(&mixed, &format!("mixture {seed}"));
    }
}

#[test]
fn the_index_of_a_process_killed_while_it_writes_is_a_hint_or_nothing() {
    let dir = memory();
    for round in 0..15 {
        let mut other = process::start("index_for_ever", &cache(dir.path()));
        let last: u32 = other.hear().unwrap().parse().unwrap();
        thread::sleep(Duration::from_micros(round * 700));
        other.kill();
        let store = Store::open(&cache(dir.path())).unwrap();
        let index = Index::burst(&store, PATIENCE).unwrap().unwrap();
        for at in 0..20_u8 {
            if let Some(memo) = index.memo("n", &[at]).unwrap() {
                let number: [u8; 4] = memo[..4].try_into().unwrap();
                assert_eq!(memo, number.repeat(100), "round {round}");
            }
        }
        index.put_memo("n", b"new", &last.to_le_bytes()).unwrap();
        assert!(index.memo("n", b"new").unwrap().is_some(), "round {round}");
    }
}
