//! The store stopped at every operation, alone or with the power: an entry is whole or not there, and the
//! next run has it.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, time::Duration};

use kiln_durable::{Disk, power::Machine};

use super::{super::SweepOptions, *};

/// Images of the disk for each step: nothing unsynced, everything, and some in between.
const IMAGES: u64 = 6;

/// What is in an entry: what each path is, and its content.
type Tree = BTreeMap<PathBuf, String>;

fn tree(directory: &Path) -> Tree {
    let mut found = Tree::new();
    let mut open = vec![directory.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let there = path.symlink_metadata().unwrap();
            let mode = there.permissions().mode();
            let content = if there.is_dir() {
                open.push(path.clone());
                String::new()
            } else if there.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
            };
            let inner = path.strip_prefix(directory).unwrap().to_owned();
            found.insert(inner, format!("{mode:o} {content}"));
        }
    }
    found
}

/// A machine's directory with a cache in it, and a package beside.
struct Ground {
    dir: tempfile::TempDir,
    package: PathBuf,
}

impl Ground {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let dir = match memory.is_dir() {
            true => tempfile::tempdir_in(memory).unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let package = dir.path().join("headers.tar");
        let place = "usr/src/kernels/1.0";
        let [makefile, program, again, link] =
            ["Makefile", "scripts/run", "scripts/again", "source"]
                .map(|name| format!("{place}/{name}"));
        let symvers = format!("{place}/Module.symvers");
        let release = format!("{place}/include/generated/utsrelease.h");
        let conf = format!("{place}/include/generated/autoconf.h");
        let members = [
            File(&makefile, "all:\n"),
            File(&symvers, "0x00000001\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n"),
            File(&release, "#define UTS_RELEASE \"1.0\"\n"),
            File(&conf, "#define CONFIG_MODULES 1\n"),
            Program(&program, "#!/bin/sh\n"),
            HardLink(&again, &program),
            Link(&link, "."),
        ];
        fs::write(&package, tar(&members)).unwrap();
        let this = Self { dir, package };
        Store::open(&this.cache()).unwrap();
        this
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("machine/cache")
    }

    fn machine(&self) -> std::sync::Arc<Machine> {
        Machine::new(&self.dir.path().join("machine")).unwrap()
    }

    fn add(&self, disk: Disk, cache: &Path) -> Result<Vec<StoredKernel>, String> {
        let cache = Store::open_on(disk, cache).map_err(|error| error.to_string())?;
        let store = KernelStore::open(&cache).map_err(|error| error.to_string())?;
        let packages = [self.package.clone()];
        let added = store.add(&packages, &mut Fingerprints::new(&cache));
        added.map_err(|error| error.to_string())
    }
}

