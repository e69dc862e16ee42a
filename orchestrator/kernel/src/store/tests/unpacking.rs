//! What is kept of a package, how, and what becomes of it when it is not left alone.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

fn one_tree(world: &World) -> PathBuf {
    let tree = build_tree("usr/src/kernels/1.0", "1.0", "all:\n");
    let mut all = members(&tree);
    all.extend([
        Program("usr/src/kernels/1.0/scripts/run", "#!/bin/sh\n"),
        HardLink(
            "usr/src/kernels/1.0/scripts/again",
            "usr/src/kernels/1.0/scripts/run",
        ),
        File("lib/modules/1.0/kernel/fs/ext4.ko", "a module"),
        File("usr/bin/anything", "a program"),
        File("etc/passwd", "root"),
    ]);
    world.tarball("tree.tar", &all)
}

#[test]
fn only_what_builds_need_is_kept_and_belongs_to_who_asks() {
    let world = World::new();
    let kernels = world.add(&[one_tree(&world)]).unwrap();
    let [kernel] = kernels.as_slice() else {
        panic!("{kernels:?}");
    };
    let root = &kernel.packages()[0].directory;
    assert!(!root.join("lib").exists() && !root.join("etc").exists());
    assert!(!root.join("usr/bin").exists());
    let tree = root.join("usr/src/kernels/1.0");
    let mode = |name: &str| {
        let found = fs::metadata(tree.join(name)).unwrap();
        assert_eq!(found.uid(), rustix::process::geteuid().as_raw());
        found.permissions().mode() & 0o7777
    };
    assert_eq!(mode("Makefile"), 0o644);
    assert_eq!(mode("scripts/run"), 0o755);
    assert_eq!(mode("scripts"), 0o755);
    assert_eq!(
        fs::read_to_string(tree.join("scripts/again")).unwrap(),
        "#!/bin/sh\n"
    );
    assert_eq!(
        fs::metadata(tree.join("Makefile")).unwrap().mtime(),
        1_000_000_000
    );
}

#[test]
fn a_package_is_unpacked_once() {
    let world = World::new();
    let package = one_tree(&world);
    let first = world.add(std::slice::from_ref(&package)).unwrap();
    let identity = |kernel: &StoredKernel| {
        let makefile = kernel.packages()[0]
            .directory
            .join("usr/src/kernels/1.0/Makefile");
        fs::metadata(makefile).unwrap().ino()
    };
    let before = identity(&first[0]);
    let copy = world.path("copy.tar");
    fs::copy(&package, &copy).unwrap();
    let second = world.add(&[copy, package]).unwrap();
    assert_eq!(identity(&second[0]), before);
    assert_eq!(world.entries().len(), 1);
}

/// Whatever is done to an entry, the next use has the right one again.
fn repaired(damage: impl Fn(&Path)) {
    let world = World::new();
    let package = one_tree(&world);
    world.add(std::slice::from_ref(&package)).unwrap();
    let entry = world.entries()[0].clone();
    damage(&entry);
    let kernels = world.add(&[package]).unwrap();
    assert_eq!(kernels.len(), 1);
    let tree = entry.join("root/usr/src/kernels/1.0");
    assert_eq!(fs::read_to_string(tree.join("Makefile")).unwrap(), "all:\n");
    assert!(tree.join("Module.symvers").exists());
    assert_eq!(fs::read_dir(entry.join("root/usr/src")).unwrap().count(), 1);
    let left = fs::read_dir(world.cache.directory().join("kernels/tmp")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn a_damaged_entry_is_unpacked_again() {
    let makefile = "root/usr/src/kernels/1.0/Makefile";
    repaired(|entry| fs::write(entry.join(makefile), "evil:\n").unwrap());
    repaired(|entry| fs::remove_file(entry.join(makefile)).unwrap());
    repaired(|entry| {
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(entry.join(makefile), mode).unwrap();
    });
    repaired(|entry| fs::write(entry.join("root/usr/src/kernels/1.0/new.h"), "").unwrap());
    repaired(|entry| fs::create_dir_all(entry.join("root/usr/src/other/include")).unwrap());
    repaired(|entry| fs::write(entry.join("entry.json"), "{").unwrap());
    repaired(|entry| fs::remove_file(entry.join("entry.json")).unwrap());
    repaired(|entry| fs::remove_dir_all(entry.join("root")).unwrap());
}

/// Nothing waits for a FIFO, follows a link or reads what has no end.
#[test]
fn whatever_has_the_name_of_a_part_of_an_entry_gives_way() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    type Put = fn(&Path);
    let puts: [Put; 4] = [
        |path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap(),
        |path| std::os::unix::fs::symlink("nowhere", path).unwrap(),
        |path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap(),
        |path| fs::create_dir(path).unwrap(),
    ];
    for part in ["", "entry.json", "root"] {
        for put in puts {
            repaired(|entry| {
                let path = if part.is_empty() {
                    entry.to_owned()
                } else {
                    entry.join(part)
                };
                if path.is_dir() {
                    fs::remove_dir_all(&path).unwrap();
                } else {
                    fs::remove_file(&path).unwrap();
                }
                put(&path);
            });
        }
    }
}

#[test]
fn what_a_killed_process_left_is_no_entry_and_goes_away() {
    let world = World::new();
    let package = one_tree(&world);
    drop(KernelStore::open(&world.cache).unwrap());
    let left = world
        .cache
        .directory()
        .join("kernels/tmp/newAbCdEf/root/usr/src");
    fs::create_dir_all(&left).unwrap();
    world.add(&[package]).unwrap();
    assert!(!left.exists());
}

#[test]
fn many_at_once_find_one_entry() {
    let world = World::new();
    let package = one_tree(&world);
    let kernels: Vec<StoredKernel> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| world.add(std::slice::from_ref(&package)).unwrap()))
            .collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap());
        results.flatten().collect()
    });
    assert_eq!(kernels.len(), 8);
    assert!(kernels.iter().all(|kernel| kernel == &kernels[0]));
    assert_eq!(world.entries().len(), 1);
}

