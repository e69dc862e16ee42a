//! Runs that end before their time, and the runs after them.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    machine::{kernel, processes},
    run::wait_until,
    world::World,
};

/// A package whose build announces itself to the process table by a token, and stays.
fn staying(world: &World, name: &str, token: &str, trap: &str) -> String {
    world.write_script(
        format!("{name}/stay.sh"),
        &format!("#!/bin/bash\n{trap}\nwhile :; do sleep {token}; done\n"),
    );
    world.package(name, "MAKE[0]=./stay.sh")
}

#[test]
fn ctrl_c_ends_a_job_that_ignores_it() {
    let world = World::new();
    let token = world.token();
    let package = staying(&world, "stubborn", &token, "trap '' TERM INT HUP");
    let mut run = world.start(format!("build {package} -k {} --json", kernel()));
    run.until("started", "stubborn");
    wait_until("the job sleeps", || !processes(&token).is_empty());
    run.signal(Signal::INT);
    let run = run.finish().exits(130);
    assert_eq!(run.cell("stubborn")["result"], "not run");
    assert_eq!(processes(&token), Vec::<u32>::new());
    let left: Vec<_> = fs::read_dir(world.cache().join("tmp"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("kiln-run-") || name.starts_with("work-"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let world = World::new();
    let token = world.token();
    let package = staying(&world, "stubborn", &token, "trap '' TERM INT HUP");
    let mut run = world.start(format!("build {package} -k {} --json", kernel()));
    run.until("started", "stubborn");
    wait_until("the job sleeps", || !processes(&token).is_empty());
    run.signal(Signal::INT);
    std::thread::sleep(std::time::Duration::from_millis(200));
    run.signal(Signal::INT);
    run.finish().exits(130);
    assert_eq!(processes(&token), Vec::<u32>::new());
}

#[test]
fn sigterm_ends_a_run_like_ctrl_c() {
    let world = World::new();
    let token = world.token();
    let package = staying(&world, "staying", &token, "");
    let mut run = world.start(format!("build {package} -k {} --json", kernel()));
    run.until("started", "staying");
    wait_until("the job sleeps", || !processes(&token).is_empty());
    run.signal(Signal::TERM);
    run.finish().exits(130);
    assert_eq!(processes(&token), Vec::<u32>::new());
}

#[test]
fn what_was_finished_before_ctrl_c_is_kept() {
    let world = World::new();
    let token = world.token();
    let quick = world.package("quick", "");
    let slow = staying(&world, "slow", &token, "");
    let line = format!("build {quick} {slow} -k {} -j 2 --json", kernel());
    let mut run = world.start(&line);
    run.until("finished", "quick");
    run.signal(Signal::INT);
    let run = run.finish().exits(130);
    assert_eq!(run.cell("quick")["result"], "built");
    world.package("slow", "");
    let run = world.kiln(&line).exits(0);
    assert_eq!(run.cell("quick")["result"], "hit");
    assert_eq!(run.cell("slow")["result"], "built");
}

#[test]
fn after_a_kill_no_finished_job_runs_twice() {
    let world = World::new();
    let token = world.token();
    let quick = world.package("quick", "");
    let slow = staying(&world, "slow", &token, "");
    let line = format!("build {quick} {slow} -k {} -j 2 --json", kernel());
    let mut run = world.start(&line);
    run.until("finished", "quick");
    wait_until("the slow job sleeps", || !processes(&token).is_empty());
    run.signal(Signal::KILL);
    run.finish();
    wait_until("no process is left", || processes(&token).is_empty());
    world.kiln("cache verify").exits(0).says("all good");

    world.package("slow", "");
    let run = world.kiln(&line).exits(0);
    assert_eq!(run.cell("quick")["result"], "hit");
    assert_eq!(run.cell("slow")["result"], "built");
    let left = fs::read_dir(world.cache().join("tmp")).unwrap();
    let scratch = left
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("kiln-run-"))
        .count();
    assert_eq!(scratch, 0, "the killed run's scratch directories are gone");
}

#[test]
fn ctrl_c_during_a_conf_that_never_ends() {
    let world = World::new();
    let token = world.token();
    let package = world.package("endless", &format!("sleep {token}"));
    let run = world.start(format!("build {package} -k {}", kernel()));
    wait_until("the conf sleeps", || !processes(&token).is_empty());
    run.signal(Signal::INT);
    run.finish().exits(130);
    assert_eq!(processes(&token), Vec::<u32>::new());
}

#[test]
fn sigterm_while_a_source_is_read() {
    let world = World::new();
    let package = world.package("vast", "");
    // Minutes to read, and no room where they lie.
    for number in 0..200 {
        let path = world.path(format!("vast/{number}"));
        fs::File::create(path).unwrap().set_len(2 << 30).unwrap();
    }
    let run = world.start(format!("build {package} -k {}", kernel()));
    thread::sleep(Duration::from_secs(2));
    run.signal(Signal::TERM);
    let began = Instant::now();
    run.finish().exits(130);
    assert!(began.elapsed() < Duration::from_secs(10), "{began:?}");
}
