//! A shared cache that takes nothing more, and machines whose clocks are wrong: neither fails a build.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{casd::Casd, machine::kernel, run::Run, world::World};

/// Sets a program's clock ahead or back by the seconds of SKEW; clocks that only measure are as they are.
const SKEW_C: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    char *skew = getenv("SKEW");
    if (result == 0 && clock == CLOCK_REALTIME && skew) time->tv_sec += atol(skew);
    return result;
}
"#;

/// The library that does so.
fn skew(world: &World) -> PathBuf {
    let (source, library) = (world.write("skew.c", SKEW_C), world.path("skew.so"));
    let done = Command::new("gcc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(done.unwrap().success());
    library
}

/// A key pair in a world: what signs, and what is trusted.
pub(crate) fn keys(world: &World) -> (PathBuf, PathBuf) {
    let (private, public) = (world.path("key"), world.path("key.pub"));
    let line = format!("remote keygen {} {}", private.display(), public.display());
    world.kiln(line).exits(0);
    (private, public)
}

/// A machine's build, with what it uploads signed by its key.
fn uploading(world: &World, server: &Casd, key: &Path, line: &str) -> Command {
    let mut command = world.command(format!("build {line} --json --remote-upload"));
    command.env("KILN_REMOTE_CACHE", server.endpoint());
    command.env("KILN_SIGNING_KEY", key);
    command
}

/// A machine's build that takes what the key has signed.
fn trusting(world: &World, server: &Casd, key: &Path, line: &str) -> Command {
    let mut command = world.command(format!("build {line} --json"));
    command.env("KILN_REMOTE_CACHE", server.endpoint());
    command.env("KILN_TRUST", key);
    command
}

#[test]
fn a_full_server_costs_a_notice_and_is_read_on() {
    let (here, there, after) = (World::new(), World::new(), World::new());
    let server = Casd::with(&["--quota-high=2M", "--protect-session-blobs"].map(str::to_owned));
    let (private, public) = keys(&here);
    let kernel = kernel();
    let small = format!("{} -k {kernel}", here.package("small", ""));
    let first = Run::of(&mut uploading(&here, &server, &private, &small)).exits(0);
    first.never_says("shared cache");
    // Logs of their own fill it up.
    let large = ["one", "two"].map(|name| {
        let package = here.package(name, "PRE_BUILD=talk.sh");
        let script = "#!/bin/sh\nhead -c 2500000 /dev/urandom | base64\n";
        here.write_script(format!("{name}/talk.sh"), script);
        package
    });
    let large = format!("{} -k {kernel}", large.join(" "));
    let run = Run::of(&mut uploading(&here, &server, &private, &large)).exits(0);
    for package in ["one", "two"] {
        assert_eq!(run.cell(package)["result"], "built", "{run}");
    }
    run.says("is full or over its quota");
    let run = Run::of(&mut trusting(&there, &server, &public, &small)).exits(0);
    assert_eq!(run.cell("small")["result"], "hit", "{run}");
    Run::of(&mut trusting(&after, &server, &public, &large)).exits(0);
}

#[test]
fn a_server_whose_disk_is_full_costs_a_notice() {
    let (here, there) = (World::new(), World::new());
    let server = Casd::on_a_disk_of("1M");
    let (private, public) = keys(&here);
    let package = here.package("large", "PRE_BUILD=talk.sh");
    let script = "#!/bin/sh\nhead -c 2500000 /dev/urandom | base64\n";
    here.write_script("large/talk.sh", script);
    let line = format!("{package} -k {}", kernel());
    let run = Run::of(&mut uploading(&here, &server, &private, &line)).exits(0);
    assert_eq!(run.cell("large")["result"], "built", "{run}");
    run.says("shared cache");
    let run = Run::of(&mut trusting(&there, &server, &public, &line)).exits(0);
    assert_eq!(run.cell("large")["result"], "built", "{run}");
}

#[test]
fn clocks_that_differ_by_an_hour_cost_a_notice() {
    let world = World::new();
    let (private, public) = keys(&world);
    let library = skew(&world);
    let line = format!("{} -k {}", world.package("timed", ""), kernel());
    for (signs, reads, said) in [
        ("3600", "0", true),
        ("0", "-3600", true),
        ("120", "0", false),
    ] {
        let (one, other, server) = (World::new(), World::new(), Casd::start());
        let mut first = uploading(&one, &server, &private, &line);
        first.env("LD_PRELOAD", &library).env("SKEW", signs);
        let first = Run::of(&mut first).exits(0);
        let mut second = trusting(&other, &server, &public, &line);
        second.env("LD_PRELOAD", &library).env("SKEW", reads);
        let mut second = Run::of(&mut second).exits(0);
        let result = second.cell("timed")["result"].clone();
        if said {
            assert_eq!(result, "built", "{second}");
            second = second.says("in the future");
        } else {
            assert_eq!(result, "hit", "{second}");
        }
        let module = |run: &Run| run.cell("timed")["outputs"][0]["digest"].clone();
        assert_eq!(module(&first), module(&second));
    }
}
