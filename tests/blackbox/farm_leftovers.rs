//! What a farm has put out before and does not make any more, and what it is signed with.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::{
    farm_manifest::{Manifest, module},
    farm_outputs::{said, tree},
    machine::{arch, kernel, other_kernel},
    world::World,
};

const FORMS: &str = "[outputs]\ndirectory = \"out\"\nformats = [\"modules\", \"deb\", \"dkms-tarball\"]\n\
    provenance = [\"spdx\"]\n";

/// The files of the farm's folder.
fn files(world: &World) -> BTreeSet<String> {
    tree(&world.path("out"))
        .into_keys()
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

/// The files that have sums.
fn summed(world: &World) -> BTreeSet<String> {
    let out = world.path("out");
    said(
        "sha256sum",
        &["--check", "--strict", "--quiet", "SHA256SUMS"],
        &out,
    );
    let sums = fs::read_to_string(out.join("SHA256SUMS")).unwrap();
    let names = sums
        .lines()
        .map(|line| line.split_once("  ").unwrap().1.to_owned());
    names.collect()
}

/// Asserts that what is there is what has sums, and gives it.
#[track_caller]
fn all_summed(world: &World) -> BTreeSet<String> {
    let mut there = files(world);
    assert!(there.remove("SHA256SUMS"));
    assert_eq!(there, summed(world));
    there
}

#[test]
fn what_the_manifest_no_longer_makes_goes() {
    let world = World::new();
    for name in ["one", "two"] {
        world.package(name, "");
    }
    let both = [kernel(), other_kernel()];
    let write = |packages: &[&str], kernels: &[&str], more: &str| {
        Manifest::new(packages, kernels).more(more).write(&world);
    };
    write(&["one", "two"], &both, FORMS);
    world.kiln("farm run").exits(0).says("4 built");
    let whole = all_summed(&world);
    assert_eq!(whole.len(), 4 * 5, "{whole:?}");

    let rule = "[[matrix.exclude]]\npackage = \"two\"\nkernel = ";
    write(
        &["one", "two"],
        &both,
        &format!("{FORMS}{rule}\"{}\"\n", kernel()),
    );
    let run = world.kiln("farm run").exits(0);
    run.says("removed from")
        .says("what the manifest no longer makes");
    let left = all_summed(&world);
    let of_pair = |path: &String| path.contains("two") && path.contains(kernel());
    assert_eq!(
        left,
        whole
            .iter()
            .filter(|path| !of_pair(path))
            .cloned()
            .collect()
    );
    assert!(
        !world
            .path("out")
            .join(kernel())
            .join(arch())
            .join("two")
            .exists()
    );
    world.kiln("farm run").exits(0).never_says("removed from");

    // A kernel is dropped, and a form.
    write(&["one", "two"], &[kernel()], FORMS);
    world.kiln("farm run").exits(0);
    assert!(
        all_summed(&world)
            .iter()
            .all(|path| path.contains(kernel()))
    );
    write(&["one"], &[kernel()], "[outputs]\ndirectory = \"out\"\n");
    world.kiln("farm run").exits(0);
    let place = module(kernel(), "one/1.0", "one");
    let log = place.with_file_name("make.log");
    let expected = [log, place].map(|path| path.to_str().unwrap().to_owned());
    assert_eq!(all_summed(&world), BTreeSet::from(expected));
    write(
        &["one"],
        &[kernel()],
        "[outputs]\ndirectory = \"out\"\nchecksums = false\n",
    );
    world.kiln("farm run").exits(0);
    assert!(!world.path("out/SHA256SUMS").exists());
}

#[test]
fn what_kiln_did_not_put_there_stays_without_a_sum() {
    let world = World::new();
    for name in ["one", "two"] {
        world.package(name, "");
    }
    world.write("out/README", "mine\n");
    let write = |packages: &[&str]| {
        Manifest::new(packages, &[kernel()])
            .outputs("out")
            .write(&world);
    };
    write(&["one", "two"]);
    let run = world.kiln("farm run").exits(0);
    run.says("has files that this farm has not put there: README");
    let place = world.path("out").join(module(kernel(), "two/1.0", "two"));
    fs::write(&place, "mine too").unwrap();
    write(&["one"]);
    world.kiln("farm run").exits(0).says("they were changed in");
    assert_eq!(fs::read(&place).unwrap(), b"mine too");
    assert!(world.path("out/README").exists());
    assert!(summed(&world).iter().all(|path| path.contains("one")));
}

#[test]
fn what_has_the_name_of_an_output_and_is_of_no_farm_is_kept_under_another() {
    let world = World::new();
    for name in ["one", "two"] {
        world.package(name, "");
    }
    let place = module(kernel(), "one/1.0", "one");
    let place = format!("out/{}", place.to_str().unwrap());
    let log = place.replace("one.ko", "make.log");
    let deb = {
        Manifest::new(&["one"], &[kernel()])
            .more(FORMS)
            .write(&world);
        world.kiln("farm run").exits(0);
        let files = files(&world);
        let deb = files.iter().find(|file| file.ends_with(".deb")).unwrap();
        format!("out/{deb}")
    };
    fs::remove_dir_all(world.path("out")).unwrap();
    let mine = ["out/SHA256SUMS", &place, &log, &deb];
    for path in mine {
        world.write(path, format!("my own {path}\n"));
    }
    let run = world.kiln("farm run").exits(0);
    run.says("that no farm has put there; they are kept as");
    for path in mine {
        let kept = fs::read_to_string(world.path(format!("{path}.~1~"))).unwrap();
        assert_eq!(kept, format!("my own {path}\n"));
    }
    assert!(!summed(&world).iter().any(|path| path.contains('~')));

    // What came between two runs, too.
    let other = place.replace("one", "two");
    world.write(&other, "mine\n");
    Manifest::new(&["one", "two"], &[kernel()])
        .more(FORMS)
        .write(&world);
    world.kiln("farm run").exits(0).says("two.ko.~1~");
    let kept = fs::read_to_string(world.path(format!("{other}.~1~"))).unwrap();
    assert_eq!(kept, "mine\n");
    world.kiln("farm run").exits(0).never_says("~");
}

#[test]
fn pipes_in_the_place_of_files_are_waited_for_by_nobody() {
    let world = World::new();
    world.package("one", "");
    Manifest::new(&["one"], &[kernel()])
        .outputs("out")
        .write(&world);
    fs::create_dir(world.path("out")).unwrap();
    for name in ["out/.kiln-outputs", "out/SHA256SUMS", "pipe.toml"] {
        said("mkfifo", &[name], &world.path(""));
    }
    for name in ["out/SHA256SUMS", "out/.kiln-outputs"] {
        let said = format!("cannot write {name}: there is something that is no file");
        world.kiln("farm run").exits(1).says(&said);
        fs::remove_file(world.path(name)).unwrap();
    }
    world.kiln("farm run").exits(0);
    assert_eq!(summed(&world).len(), 2);
    world
        .kiln("farm run pipe.toml")
        .exits(2)
        .says("it is a pipe, not a file");
    fs::create_dir(world.path("settings")).unwrap();
    said("mkfifo", &["settings/config.toml"], &world.path(""));
    world
        .kiln("config check settings/config.toml")
        .exits(2)
        .says("it is a pipe, not a file");
}

#[test]
fn what_fails_today_keeps_its_file_and_loses_its_sum() {
    let world = World::new();
    for name in ["one", "two"] {
        world.package(name, "");
    }
    Manifest::new(&["one", "two"], &[kernel()])
        .outputs("out")
        .write(&world);
    world.kiln("farm run").exits(0);
    world.package("two", "MAKE[0]=false");
    world.kiln("farm run").exits(1);
    assert!(
        world
            .path("out")
            .join(module(kernel(), "two/1.0", "two"))
            .exists()
    );
    assert!(summed(&world).iter().all(|path| path.contains("one")));
}

#[test]
fn a_shard_takes_nothing_of_another() {
    let world = World::new();
    let names = ["aa", "bb", "cc", "dd"];
    for name in names {
        world.package(name, "");
    }
    let write = |packages: &[&str]| {
        Manifest::new(packages, &[kernel()])
            .outputs("out")
            .write(&world);
    };
    write(&names);
    for shard in ["1/2", "2/2"] {
        world.kiln(format!("farm run --shard {shard}")).exits(0);
    }
    let modules = |world: &World| {
        let files = files(world).into_iter();
        files.filter(|path| path.ends_with(".ko")).count()
    };
    assert_eq!(modules(&world), 4);
    write(&names[..2]);
    for shard in ["1/2", "2/2"] {
        world.kiln(format!("farm run --shard {shard}")).exits(0);
    }
    assert_eq!(modules(&world), 2);
    // A whole run makes all of it, and the sums of shards are no more.
    world.kiln("farm run").exits(0);
    all_summed(&world);
}

/// A key and a certificate by the names that the manifest gives.
fn new_key(world: &World, name: &str) {
    let subject = format!("/CN={name}");
    let mut words = vec![
        "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
    ];
    words.extend(["-subj", &subject, "-keyout", "key.pem", "-out", "cert.pem"]);
    said("openssl", &words, &world.path(""));
}

#[test]
fn a_new_key_signs_what_the_old_one_has_signed() {
    let world = World::new();
    world.package("one", "");
    new_key(&world, "old");
    Manifest::new(&["one"], &[kernel()])
        .outputs("out")
        .more("[outputs.signing]\nkey = \"key.pem\"\ncertificate = \"cert.pem\"\n")
        .write(&world);
    world.kiln("farm run").exits(0);
    let path: PathBuf = world.path("out").join(module(kernel(), "one/1.0", "one"));
    let old = fs::read(&path).unwrap();
    new_key(&world, "new");
    world.kiln("farm run").exits(0).says("1 from the cache");
    let new = fs::read(&path).unwrap();
    assert_ne!(old, new, "signed with the old key");
    world.kiln("farm run -o fresh").exits(0);
    let fresh = world.path("fresh").join(module(kernel(), "one/1.0", "one"));
    assert_eq!(fs::read(fresh).unwrap(), new);
    assert!(Path::new(&world.path("out/SHA256SUMS")).exists());
}

#[test]
fn what_was_damaged_with_its_size_and_time_kept_is_made_again() {
    let world = World::new();
    world.package("one", "");
    new_key(&world, "signer");
    let signing = "[outputs.signing]\nkey = \"key.pem\"\ncertificate = \"cert.pem\"\n";
    Manifest::new(&["one"], &[kernel()])
        .more(&format!("{FORMS}{signing}"))
        .write(&world);
    world.kiln("farm run").exits(0);
    let out = world.path("out");
    let contents = || -> BTreeMap<PathBuf, Vec<u8>> {
        let files = tree(&out).into_iter();
        files.map(|(path, (_, bytes))| (path, bytes)).collect()
    };
    let whole = contents();
    assert_eq!(whole.len(), 6, "{:?}", whole.keys());
    for path in whole.keys() {
        let path = out.join(path);
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
    }
    assert!(contents().iter().all(|(path, bytes)| whole[path] != *bytes));
    world.kiln("farm run").exits(0).says("1 from the cache");
    let now = contents();
    let other: Vec<_> = whole
        .iter()
        .filter(|(path, bytes)| now.get(*path) != Some(bytes))
        .collect();
    assert!(
        other.is_empty(),
        "{:?}",
        other.iter().map(|(path, _)| path).collect::<Vec<_>>()
    );
    all_summed(&world);
}
