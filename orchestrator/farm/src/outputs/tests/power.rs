//! A run stopped at every operation on the folder, alone or with the power: what has a name is whole, sums
//! name what is there, and the next run completes the folder and clears it of what is stale.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use kiln_build::results::{deliver_into, files};
use kiln_cache::{
    ActionKind, ActionRecord, Cost, Detail, KeyBuilder, ObjectDigest, Output, Status, Store,
    Subject, Syncing,
};
use kiln_durable::{Disk, power::Machine};

use super::super::{
    Scope, folder::Folder, ledger::Ledger, settlement::Settlement, strangers::Strangers,
};

/// Images of the disk for each step: nothing unsynced, everything, and some in between.
const IMAGES: u64 = 6;

/// The files below a folder, by their paths in it.
type Tree = BTreeMap<PathBuf, String>;

/// A cache with the results of two packages, one of them built twice, and the directory of a machine.
struct World {
    dir: tempfile::TempDir,
    old: ActionRecord,
    new: ActionRecord,
    other: ActionRecord,
}

impl World {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let dir = match memory.is_dir() {
            true => tempfile::tempdir_in(memory).unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let store = Store::open(&dir.path().join("cache")).unwrap();
        let [old, new, other] = ["old", "new", "other"].map(|seed| built(&store, seed));
        fs::create_dir(dir.path().join("machine")).unwrap();
        Self {
            dir,
            old,
            new,
            other,
        }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("machine/out")
    }

    /// A run of the manifest before something changed in it.
    fn run_before(&self, disk: Disk, out: &Path) -> Result<(), String> {
        self.run(disk, out, &[("k/a", &self.old), ("k/b", &self.other)])
    }

    /// A run of the manifest as it is now: one package is gone, the other is built anew.
    fn run_now(&self, disk: Disk, out: &Path) -> Result<(), String> {
        self.run(disk, out, &[("k/a", &self.new)])
    }

    /// What a run does with the folder.
    fn run(&self, disk: Disk, out: &Path, cells: &[(&str, &ActionRecord)]) -> Result<(), String> {
        let failed = |error: &dyn std::error::Error| format!("{error}: {:?}", error.source());
        let cache = self.dir.path().join("cache");
        let store = Store::open_on(disk, &cache).map_err(|e| failed(&e))?;
        let folder = Folder::new(out, store.disk());
        let mut ledger = Ledger::new(out, Path::new("farm.toml"));
        ledger.read(out, None);
        let mut made = BTreeSet::new();
        for (label, record) in cells {
            let directory = out.join(label);
            deliver_into(&store, &directory, record, Syncing::First).map_err(|e| failed(&e))?;
            let mut all = files(&directory, record);
            let package = out.join("deb").join(label.replace('/', "-"));
            let stamp = record.created_at() + Duration::from_nanos(7);
            if modified(&package) != Some(stamp) {
                let from = self.dir.path().join("packed");
                fs::write(&from, packed(record)).unwrap();
                folder
                    .copy(&from, &package, stamp)
                    .map_err(|e| failed(&e))?;
            }
            all.push(package);
            for file in all {
                ledger.put(out, &file, label, true).unwrap();
                made.insert(file.strip_prefix(out).unwrap().to_owned());
            }
        }
        let settlement = Settlement {
            folder: &folder,
            shard: None,
            scope: Scope::Whole,
            checksums: true,
            strangers: &Strangers::new(out),
        };
        let settled = settlement.settle(&mut ledger, made, |_| false);
        settled.map(drop).map_err(|e| failed(&e))
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// What is packed of a record.
fn packed(record: &ActionRecord) -> Vec<u8> {
    format!("package of {} ", record.key).repeat(5).into_bytes()
}

/// Stores an outcome.
fn built(store: &Store, seed: &str) -> ActionRecord {
    let mut key = KeyBuilder::new(ActionKind::Job);
    key.component("seed", ObjectDigest::of(seed.as_bytes()), Detail::Opaque);
    let (key, components) = key.finish();
    let module = format!("module {seed} ").repeat(5).into_bytes();
    let mut log = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    write!(log, "log of {seed}").unwrap();
    let mut publication = store.publication();
    let output = Output {
        path: "a.ko".to_owned(),
        object: publication.put_bytes(&module).unwrap(),
        size: module.len() as u64,
        executable: false,
    };
    let log = publication.put_bytes(&log.finish().unwrap()).unwrap();
    let record = ActionRecord {
        key,
        kind: ActionKind::Job,
        subject: Subject {
            name: "a/1".to_owned(),
            target: "k/x86_64".to_owned(),
        },
        components,
        status: Status::Success,
        outputs: vec![output],
        log: Some(log),
        note: BTreeMap::new(),
        cost: Cost::default(),
        created: 1_790_000_000_123_456_000 + u64::from(seed.as_bytes()[0]),
    };
    publication.commit_with(&record).unwrap();
    record
}

/// The files below a folder, but those that never got their names.
fn tree(folder: &Path) -> Tree {
    let mut found = Tree::new();
    let mut open = vec![folder.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                open.push(path);
            } else if !name.starts_with(".kiln-") || name.starts_with(".kiln-outputs") {
                let inner = path.strip_prefix(folder).unwrap().to_owned();
                let content = fs::read(path).unwrap();
                found.insert(inner, String::from_utf8_lossy(&content).into_owned());
            }
        }
    }
    found
}

/// Files and their sums, but not the list of them, which has times.
fn outputs(folder: &Path) -> Tree {
    let mut found = tree(folder);
    found.remove(Path::new(".kiln-outputs"));
    found
}

