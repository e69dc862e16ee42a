//! Caches that cannot be used, caches that are damaged, and `kiln cache`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    machine::{self, kernel},
    world::World,
};

/// All files below a directory.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn a_file_in_place_of_a_cache() {
    let world = World::new();
    let package = world.package("any", "");
    world.write("cache", "");
    world
        .build(&package, "")
        .exits(4)
        .says("is not a directory");
}

#[test]
fn a_directory_of_other_things() {
    let world = World::new();
    let package = world.package("any", "");
    let letter = world.write("cache/letter", "dear");
    world
        .build(&package, "")
        .exits(4)
        .says("is not a cache and not empty");
    assert_eq!(fs::read_dir(world.cache()).unwrap().count(), 1);
    assert_eq!(fs::read(letter).unwrap(), b"dear");
}

#[test]
fn a_cache_of_a_newer_format_is_not_touched() {
    let world = World::new();
    let package = world.package("any", "");
    world.build(&package, "").exits(0);
    fs::write(world.cache().join("format"), "99\n").unwrap();
    let before = files(&world.cache());
    world
        .build(&package, "")
        .exits(4)
        .says("has format 99, later than 1")
        .says("hint: use the newer kiln");
    assert_eq!(files(&world.cache()), before);
}

#[test]
fn a_cache_that_others_may_write_to() {
    let world = World::new();
    let package = world.package("any", "");
    fs::create_dir(world.cache()).unwrap();
    fs::set_permissions(world.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    world
        .build(&package, "")
        .exits(4)
        .says("may be written by others (mode 0777)")
        .says("hint: chmod go-w");
}

#[test]
fn a_cache_of_another_user() {
    let world = World::new();
    let package = world.package("any", "");
    let run = if machine::is_root() {
        fs::create_dir(world.cache()).unwrap();
        std::os::unix::fs::chown(world.cache(), Some(12345), Some(12345)).unwrap();
        world.build(&package, "")
    } else {
        world
            .on_machine("mkdir \"$WORLD/theirs\"", "cache path")
            .exits(0);
        world.build(&package, "--cache-dir theirs")
    };
    run.exits(4)
        .says("belongs to user")
        .says("hint: choose another cache with --cache-dir");
}

#[test]
fn a_cache_on_a_read_only_disk() {
    let world = World::new();
    let package = world.package("any", "");
    fs::create_dir(world.path("disk")).unwrap();
    world
        .on_machine(
            "mount -t tmpfs -o ro,mode=755 tmpfs \"$WORLD/disk\"",
            format!("build {package} -k {} --cache-dir disk/cache", kernel()),
        )
        .exits(4)
        .says("is read-only")
        .says("hint: choose another cache with --cache-dir");
}

#[test]
fn a_cache_that_its_user_may_not_write_to() {
    let world = World::new();
    let package = world.package("any", "");
    let line = format!("build {package} -k {}", kernel());
    world.kiln_as_user(&line).exits(0);
    let sealed = world.path("sealed");
    fs::create_dir(&sealed).unwrap();
    fs::set_permissions(&sealed, fs::Permissions::from_mode(0o555)).unwrap();
    world
        .kiln_as_user(format!("{line} --cache-dir {}/cache", sealed.display()))
        .exits(4)
        .says("sealed/cache");
}

#[test]
fn a_cache_on_a_full_disk() {
    let world = World::new();
    let package = world.package("any", "");
    fs::create_dir(world.path("disk")).unwrap();
    world
        .on_machine(
            "mount -t tmpfs -o size=64k,mode=755 tmpfs \"$WORLD/disk\"\n\
             head -c 1M /dev/zero > \"$WORLD/disk/ballast\" 2> /dev/null || :",
            format!("build {package} -k {} --cache-dir disk/cache", kernel()),
        )
        .exits(4)
        .says("no space left")
        .says("hint: make room");
}

/// Damages something in the cache after a build; the next builds again and says so, the
/// one after that does neither.
fn heals(damage: impl Fn(&World, &serde_json::Value)) {
    let world = World::new();
    let package = world.package("fragile", "");
    let run = world.build(&package, "--json").exits(0);
    damage(&world, &run.cell("fragile"));
    let run = world.build(&package, "").exits(0).says("1 built");
    let report = "in the cache was damaged; it is built again";
    assert_eq!(run.err.matches(report).count(), 1, "{run}");
    world
        .build(&package, "")
        .exits(0)
        .says("1 from the cache")
        .never_says("damaged");
}

/// Overwrites a file of the cache, which are read-only.
fn overwrite(path: &Path, content: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn a_changed_object_is_built_again() {
    heals(|_, cell| {
        let object = cell["outputs"][0]["object"].as_str().unwrap();
        let mut content = fs::read(object).unwrap();
        content[100] ^= 1;
        overwrite(Path::new(object), &content);
    });
}

#[test]
fn a_truncated_record_is_built_again() {
    heals(|world, cell| {
        let key = cell["key"].as_str().unwrap();
        let record = world.cache().join("actions").join(&key[..2]).join(key);
        let content = fs::read(&record).unwrap();
        overwrite(&record, &content[..content.len() / 2]);
    });
}

#[test]
fn a_lost_object_is_built_again() {
    let world = World::new();
    let package = world.package("fragile", "");
    let run = world.build(&package, "--json").exits(0);
    let object = run.cell("fragile")["outputs"][0]["object"].clone();
    fs::remove_file(object.as_str().unwrap()).unwrap();
    world
        .build(&package, "--explain")
        .exits(0)
        .says("its result is gone from the cache")
        .says("1 built");
    world.build(&package, "").exits(0).says("1 from the cache");
}

#[test]
fn verify_finds_and_repairs_damage() {
    let world = World::new();
    let package = world.package("fragile", "");
    let run = world.build(&package, "--json").exits(0);
    world.kiln("cache verify").exits(0).says("all good");
    let cell = run.cell("fragile");
    let object = cell["outputs"][0]["object"].as_str().unwrap();
    overwrite(Path::new(object), b"something else");
    world
        .kiln("cache verify")
        .exits(4)
        .says(&format!(
            "damaged object {}",
            cell["outputs"][0]["digest"].as_str().unwrap()
        ))
        .says("--repair");
    world
        .kiln("cache verify --repair")
        .exits(0)
        .says("repaired");
    world.kiln("cache verify").exits(0).says("all good");
    world.build(&package, "").exits(0).says("1 built");
}

#[test]
fn path_and_stats() {
    let world = World::new();
    let package = world.package("counted", "");
    world
        .kiln("cache path")
        .exits(0)
        .says(world.cache().to_str().unwrap());
    world.kiln("cache stats").exits(4).says("there is no cache");
    world.build(&package, "").exits(0);
    let stats = world.kiln("cache stats --json").exits(0).events().remove(0);
    assert_eq!(stats["records"]["job"]["successes"], 1);
    assert_eq!(stats["records"]["conf"]["successes"], 1);
    assert_eq!(stats["damaged"], 0);
    world.kiln("cache stats").exits(0).says("1 successes");
}

#[test]
fn gc_makes_room_and_costs_only_a_rebuild() {
    let world = World::new();
    let package = world.package("old", "");
    world.build(&package, "").exits(0);
    world
        .kiln("cache gc --max-size 10G")
        .exits(0)
        .says("removed 0 records and 0 objects");
    world
        .kiln("cache gc --max-size 0")
        .exits(0)
        .says("removed 4 records");
    world.kiln("cache verify").exits(0).says("all good");
    world.build(&package, "").exits(0).says("1 built");
    world.kiln("cache gc --max-size ten").exits(2);
}

#[test]
fn a_disk_without_room_for_the_index_ends_no_run() {
    for (size, fill) in [("1m", 0), ("40m", 39)] {
        let world = World::new();
        let package = world.package("hello", "");
        let script = format!(
            "mkdir \"$WORLD/disk\"; mount -t tmpfs -o size={size},mode=755 tmpfs \"$WORLD/disk\"
             head -c {fill}M /dev/zero > \"$WORLD/disk/full\""
        );
        let line = format!("build {package} -k {} --cache-dir disk/cache", kernel());
        let run = world.on_machine(&script, line);
        assert!(matches!(run.code, Some(0 | 3 | 4)), "{run}");
    }
}
