//! What one job does to its jobserver, and that no other job notices.

use super::{machine::kernel, world::World};

/// A package whose MAKE begins with a script.
fn running(world: &World, name: &str, script: &str) -> String {
    let package = world.package(name, "MAKE[0]='./run.sh && '\"${MAKE[0]}\"");
    world.write_script(
        format!("{name}/run.sh"),
        &format!("#!/bin/bash\n{script}\n"),
    );
    package
}

/// A package whose MAKE runs eight recipes, after a command.
fn wide(world: &World, before: &str) -> String {
    world.write(
        "wide/wide.mk",
        "all: 1 2 3 4 5 6 7 8\n1 2 3 4 5 6 7 8:\n\
         \t@echo began $$(date +%s%N); sleep 0.2; echo ended $$(date +%s%N)\n",
    );
    running(world, "wide", &format!("{before}; make -j8 -f wide.mk"))
}

/// The most recipes that ran at once by a log in which each says when it began and ended.
fn most_at_once(log: &str) -> usize {
    let words = log.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut moments: Vec<(u128, isize)> = words
        .filter_map(|words| match words[..] {
            ["began", at] => Some((at.parse().ok()?, 1)),
            ["ended", at] => Some((at.parse().ok()?, -1)),
            _ => None,
        })
        .collect();
    assert_eq!(moments.len(), 16, "{log}");
    moments.sort_unstable();
    let mut running = 0;
    let counts = moments.into_iter().map(|(_, change)| {
        running += change;
        running
    });
    counts.max().unwrap().try_into().unwrap()
}

#[test]
fn what_one_job_forges_is_of_no_use_to_another() {
    let world = World::new();
    let flood = running(
        &world,
        "flood",
        "timeout 5 head -c 64000 /dev/zero >&999; sleep 3",
    );
    let wide = wide(&world, "sleep 1");
    let kernel = kernel();
    world
        .kiln(format!("build {flood} {wide} -k {kernel} -j2"))
        .exits(0);
    let log = world.kiln(format!("log {wide} -k {kernel}")).exits(0);
    assert!(most_at_once(&log.out) <= 2, "{log}");
}

#[test]
fn one_job_alone_uses_all_processors() {
    let world = World::new();
    let wide = wide(&world, "true");
    world.build(&wide, "-j3").exits(0);
    let log = world.kiln(format!("log {wide} -k {}", kernel())).exits(0);
    assert_eq!(most_at_once(&log.out), 3, "{log}");
}
