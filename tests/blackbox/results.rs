//! What a build leaves and prints: files, JSON, and the same bytes however it is run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    machine::{self, kernel, other_kernel},
    world::World,
};

/// Files below a directory, by their paths in it.
fn listing(directory: &Path) -> Vec<PathBuf> {
    fn walk(root: &Path, directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(directory, directory, &mut found);
    found.sort();
    found
}

#[test]
fn results_are_laid_out_by_kernel_architecture_and_package() {
    let world = World::new();
    let package = world.compiled_package("laid", machine::HELLO_C, "");
    let (kernel, other, arch) = (kernel(), other_kernel(), machine::arch());
    let line = format!("build {package} -k {kernel} -k {other} -o out");
    world.kiln(&line).exits(0).says("results in out");
    let expected: Vec<PathBuf> = [kernel, other]
        .iter()
        .flat_map(|kernel| {
            ["Module.symvers", "laid.ko", "make.log"]
                .map(|name| PathBuf::from(format!("{kernel}/{arch}/laid/1.0/{name}")))
        })
        .collect();
    let out = world.path("out");
    assert_eq!(listing(&out), expected);
    let log = fs::read_to_string(out.join(format!("{kernel}/{arch}/laid/1.0/make.log"))).unwrap();
    assert!(log.contains(&format!("for kernel {kernel}")));

    fs::remove_dir_all(&out).unwrap();
    world.kiln(&line).exits(0).says("2 from the cache");
    assert_eq!(listing(&out), expected);
    let module = out.join(&expected[1]);
    fs::write(&module, "overwritten").unwrap();
    world.kiln(&line).exits(0);
    assert_ne!(fs::read(&module).unwrap(), b"overwritten");
}

#[test]
fn results_do_not_go_into_the_source_that_they_are_of() {
    let world = World::new();
    let folder = format!("{}/{}/own/1.0", kernel(), machine::arch());
    let package = world.package_at(&folder, "own", "1.0", "");
    let module = world.write(Path::new(&folder).join("own.ko"), "mine");
    let run = world.kiln(format!("build {package} -k {} -o .", kernel()));
    run.says("it is the source of the package");
    assert_eq!(fs::read(module).unwrap(), b"mine");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let world = World::new();
    let package = world.package("any", "");
    world.write("out", "a file");
    world
        .build(&package, "-o out")
        .exits(1)
        .says("cannot write");
}

#[test]
fn without_a_place_the_results_are_named() {
    let world = World::new();
    let package = world.package("named", "");
    let place = format!("{}/{}/named/1.0/named.ko  ", kernel(), machine::arch());
    let run = world.build(&package, "").exits(0).says(&place);
    let line = run.out.lines().find(|line| line.starts_with(&place));
    let object = line.unwrap().strip_prefix(&place).unwrap();
    assert!(Path::new(object).starts_with(world.cache()));
    assert!(fs::read(object).unwrap().starts_with(b"\x7fELF"));
}

#[test]
fn quiet_prints_only_errors() {
    let world = World::new();
    let good = world.package("good", "");
    let run = world.build(&good, "-q").exits(0);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""));
    let bad = world.package("bad", "MAKE[0]=false");
    let run = world.build(&bad, "-q").exits(1);
    assert_eq!(run.out, "");
    assert!(run.err.contains("failed bad/1.0"));
}

#[test]
fn json_tells_the_whole_story() {
    let world = World::new();
    let good = world.package("good", "");
    let bad = world.package("bad", "MAKE[0]='echo error: no; false'");
    let run = world
        .build(&format!("{good} {bad}"), "--json -o out")
        .exits(1);
    let kinds: Vec<String> = run
        .events()
        .iter()
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds.first().unwrap(), "start");
    for (kind, count) in [("started", 2), ("finished", 2), ("summary", 1)] {
        assert_eq!(kinds.iter().filter(|k| *k == kind).count(), count, "{run}");
    }
    let summary = run.summary();
    assert_eq!(summary["exit"], 1);
    assert_eq!(
        (&summary["built"], &summary["failed"]),
        (&1.into(), &1.into())
    );
    let cell = run.cell("good");
    assert_eq!(cell["kernel"], kernel());
    assert_eq!(cell["arch"], machine::arch());
    assert_eq!(cell["outputs"][0]["path"], "good.ko");
    let file = world.path(cell["outputs"][0]["file"].as_str().unwrap());
    assert_eq!(
        fs::metadata(file).unwrap().len(),
        cell["outputs"][0]["bytes"].as_u64().unwrap()
    );
    assert!(cell["cost"]["peak_memory_bytes"].as_u64().unwrap() > 0);
    let cell = run.cell("bad");
    assert_eq!(cell["first_error"]["message"], "error: no");
    assert!(cell["log"].is_string());
}

/// The digest of the package's module, built with these further arguments.
fn digest(world: &World, package: &str, more: &str) -> String {
    let run = world.build(package, &format!("--json {more}")).exits(0);
    let cell = run.cell("same");
    assert_eq!(cell["result"], "built");
    cell["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|output| output["path"] == "same.ko")
        .unwrap()["digest"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn numbers_of_jobs_and_places_leave_no_trace() {
    let world = World::new();
    let source = machine::placed_c();
    let package = world.compiled_package("same", &source, "");
    let first = digest(&world, &package, "-j 1 --cache-dir one");
    let again = World::new();
    let package = again.compiled_package("same", &source, "");
    assert_eq!(digest(&again, &package, "-j 8 --cache-dir two"), first);
}

#[test]
fn usage_errors() {
    let world = World::new();
    for line in [
        "build --no-such-option",
        "build -j 0 x",
        "",
        "frobnicate",
        "build --all x",
        "build x --color sometimes",
    ] {
        world.kiln(line).exits(2).says("--help");
    }
    world.kiln("--version").exits(0).says("kiln ");
    world
        .kiln("--help")
        .exits(0)
        .says("Exit codes: 0 all built");
}