/// What the sums name, if there are any, each with its sum.
fn summed_up(found: &Tree) -> impl Iterator<Item = (&str, &Path)> {
    let sums = found.get(Path::new("SHA256SUMS"));
    let lines = sums.map_or("", String::as_str).lines();
    lines.map(|line| {
        let (digest, path) = line.split_once("  ").unwrap();
        (digest, Path::new(path))
    })
}

fn sums_are_right(found: &Tree) -> bool {
    summed_up(found).all(|(digest, path)| {
        let content = found.get(path).map(String::as_bytes);
        content.is_some_and(|content| kiln_publish::Sha256::of(content).to_string() == digest)
    })
}

/// What the next run finds is whole, and it completes the folder.
fn check(world: &World, out: &Path, [before, now]: &[Tree; 2], done: bool, what: &str) {
    let found = outputs(out);
    for (path, content) in &found {
        let is_one = [before, now]
            .iter()
            .any(|tree| tree.get(path) == Some(content));
        assert!(is_one, "{what}: {} is {content:?}", path.display());
    }
    for (_, path) in summed_up(&found) {
        assert!(
            found.contains_key(path),
            "{what}: {} is gone",
            path.display()
        );
    }
    let sums = Path::new("SHA256SUMS");
    let is_summed_up = found
        .get(sums)
        .is_some_and(|sum| now.get(sums) == Some(sum));
    assert!(
        !is_summed_up || sums_are_right(&found),
        "{what}: {found:#?}"
    );
    if let Some(list) = tree(out).get(Path::new(".kiln-outputs")) {
        serde_json::from_str::<serde_json::Value>(list).expect(what);
    }
    assert!(
        !done || found == *now,
        "{what}: it did not last: {found:#?}"
    );
    world.run_now(Disk::default(), out).expect(what);
    assert_eq!(outputs(out), *now, "{what}");
    let list = fs::read_to_string(out.join(".kiln-outputs")).unwrap();
    assert!(
        list.contains("k/a/a.ko") && !list.contains("k/b"),
        "{what}: {list}"
    );
}

/// The folder after each run when nothing stops it.
fn finished() -> [Tree; 2] {
    let world = World::new();
    world.run_before(Disk::default(), &world.out()).unwrap();
    let before = outputs(&world.out());
    world.run_now(Disk::default(), &world.out()).unwrap();
    let now = outputs(&world.out());
    assert!(sums_are_right(&before) && sums_are_right(&now));
    assert_eq!((before.len(), now.len()), (7, 4), "{before:#?} {now:#?}");
    [before, now]
}

/// Stops the run of now at every operation, in the folder that `begin` leaves.
fn at_every_step(begin: &dyn Fn(&World), check: &dyn Fn(&World, &Path, bool, &str)) {
    for step in 0.. {
        let world = World::new();
        begin(&world);
        let machine = Machine::new(&world.dir.path().join("machine")).unwrap();
        let process = machine.process(step);
        let done = world.run_now(process.disk(), &world.out());
        for image in 0..IMAGES {
            let what = format!("power failed at {step}, image {image}");
            let left = world.dir.path().join(format!("image {image}"));
            machine.image(&left, image).unwrap();
            check(&world, &left.join("out"), done.is_ok(), &what);
            fs::remove_dir_all(left).unwrap();
        }
        let what = format!("stopped at {step}");
        check(&world, &world.out(), done.is_ok(), &what);
        if !process.has_ended() {
            done.unwrap();
            assert!(step > 20, "{step}");
            break;
        }
    }
}

#[test]
fn a_folder_that_is_changed_is_whole_at_every_step() {
    let trees = finished();
    let begin = |world: &World| world.run_before(Disk::default(), &world.out()).unwrap();
    at_every_step(&begin, &|world, out, done, what| {
        check(world, out, &trees, done, what);
    });
}

#[test]
fn a_new_folder_is_whole_at_every_step() {
    let [_, now] = finished();
    let trees = [Tree::new(), now];
    at_every_step(&|_| (), &|world, out, done, what| {
        check(world, out, &trees, done, what);
    });
}

/// What is not synced may be lost behind its name and its time; the next run finds that.
#[test]
fn results_that_are_not_synced_are_put_right_by_the_next_run() {
    for step in 0.. {
        let world = World::new();
        let machine = Machine::new(&world.dir.path().join("machine")).unwrap();
        let process = machine.process(step);
        let cache = world.dir.path().join("cache");
        let deliver = |disk: Disk, out: &Path| {
            let store = Store::open_on(disk, &cache).map_err(|error| error.to_string())?;
            let delivered = deliver_into(&store, out, &world.new, Syncing::Not);
            delivered.map_err(|error| error.to_string())
        };
        let done = deliver(process.disk(), &world.out());
        for image in 0..IMAGES * 3 {
            let left = world.dir.path().join("image");
            machine.image(&left, image).unwrap();
            deliver(Disk::default(), &left.join("out")).unwrap();
            let found = outputs(&left.join("out"));
            let log = &found[Path::new("make.log")];
            assert_eq!(log, "log of new", "power failed at {step}, image {image}");
            let module = &found[Path::new("a.ko")];
            assert_eq!(
                ObjectDigest::of(module.as_bytes()),
                world.new.outputs[0].object
            );
            fs::remove_dir_all(left).unwrap();
        }
        if !process.has_ended() {
            done.unwrap();
            break;
        }
    }
}
