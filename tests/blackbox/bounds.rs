//! What a package may use up, in its dkms.conf or in its build. Who meets a limit has no outcome.

use std::{fs, path::PathBuf};

use super::{
    cache::files,
    environment::WITHOUT_BUBBLEWRAP,
    machine::{arch, kernel, processes},
    run::Run,
    shared_hostile::{MEMORY, measured},
    world::World,
};

/// A package whose PRE_BUILD is this script.
fn package(world: &World, name: &str, script: &str) -> String {
    let package = world.package(name, "PRE_BUILD=use.sh");
    world.write_script(
        format!("{name}/use.sh"),
        &format!("#!/bin/bash\n{script}\n"),
    );
    package
}

/// Builds under a limit.
fn bounded(world: &World, package: &str, variable: &str, limit: &str) -> Run {
    let line = format!("build {package} -k {}", kernel());
    Run::of(world.command(line).env(variable, limit))
}

/// Asserts that the limit is said and nothing is kept, and that without the limit the package builds.
#[track_caller]
fn is_void(world: &World, package: &str, run: Run, says: &str) {
    run.exits(1).says(says);
    let stats = world.kiln("cache stats --json").exits(0).events();
    assert!(stats[0]["records"]["job"].is_null(), "{:?}", stats[0]);
    world.build(package, "").exits(0).says("built ");
}

#[test]
fn more_processes_than_allowed() {
    let world = World::new();
    let token = world.token();
    let script = format!("for i in {{1..200}}; do sleep {token} & done; kill %{{1..200}}; wait");
    let package = package(&world, "many", &script);
    let run = bounded(&world, &package, "KILN_LIMIT_PROCESSES", "64");
    assert_eq!(processes(&token), Vec::<u32>::new());
    is_void(&world, &package, run, "limits.processes does not allow");
}

#[test]
fn more_processes_than_allowed_without_bubblewrap() {
    let world = World::new();
    let token = world.token();
    let script = format!("for i in {{1..200}}; do setsid sleep {token} & done");
    let package = package(&world, "many", &script);
    let line = format!("build {package} -k {}", kernel());
    let setting = format!("export KILN_LIMIT_PROCESSES=64\n{WITHOUT_BUBBLEWRAP}");
    world
        .on_machine(&setting, line)
        .exits(1)
        .says("limits.processes does not allow");
    assert_eq!(processes(&token), Vec::<u32>::new());
}

#[test]
fn more_memory_than_allowed() {
    let world = World::new();
    let script = "perl -e '$x = \"x\" x (400 << 20); sleep 2' &\nwait";
    let package = package(&world, "large", script);
    let run = bounded(&world, &package, "KILN_LIMIT_MEMORY", "256M");
    is_void(&world, &package, run, "limits.memory does not allow");
}

#[test]
fn more_memory_than_allowed_in_a_conf() {
    let world = World::new();
    let package = world.package("large", "X=$(perl -e '$x = \"x\" x (400 << 20); sleep 2')");
    bounded(&world, &package, "KILN_LIMIT_MEMORY", "256M")
        .exits(1)
        .says("limits.memory does not allow");
    world.build(&package, "").exits(0);
}

#[test]
fn more_to_print_than_allowed() {
    let world = World::new();
    let package = package(&world, "loud", "yes | head -c 4M");
    let run = bounded(&world, &package, "KILN_LIMIT_LOG", "1M");
    is_void(&world, &package, run, "stopped after printing 1 MiB");
}

#[test]
fn larger_results_than_allowed() {
    let world = World::new();
    // What is added to a module is no part of it.
    let growing = |size: &str| {
        let more = format!("STRIP=no\nMAKE[0]+='; truncate -s {size} wide.ko'");
        world.package("wide", &more)
    };
    let package = growing("400G");
    world
        .build(&package, "")
        .exits(1)
        .says("more results than limits.results allows (2048 MiB");
    let package = growing("3M");
    let run = bounded(&world, &package, "KILN_LIMIT_RESULTS", "2M");
    is_void(&world, &package, run, "limits.results allows (2 MiB");
}

#[test]
fn results_in_more_files_than_allowed() {
    let world = World::new();
    let beside = format!("/var/lib/dkms/wide/1.0/{}/{}", kernel(), arch());
    let many = format!("#!/bin/bash\nmkdir -p {beside}; cd {beside}\n");
    let package = world.package("wide", "POST_BUILD=many.sh");
    world.write_script("wide/many.sh", &format!("{many}touch {{1..10100}}\n"));
    world
        .build(&package, "")
        .exits(1)
        .says("more results than limits.results allows");
    let deep = "for i in {1..80}; do mkdir d; cd d; done\n";
    world.write_script("wide/many.sh", &format!("{many}{deep}"));
    world
        .build(&package, "")
        .exits(1)
        .says("more results than limits.results allows");
}

#[test]
fn phases_without_end() {
    let world = World::new();
    let script = "yes \"$(printf 'x%.0s' {1..200})\" | head -n 1000000 >&$KILN_PHASE_FD";
    let package = package(&world, "busy", script);
    let report = world.path("report");
    let line = format!(
        "build {package} -k {} --report {}",
        kernel(),
        report.display()
    );
    let (run, peak) = measured(&world.command(line));
    let run = run.exits(0);
    assert!(peak < MEMORY, "{peak} KiB: {run}");
    let report = fs::read_to_string(world.path("report/report.json")).unwrap();
    assert!(report.len() < 100 << 10, "{} bytes", report.len());
    assert!(
        report.contains("more phases than are told apart"),
        "{report}"
    );
    let page = fs::metadata(world.path("report/index.html")).unwrap();
    assert!(page.len() < 200 << 10, "{} bytes", page.len());
}

