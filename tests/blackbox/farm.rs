//! `kiln farm`: a manifest's packages for its kernels, planned, built, interrupted, taken up again.

use std::fs;

use rustix::process::Signal;

use super::{
    farm_manifest::{Manifest, module},
    machine::{self, kernel, other_kernel, processes},
    run::wait_until,
    world::World,
};

#[test]
fn the_example_of_the_documentation_is_built() {
    let world = World::new();
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/farm.md")).unwrap();
    let example = text.split("```toml\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    // The example's names, as they are on this machine.
    let example = example
        .replace("6.1.0-56-amd64", kernel())
        .replace("6.1.0-55-*", other_kernel())
        .replace("6.1.*", "*");
    let headers = example.find("[[kernels]]\nname = \"trixie\"").unwrap();
    let end = headers + example[headers..].find("\n[[matrix").unwrap();
    let example = format!("{}{}", &example[..headers], &example[end..]);
    world.write("farm/farm.toml", example);
    world.package_at("farm/drivers/hello", "hello", "1.0", "");
    world.package_at("farm/drivers/world", "world", "2.0", "");
    world.package_at("farm/drivers/old", "old", "0.9", "");
    fs::create_dir_all(world.path("farm/debs")).unwrap();
    let tar = std::process::Command::new("tar")
        .args(["-C", world.path("farm/drivers").to_str().unwrap()])
        .args(["-cf", world.path("farm/debs/world.tar").to_str().unwrap()])
        .arg("world")
        .status()
        .unwrap();
    assert!(tar.success());
    fs::remove_dir_all(world.path("farm/drivers/world")).unwrap();
    let run = world.kiln("farm run farm/farm.toml --json").exits(0);
    assert_eq!(run.summary()["built"], 3, "{run}");
    assert_eq!(run.cell("hello")["result"], "built", "{run}");
    assert_eq!(run.cell("old")["result"], "excluded", "{run}");
    assert!(!run.out.contains("warning"), "{run}");
    assert!(world.path("farm/out").join(kernel()).exists());
    world
        .kiln("farm plan farm/farm.toml")
        .exits(0)
        .says("3 from the cache, 3 excluded");
}

#[test]
fn results_are_those_of_kiln_build() {
    let world = World::new();
    let package = world.compiled_package("alike", machine::HELLO_C, "");
    let (one, other) = (kernel(), other_kernel());
    world
        .kiln(format!("build {package} -k {one} -k {other} -o built"))
        .exits(0);
    Manifest::new(&["alike"], &[one, other])
        .outputs("farmed")
        .write(&world);
    world
        .kiln(format!(
            "farm run --cache-dir {}",
            world.path("cold").display()
        ))
        .exits(0)
        .says("2 built")
        .says("results in farmed");
    for kernel in [one, other] {
        let place = module(kernel, "alike/1.0", "alike");
        let built = fs::read(world.path("built").join(&place)).unwrap();
        assert_eq!(built, fs::read(world.path("farmed").join(&place)).unwrap());
    }
}

#[test]
fn relative_paths_start_at_the_manifest() {
    let world = World::new();
    world.package_at("below/drivers/near", "near", "1.0", "");
    world.write(
        "below/farm.toml",
        format!(
            "packages = [\"drivers/*\"]\nkernels = [{:?}]\n[outputs]\ndirectory = \"out\"\n",
            kernel()
        ),
    );
    world
        .kiln("farm run below/farm.toml")
        .exits(0)
        .says("results in below/out");
    let place = module(kernel(), "near/1.0", "near");
    assert!(world.path("below/out").join(place).exists());
}

#[test]
fn the_command_line_overrules_the_manifest() {
    let world = World::new();
    let slow = world.package("slow", "MAKE[0]='sleep 60'");
    Manifest::new(&[&slow], &[kernel()])
        .outputs("theirs")
        .more("[build]\ntimeout = 100\njobs = 7\n")
        .write(&world);
    let run = world
        .kiln("farm run --timeout 1 -j 3 --json")
        .exits(1)
        .says("--timeout gives it more time");
    let start = run.events().into_iter().find(|e| e["event"] == "start");
    assert_eq!(start.unwrap()["cores"], 3);
    world.package("slow", "");
    world
        .kiln("farm run -o mine")
        .exits(0)
        .says("results in mine");
    assert!(world.path("mine").exists() && !world.path("theirs").exists());
}

#[test]
fn the_manifest_limits_the_time_of_a_job() {
    let world = World::new();
    let slow = world.package("slow", "MAKE[0]='sleep 60'");
    Manifest::new(&[&slow], &[kernel()])
        .more("[build]\ntimeout = 1\n")
        .write(&world);
    world.kiln("farm run").exits(1).says("--timeout gives it");
}

#[test]
fn a_plan_says_what_each_pair_needs_and_what_that_costs() {
    let world = World::new();
    world.package("first", "");
    world.package("second", "BUILD_EXCLUSIVE_KERNEL=none");
    world.package("third", "");
    let manifest =
        Manifest::new(&["first", "second", "third"], &[kernel(), other_kernel()]).more(&format!(
            "[[matrix.exclude]]\npackage = \"third\"\nkernel = {:?}\nbecause = \"it is too new\"\n\
             [cost]\ncpu_hour = 3600\ncurrency = \"beads\"\n",
            other_kernel()
        ));
    manifest.write(&world);
    let line = |run: &super::run::Run, package: &str, kernel: &str| {
        let mut lines = run.out.lines();
        let found = lines.find(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.first() == Some(&package) && words.get(1) == Some(&kernel)
        });
        found
            .unwrap_or_else(|| panic!("no {package} {kernel} in {run}"))
            .to_owned()
    };
    let run = world.kiln("farm plan -j 2").exits(0);
    assert!(line(&run, "first/1.0", kernel()).contains("build, never built before"));
    assert!(line(&run, "second/1.0", kernel()).contains("BUILD_EXCLUSIVE_KERNEL=none"));
    assert!(line(&run, "third/1.0", other_kernel()).contains("it is too new"));
    assert!(line(&run, "third/1.0", kernel()).contains("beads"), "{run}");
    let run = run.says("3 to build, 3 excluded").says("on 2 cores");
    run.says("3 of 3 times are guesses");

    world
        .kiln(format!("build ./first -k {}", kernel()))
        .exits(0);
    let run = world.kiln("farm plan --json").exits(0);
    let events = run.events();
    let planned = |package: &str, kernel: &str| {
        let mut events = events.iter();
        let found = events.find(|e| e["package"] == package && e["kernel"] == kernel);
        found.unwrap_or_else(|| panic!("no {package} {kernel} in {run}"))
    };
    assert_eq!(planned("first/1.0", kernel())["action"], "hit");
    assert!(planned("first/1.0", kernel())["estimate"].is_null());
    let known = planned("first/1.0", other_kernel());
    assert_eq!(known["action"], "build");
    assert_eq!(known["estimate"]["basis"], "other kernel");
    let cpu = known["estimate"]["cpu_ms"].as_f64().unwrap();
    let cost = known["estimate"]["cost"].as_f64().unwrap();
    assert!(
        (cost * 1000.0 - cpu).abs() < 1.0,
        "one bead a second: {known}"
    );
    let forecast = events.last().unwrap();
    assert_eq!(forecast["event"], "forecast");
    assert_eq!(forecast["counts"]["hit"], 1);
    assert_eq!(forecast["counts"]["excluded"], 3);
    assert_eq!(forecast["guesses"], 1);
    assert_eq!(forecast["currency"], "beads");
    assert!(!world.path("out").exists());
}

