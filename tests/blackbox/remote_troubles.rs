//! Engines and their workers that die, restart and lose things in the middle of a run: each run ends with
//! the modules that are built here.

use std::{collections::BTreeMap, fs};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    casd::Casd,
    machine::{self, kernel, processes, wake},
    remote_execution::line,
    run::{Run, Running, wait_until},
    world::World,
};

/// A package that kbuild compiles.
fn plain(world: &World, name: &str) -> String {
    world.compiled_package(name, &machine::placed_c(), "")
}

/// One whose PRE_BUILD sleeps until it is woken.
fn sleeper(world: &World, name: &str, token: &str) -> String {
    let package = world.compiled_package(name, &machine::placed_c(), "PRE_BUILD=sleep.sh");
    let waits = world.waits(name, token);
    let script = format!("#!/bin/sh\nexec {waits}\n");
    world.write_script(format!("{name}/sleep.sh"), &script);
    package
}

/// The digests of all modules of a run, each of which was built in it.
fn digests(run: &Run) -> BTreeMap<String, String> {
    let summary = run.summary();
    let cells = summary["cells"].as_array().unwrap().iter();
    cells
        .map(|cell| {
            assert_eq!(cell["result"], "built", "{run}");
            let digest = cell["outputs"][0]["digest"].to_string();
            (cell["package"].to_string(), digest)
        })
        .collect()
}

/// Builds packages here, in another cache, waking what sleeps.
fn built_here(packages: &str, token: &str) -> BTreeMap<String, String> {
    let here = World::new();
    let line = format!("build {packages} -k {} --json", kernel());
    let running = Running::start(&mut here.command(line));
    wake(token);
    digests(&running.finish().exits(0))
}

/// The one process that sleeps for a token.
fn asleep(token: &str) -> Option<u32> {
    processes(token).into_iter().find(|pid| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep\0"))
    })
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, Signal::KILL);
}

/// Kills the worker that runs a job, with all that it runs.
fn kill_worker(token: &str) {
    wait_until("the engine runs the job", || asleep(token).is_some());
    let mut line = vec![asleep(token).unwrap()];
    let is_runner = |pid: u32| {
        fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with(b"buildbox-run"))
    };
    while let Some(up) = parent(line[line.len() - 1]).filter(|pid| *pid > 1) {
        line.push(up);
        if is_runner(up) && !parent(up).is_some_and(is_runner) {
            break;
        }
    }
    assert!(is_runner(line[line.len() - 1]), "no worker above the job");
    for pid in line.iter().rev() {
        kill(*pid);
    }
    wait_until("the worker has gone", || {
        line.iter()
            .all(|pid| asleep(token).is_none_or(|now| now != *pid))
    });
}

#[test]
fn a_job_whose_worker_is_killed_is_run_again() {
    let (world, engine) = (World::new(), Casd::engine());
    let token = world.token();
    let packages = format!(
        "{} {}",
        plain(&world, "calm"),
        sleeper(&world, "hurt", &token)
    );
    let running = Running::start(&mut world.command(line(&engine, &packages)));
    kill_worker(&token);
    wake(&token);
    let run = running.finish().exits(0);
    assert_eq!(digests(&run), built_here(&packages, &token));
}

#[test]
fn a_job_of_which_a_process_is_killed_is_no_failure() {
    let (world, engine) = (World::new(), Casd::engine());
    let token = world.token();
    let package = sleeper(&world, "hurt", &token);
    let running = Running::start(&mut world.command(line(&engine, &package)));
    wait_until("the engine runs the job", || asleep(&token).is_some());
    let script = asleep(&token).and_then(parent).unwrap();
    let sleeping = asleep(&token).unwrap();
    kill(script);
    kill(sleeping);
    wait_until("it has gone", || asleep(&token) != Some(sleeping));
    wake(&token);
    let run = running.finish().exits(0);
    assert_eq!(digests(&run), built_here(&package, &token));
}