/// The entry of a cache, if it has one.
fn entry(cache: &Path) -> Option<Tree> {
    let entries = fs::read_dir(cache.join("kernels"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("tmp"));
    let entries: Vec<PathBuf> = entries.collect();
    assert!(entries.len() < 2, "{entries:?}");
    entries.first().map(|entry| tree(entry))
}

/// What an entry is that nobody has stopped.
fn whole() -> Tree {
    let ground = Ground::new();
    ground.add(Disk::default(), &ground.cache()).unwrap();
    entry(&ground.cache()).unwrap()
}

/// Does the work as often as it has operations, and stops at each of them: with the power, and alone. `check`
/// sees the cache that is left, and whether the work had been done.
fn at_every_step(
    before: &dyn Fn(&Ground),
    work: &dyn Fn(&Ground, Disk) -> Result<(), String>,
    check: &dyn Fn(&Ground, &Path, bool, &str),
) {
    for step in 0.. {
        let ground = Ground::new();
        before(&ground);
        let machine = ground.machine();
        let process = machine.process(step);
        let done = work(&ground, process.disk());
        for image in 0..IMAGES {
            let what = format!("power failed at {step}, image {image}");
            let left = ground.dir.path().join(format!("image {image}"));
            machine.image(&left, image).unwrap();
            check(&ground, &left.join("cache"), done.is_ok(), &what);
            fs::remove_dir_all(left).unwrap();
        }
        let what = format!("stopped at {step}");
        check(&ground, &ground.cache(), done.is_ok(), &what);
        if !process.has_ended() {
            done.unwrap();
            assert!(step > 5, "{step}");
            break;
        }
    }
}

/// The next run has the kernel, and nothing is left over.
fn completes(ground: &Ground, cache: &Path, whole: &Tree, what: &str) {
    let kernels = ground.add(Disk::default(), cache);
    assert_eq!(kernels.map(|found| found.len()), Ok(1), "{what}");
    assert_eq!(entry(cache).as_ref(), Some(whole), "{what}");
    let kernels = ground.add(Disk::default(), cache);
    assert_eq!(kernels.map(|found| found.len()), Ok(1), "{what}");
}

fn add(ground: &Ground, disk: Disk) -> Result<(), String> {
    ground.add(disk, &ground.cache()).map(drop)
}

#[test]
fn an_entry_is_whole_or_not_there_and_lasts() {
    let whole = whole();
    at_every_step(&|_| (), &add, &|ground, cache, done, what| {
        match entry(cache) {
            Some(found) => assert_eq!(found, whole, "{what}"),
            None => assert!(!done, "{what}: it did not last"),
        }
        completes(ground, cache, &whole, what);
    });
}

#[test]
fn a_damaged_entry_is_there_as_it_was_or_replaced() {
    let whole = whole();
    let damage = |ground: &Ground| {
        add(ground, Disk::default()).unwrap();
        let entries = fs::read_dir(ground.cache().join("kernels")).unwrap();
        for entry in entries {
            let makefile = entry
                .unwrap()
                .path()
                .join("root/usr/src/kernels/1.0/Makefile");
            if makefile.exists() {
                fs::write(makefile, "evil:\n").unwrap();
            }
        }
    };
    let damaged = {
        let ground = Ground::new();
        damage(&ground);
        entry(&ground.cache()).unwrap()
    };
    assert_ne!(damaged, whole);
    at_every_step(&damage, &add, &|ground, cache, done, what| {
        if let Some(found) = entry(cache) {
            assert!(found == whole || found == damaged && !done, "{what}");
        }
        completes(ground, cache, &whole, what);
    });
}

#[test]
fn an_entry_that_makes_room_is_whole_or_gone() {
    let whole = whole();
    let long_unused = |ground: &Ground| {
        add(ground, Disk::default()).unwrap();
        for entry in fs::read_dir(ground.cache().join("kernels")).unwrap() {
            if let Ok(file) = fs::File::open(entry.unwrap().path().join("entry.json")) {
                let then = std::time::SystemTime::now() - Duration::from_secs(40 * 86_400);
                file.set_modified(then).unwrap();
            }
        }
    };
    let sweep = |disk: Disk, cache: &Path| {
        let cache = Store::open_on(disk, cache).map_err(|error| error.to_string())?;
        let store = KernelStore::open(&cache).map_err(|error| error.to_string())?;
        let max_size = Some(0);
        let older_than = None;
        let options = SweepOptions {
            max_size,
            older_than,
        };
        let swept = store.sweep(&options).map_err(|error| error.to_string())?;
        Ok::<_, String>(swept.removed)
    };
    let work = |ground: &Ground, disk: Disk| sweep(disk, &ground.cache()).map(drop);
    at_every_step(&long_unused, &work, &|ground, cache, done, what| {
        let found = entry(cache);
        if let Some(found) = &found {
            assert!(*found == whole && !done, "{what}: {found:#?}");
        }
        let removed = sweep(Disk::default(), cache).unwrap();
        assert_eq!(removed, u64::from(found.is_some()), "{what}");
        assert_eq!(entry(cache), None, "{what}");
        let left = fs::read_dir(cache.join("kernels/tmp")).unwrap().count();
        assert_eq!(left, 0, "{what}");
        completes(ground, cache, &whole, what);
    });
}