#[test]
fn a_dry_run_builds_nothing() {
    let world = World::new();
    world.package("dry", "");
    Manifest::new(&["dry"], &[kernel()])
        .outputs("out")
        .write(&world);
    world
        .kiln("farm run -n")
        .exits(0)
        .says(&format!("dry/1.0 for {}: build", kernel()));
    assert!(!world.path("out").exists());
}

#[test]
fn a_killed_run_is_taken_up_where_it_was() {
    let world = World::new();
    let token = world.token();
    world.package("quick", "");
    world.write_script(
        "slow/stay.sh",
        &format!("#!/bin/bash\nwhile :; do sleep {token}; done\n"),
    );
    world.package("slow", "MAKE[0]=./stay.sh");
    Manifest::new(&["quick", "slow"], &[kernel(), other_kernel()])
        .outputs("out")
        .more("[build]\njobs = 4\n")
        .write(&world);
    for signal in [Signal::KILL, Signal::INT] {
        let mut run = world.start("farm run --json");
        if signal == Signal::KILL {
            run.until("finished", "quick");
            run.until("finished", "quick");
        }
        wait_until("both slow jobs sleep", || processes(&token).len() >= 2);
        run.signal(signal);
        run.finish();
        wait_until("no process is left", || processes(&token).is_empty());
    }
    world.package("slow", "");
    let run = world.kiln("farm run --json").exits(0);
    let summary = run.summary();
    assert_eq!(
        (&summary["hits"], &summary["built"]),
        (&2.into(), &2.into())
    );
    for cell in summary["cells"].as_array().unwrap() {
        let quick = cell["package"] == "quick/1.0";
        assert_eq!(cell["result"], if quick { "hit" } else { "built" }, "{run}");
    }
    for package in ["quick", "slow"] {
        for kernel in [kernel(), other_kernel()] {
            let place = module(kernel, &format!("{package}/1.0"), package);
            assert!(world.path("out").join(place).exists(), "{package} {kernel}");
        }
    }
}

#[test]
fn a_failure_is_reported_as_by_kiln_build() {
    let world = World::new();
    world.package("broken", "MAKE[0]='echo error: broken; false'");
    world.package("sound", "");
    Manifest::new(&["broken", "sound"], &[kernel()]).write(&world);
    world
        .kiln("farm run")
        .exits(1)
        .says("failed broken/1.0")
        .says("built sound/1.0")
        .says("1 built, 1 failed");
    world.kiln("farm plan").exits(0).says("1 known to fail");
    world
        .kiln("farm run --retry-failed")
        .exits(1)
        .never_says("it failed before with the same inputs");
}