#[test]
fn a_kernel_for_another_machine_is_refused_when_it_is_to_be_built_for() {
    use crate::{Arch, KernelRequest, KernelSelectionError, KernelSource};
    let world = World::new();
    let tree = build_tree("./usr/src/kernels/1.0", "1.0", "all:\n");
    let control = "Package: linux-headers-1.0\nVersion: 1\nArchitecture: s390x\n";
    let package = world.deb("foreign.deb", control, &members(&tree));
    let kernel = world.add(&[package]).unwrap().remove(0);
    assert_eq!(kernel.tree().arch, Arch::new("s390x").unwrap());
    let error = KernelRequest::new(KernelSource::Stored(kernel)).open();
    assert!(
        matches!(error, Err(KernelSelectionError::ForeignArch { .. })),
        "{error:?}"
    );
}

#[test]
fn what_was_not_used_for_long_makes_room_and_comes_back() {
    use super::super::SweepOptions;
    use std::time::{Duration, SystemTime};
    let world = World::new();
    let [headers, common] = debian(&world, "6.1.0-9", "6.1.2-1");
    let paths = [headers, common, kbuild(&world, "6.1.3-1")];
    world.add(&paths).unwrap();
    let store = KernelStore::open(&world.cache).unwrap();
    let sweep = |max_size, older_than| {
        let options = SweepOptions {
            max_size,
            older_than,
        };
        store.sweep(&options).unwrap()
    };
    // Just used: stays whatever is asked.
    let swept = sweep(Some(0), Some(Duration::ZERO));
    assert_eq!((swept.removed, world.entries().len()), (0, 3));
    let age = |entry: &Path, days: u64| {
        let description = fs::File::open(entry.join("entry.json")).unwrap();
        let time = SystemTime::now() - Duration::from_secs(days * 86_400);
        description.set_modified(time).unwrap();
    };
    let entries = world.entries();
    age(&entries[0], 40);
    age(&entries[1], 20);
    age(&entries[2], 10);
    assert_eq!(sweep(Some(1 << 30), None).removed, 0);
    assert_eq!(
        sweep(None, Some(Duration::from_secs(30 * 86_400))).removed,
        1
    );
    assert_eq!(world.entries(), entries[1..]);
    let last = sweep(None, None).kept_bytes - 1;
    let swept = sweep(Some(last), None);
    assert_eq!(
        (swept.removed, world.entries()),
        (1, vec![entries[2].clone()])
    );
    assert!(swept.freed > 0 && swept.kept_bytes > 0);
    world.add(&paths).unwrap();
    assert_eq!(world.entries(), entries);
    // Use counts.
    assert_eq!(sweep(Some(0), None).removed, 0);
}

#[test]
fn a_store_that_others_may_write_is_not_used() {
    let world = World::new();
    let directory = world.cache.directory().join("kernels");
    drop(KernelStore::open(&world.cache).unwrap());
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o775)).unwrap();
    assert!(matches!(
        KernelStore::open(&world.cache),
        Err(KernelStoreError::Io { .. })
    ));
}

#[test]
fn nobody_else_can_hold_the_lock() {
    let world = World::new();
    world.add(&[one_tree(&world)]).unwrap();
    let locked = world.cache.directory().join("kernels/tmp");
    let mode = || fs::metadata(&locked).unwrap().mode() & 0o7777;
    assert_eq!(mode(), 0o700);
    // As earlier versions made it.
    fs::set_permissions(&locked, PermissionsExt::from_mode(0o755)).unwrap();
    world.add(&[one_tree(&world)]).unwrap();
    assert_eq!(mode(), 0o700);
}