#[test]
fn a_source_file_that_is_larger_than_any() {
    let world = World::new();
    let package = world.package("vast", "");
    let file = fs::File::create(world.path("vast/sparse")).unwrap();
    file.set_len(300 << 30).unwrap();
    world
        .build(&package, "")
        .exits(1)
        .says("vast/sparse has more than 2 GiB");
}

#[test]
fn a_large_file_of_a_source_is_not_in_memory() {
    let world = World::new();
    let package = world.package("vast", "");
    let file = fs::File::create(world.path("vast/sparse")).unwrap();
    file.set_len(500 << 20).unwrap();
    let line = format!("build {package} -k {}", kernel());
    let (run, peak) = measured(&world.command(line));
    let run = run.exits(0);
    assert!(peak < MEMORY, "{peak} KiB: {run}");
}

#[test]
fn an_index_that_is_larger_than_any() {
    let world = World::new();
    let package = world.package("any", "");
    world.build(&package, "").exits(0).says("built ");
    let index = world.cache().join("index");
    for kind in ["conf", "db", "snap."] {
        let is_it = |file: &&PathBuf| {
            let name = file.strip_prefix(&index).unwrap().to_str().unwrap();
            name.starts_with(kind)
        };
        let file = files(&index).iter().find(is_it).unwrap().clone();
        let opened = fs::File::options().write(true).open(&file).unwrap();
        opened.set_len(2 << 30).unwrap();
        let line = format!("build {package} -k {} --json", kernel());
        let (run, peak) = measured(&world.command(line));
        let run = run.exits(0);
        assert_eq!(run.cell("any")["result"], "hit", "{run}");
        assert!(peak < MEMORY, "{}: {peak} KiB: {run}", file.display());
    }
}

#[test]
fn what_a_build_writes_is_on_a_disk() {
    let world = World::new();
    // A file in memory is taken from everybody.
    let script = "disk=$(stat -c %d /tmp)\n\
        for place in / /run /var/tmp /dev/shm /var/lib/dkms /root; do\n\
            mkdir -p $place 2> /dev/null\n\
            if echo x 2> /dev/null > $place/x; then\n\
                [ $(stat -c %d $place/x) = $disk ] || { echo \"$place is in memory\"; exit 1; }\n\
            fi\n\
        done\n\
        ! { echo x > /dev/x; } 2> /dev/null || exit 1\n\
        [ $(cat /proc/self/oom_score_adj) = 1000 ]";
    let package = package(&world, "writer", script);
    world.build(&package, "").exits(0);
}

#[test]
fn an_ordinary_user_has_the_same_limits() {
    let world = World::new();
    let token = world.token();
    let settings = "[limits]\nprocesses = 64\nmemory = '256M'\nresults = '1M'\nlog = '1M'\n";
    world.write("home/.config/kiln/config.toml", settings);
    let bomb = format!("for i in {{1..200}}; do setsid sleep {token} & done");
    for (name, script, said) in [
        ("many", bomb.as_str(), "limits.processes does not allow"),
        (
            "large",
            "perl -e '$x = \"x\" x (400 << 20); sleep 2' &\nwait",
            "limits.memory does not allow",
        ),
        ("loud", "yes | head -c 4M", "stopped after printing 1 MiB"),
    ] {
        let package = package(&world, name, script);
        let line = format!("build {package} -k {}", kernel());
        world.kiln_as_user(line).exits(1).says(said);
    }
    let package = world.package("wide", "STRIP=no\nMAKE[0]+='; truncate -s 2M wide.ko'");
    let line = format!("build {package} -k {}", kernel());
    world
        .kiln_as_user(line)
        .exits(1)
        .says("limits.results allows");
    assert_eq!(processes(&token), Vec::<u32>::new());
}

#[test]
fn what_a_build_leaves_is_removed_however_deep_it_is() {
    let world = World::new();
    let package = world.package("deep", "PRE_BUILD=dig.pl");
    let dig = "#!/usr/bin/perl\nfor my $place ('.', $ENV{TMPDIR} || '/tmp') {\n\
        chdir $place or die; for (1 .. 5000) { mkdir 'd' or die; chdir 'd' or die }\n\
        mkdir 'closed' or die; open my $file, '>', 'closed/x' or die; chmod 0, 'closed'; }\n";
    world.write_script("deep/dig.pl", dig);
    world.build(&package, "").exits(0).says("built deep/1.0");
    let line = format!("build {package} -k {} --no-cache", kernel());
    world.on_machine(WITHOUT_BUBBLEWRAP, &line).exits(0);
    world.kiln_as_user(&line).exits(0);
    for cache in ["cache", "home/kiln"] {
        let left = std::fs::read_dir(world.path(cache).join("tmp")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        let runs = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("kiln-run-");
        assert!(!left.iter().any(runs), "{left:?}");
    }
}

#[test]
fn what_processes_share_counts_once() {
    let world = World::new();
    let script = "perl -e '$x = \"x\" x (60 << 20); for (1 .. 8) { fork or do { sleep 2; exit } } 1 while wait > 0'";
    let package = package(&world, "shared", script);
    bounded(&world, &package, "KILN_LIMIT_MEMORY", "256M").exits(0);
}
