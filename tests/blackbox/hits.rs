//! What is in the cache is not built again, and nothing is started to find out.

use std::{fs, process::Command};

use super::{
    machine::{kernel, other_kernel},
    run::Run,
    world::{KILN, World},
};

#[test]
fn the_second_run_starts_no_program() {
    let world = World::new();
    let package = world.package("quiet", "");
    let build = format!("build {package} -k {} -k {}", kernel(), other_kernel());
    world.kiln(&build).exits(0).says("2 built");
    let trace = world.path("trace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-e", "trace=execve", "-o"])
        .arg(&trace)
        .arg(KILN)
        .args(build.split_whitespace())
        .env("KILN_CACHE", world.cache());
    Run::of(&mut command).exits(0).says("2 from the cache");
    let trace = fs::read_to_string(trace).unwrap();
    assert_eq!(trace.matches("execve(").count(), 1, "{trace}");
}

#[test]
fn another_place_is_a_hit() {
    let world = World::new();
    let first = world.package("moved", "");
    world.build(&first, "").exits(0).says("built moved/1.0");
    let second = world.package_at("elsewhere/deep", "moved", "1.0", "");
    world.build(&second, "").exits(0).says("1 from the cache");
}

#[test]
fn a_touched_file_is_a_hit_and_a_changed_one_is_not() {
    let world = World::new();
    let package = world.package("touched", "");
    let note = world.write("touched/note", "same\n");
    world.build(&package, "").exits(0).says("1 built");
    fs::write(&note, "same\n").unwrap();
    world.build(&package, "").exits(0).says("1 from the cache");
    fs::write(&note, "else\n").unwrap();
    world.build(&package, "").exits(0).says("1 built");
    fs::write(&note, "same\n").unwrap();
    world.build(&package, "").exits(0).says("1 from the cache");
}

#[test]
fn no_cache_builds_anew() {
    let world = World::new();
    let package = world.package("anew", "");
    world.build(&package, "").exits(0).says("1 built");
    world
        .build(&package, "--no-cache")
        .exits(0)
        .says("1 built")
        .never_says("from the cache");
    world.build(&package, "").exits(0).says("1 from the cache");
}

#[test]
fn a_lost_index_costs_no_rebuild() {
    let world = World::new();
    let package = world.package("robust", "");
    world.build(&package, "").exits(0).says("1 built");
    fs::remove_dir_all(world.cache().join("index")).unwrap();
    world.build(&package, "").exits(0).says("1 from the cache");
}

#[test]
fn two_runs_at_once_build_once() {
    let world = World::new();
    let package = world.package("shared", "MAKE[0]='sleep 2; '\"${MAKE[0]}\"");
    let line = format!("build {package} -k {} --json", kernel());
    let first = world.start(&line);
    let second = world.start(&line);
    let mut results: Vec<String> = [first, second]
        .map(|run| run.finish().exits(0).cell("shared"))
        .map(|cell| cell["result"].as_str().unwrap().to_owned())
        .into();
    results.sort();
    assert_eq!(results, ["built", "hit"]);
}

#[test]
fn two_runs_at_once_of_different_packages() {
    let world = World::new();
    let first = world.package("first", "MAKE[0]='sleep 1; '\"${MAKE[0]}\"");
    let second = world.package("second", "MAKE[0]='sleep 1; '\"${MAKE[0]}\"");
    let first = world.start(format!("build {first} -k {} --json", kernel()));
    let second = world.start(format!("build {second} -k {} --json", kernel()));
    assert_eq!(first.finish().exits(0).summary()["built"], 1);
    assert_eq!(second.finish().exits(0).summary()["built"], 1);
}