#[test]
fn a_full_disk_of_a_worker_is_no_failure() {
    let (world, engine) = (World::new(), Casd::engine());
    let package = world.package("large", "PRE_BUILD=fill.sh");
    // The worker has none of this machine's /etc.
    world.write_script(
        "large/fill.sh",
        "#!/bin/sh\n[ -e /etc/debian_version ] && exit 0\necho 'cp: x: No space left on device'; exit 1\n",
    );
    let run = Run::of(&mut world.command(line(&engine, &package))).exits(0);
    assert_eq!(run.cell("large")["result"], "built");
}

/// A run of four packages whose engine is struck while it runs the first.
fn struck(strike: impl FnOnce(&mut Casd)) -> Run {
    let (world, mut engine) = (World::new(), Casd::engine());
    let token = world.token();
    let packages = ["one", "two", "three"].map(|name| plain(&world, name));
    let packages = format!("{} {}", sleeper(&world, "slow", &token), packages.join(" "));
    let running = Running::start(&mut world.command(line(&engine, &packages)));
    wait_until("the engine runs the job", || asleep(&token).is_some());
    strike(&mut engine);
    wake(&token);
    let run = running.finish().exits(0);
    assert_eq!(digests(&run), built_here(&packages, &token));
    run
}

#[test]
fn a_server_that_restarts_in_the_middle_goes_on() {
    struck(Casd::restart);
}

#[test]
fn a_server_that_goes_in_the_middle_leaves_the_rest_to_this_machine() {
    struck(Casd::kill).says("the engine cannot be used, building here");
}

#[test]
fn blobs_that_are_gone_at_the_next_run_are_sent_again() {
    let (one, two, engine) = (World::new(), World::new(), Casd::engine());
    let token = one.token();
    let packages = format!("{} {}", plain(&one, "first"), plain(&one, "second"));
    let run = |world: &World, packages: &str| {
        let run = Run::of(&mut world.command(line(&engine, packages))).exits(0);
        run.never_says("building here")
    };
    let first = digests(&run(&one, &packages));
    assert!(engine.evict() > 1000, "the kernel was there");
    // Another machine: the server remembers the results, but has lost their modules.
    let more = format!("{packages} {}", sleeper(&two, "third", &token));
    let running = Running::start(&mut two.command(line(&engine, &more)));
    wake(&token);
    let second = digests(&running.finish().exits(0).never_says("building here"));
    assert!(
        first
            .iter()
            .all(|(package, digest)| second[package] == *digest)
    );
    assert_eq!(second, built_here(&more, &token));
}

#[test]
fn blobs_that_go_while_a_job_runs_are_no_failure() {
    let (world, engine) = (World::new(), Casd::engine());
    let token = world.token();
    let package = sleeper(&world, "robbed", &token);
    let running = Running::start(&mut world.command(line(&engine, &package)));
    wait_until("the engine runs the job", || asleep(&token).is_some());
    let first = asleep(&token);
    assert!(engine.evict() > 1000, "the kernel was there");
    wake(&token);
    // If its kernel is gone from under it, it is run anew.
    let mut running = running;
    wait_until("it is run anew or done", || {
        running.has_ended() || asleep(&token).is_some_and(|pid| Some(pid) != first)
    });
    if !running.has_ended() {
        wake(&token);
    }
    let run = running.finish().exits(0);
    assert_eq!(digests(&run), built_here(&package, &token));
}

#[test]
fn an_engine_without_room_for_the_inputs_is_done_without() {
    let world = World::new();
    let engine = Casd::engine_with(&["--quota-high=4M", "--protect-session-blobs"]);
    let packages = format!("{} {}", plain(&world, "one"), plain(&world, "two"));
    let run = Run::of(&mut world.command(line(&engine, &packages))).exits(0);
    let here = World::new();
    let local = format!("build {packages} -k {} --json", kernel());
    let local = Run::of(&mut here.command(local)).exits(0);
    assert_eq!(digests(&run), digests(&local));
    run.says("the engine cannot be used, building here")
        .says("is full or over its quota");
}
