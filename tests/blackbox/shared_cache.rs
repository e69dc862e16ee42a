//! A cache that machines share, on a real server: who fills it, who believes what is in it, and
//! what happens without it.

use std::path::Path;

use super::{casd::Casd, machine::kernel, run::Run, world::World};

/// A key pair in a world.
fn keys(world: &World, name: &str) -> (String, String) {
    let (private, public) = (world.path(name), world.path(format!("{name}.pub")));
    let pair = (private.display().to_string(), public.display().to_string());
    world
        .kiln(format!("remote keygen {} {}", pair.0, pair.1))
        .exits(0);
    pair
}

/// What a machine is set to.
enum Role<'a> {
    Uploads(&'a str),
    Trusts(&'a str),
}

/// Builds on the machine of a world.
fn build(world: &World, server: &Casd, role: &Role<'_>, line: &str) -> Run {
    let mut command = world.command(format!("build {line} --json"));
    command.env("KILN_REMOTE_CACHE", server.endpoint());
    match role {
        Role::Uploads(key) => command
            .env("KILN_REMOTE_UPLOAD", "true")
            .env("KILN_SIGNING_KEY", key),
        Role::Trusts(key) => command.env("KILN_TRUST", key),
    };
    Run::of(&mut command).exits(0)
}

/// Three packages, the last of which depends on the second, as one line of arguments.
fn packages(world: &World) -> String {
    let alone = world.package("alone", "");
    let base = world.package("base", "");
    let upper = world.package("upper", "BUILD_DEPENDS[0]=base");
    format!("{alone} {base} {upper} -k {}", kernel())
}

#[test]
fn another_machine_takes_what_the_first_has_built() {
    let (here, there, server) = (World::new(), World::new(), Casd::start());
    let (private, public) = keys(&here, "key");
    let line = packages(&here);
    let first = build(&here, &server, &Role::Uploads(&private), &line);
    let second = build(&there, &server, &Role::Trusts(&public), &line);
    for package in ["alone", "base", "upper"] {
        assert_eq!(first.cell(package)["result"], "built", "{package}");
        assert_eq!(second.cell(package)["result"], "hit", "{package}");
        assert_eq!(
            first.cell(package)["outputs"][0]["digest"],
            second.cell(package)["outputs"][0]["digest"]
        );
    }
}

#[test]
fn who_is_not_told_to_uploads_nothing() {
    let (here, there, server) = (World::new(), World::new(), Casd::start());
    let (_, public) = keys(&here, "key");
    let line = format!("{} -k {}", here.package("alone", ""), kernel());
    build(&here, &server, &Role::Trusts(&public), &line);
    let second = build(&there, &server, &Role::Trusts(&public), &line);
    assert_eq!(second.cell("alone")["result"], "built");
}

#[test]
fn a_record_that_nobody_trusted_has_signed_is_built_anew() {
    let (here, there, server) = (World::new(), World::new(), Casd::start());
    let (private, _) = keys(&here, "key");
    let (_, other) = keys(&there, "other");
    let line = format!("{} -k {}", here.package("alone", ""), kernel());
    build(&here, &server, &Role::Uploads(&private), &line);
    let second = build(&there, &server, &Role::Trusts(&other), &line);
    assert_eq!(second.cell("alone")["result"], "built");
    second
        .says("not taken from the shared cache")
        .says("which is not trusted");
}

#[test]
fn a_server_that_is_gone_costs_a_notice() {
    let (here, mut server) = (World::new(), Casd::start());
    let (_, public) = keys(&here, "key");
    server.kill();
    let line = packages(&here);
    let run = build(&here, &server, &Role::Trusts(&public), &line);
    assert_eq!(run.cell("upper")["result"], "built");
    run.says("the shared cache cannot be used, going on without");
}

#[test]
fn a_server_that_goes_in_the_middle_of_a_run_fails_nothing() {
    let (here, mut server) = (World::new(), Casd::start());
    let (private, _) = keys(&here, "key");
    let slow = here.package("slow", "PRE_BUILD=wait.sh");
    here.write_script(
        "slow/wait.sh",
        "#!/bin/sh\nwhile [ ! -e /usr/src/slow-1.0/go ]; do sleep 0.1; [ $((i=i+1)) -lt 30 ] || exit 0; done\n",
    );
    let line = format!("build {slow} -k {} --json --remote-upload", kernel());
    let mut command = here.command(line);
    command
        .env("KILN_REMOTE_CACHE", server.endpoint())
        .env("KILN_SIGNING_KEY", private);
    let mut running = super::run::Running::start(&mut command);
    running.until("started", "slow");
    server.kill();
    let run = running.finish().exits(0);
    assert_eq!(run.cell("slow")["result"], "built");
    run.says("shared cache");
}

#[test]
fn a_plan_of_a_farm_looks_and_takes_nothing() {
    let (here, there, server) = (World::new(), World::new(), Casd::start());
    let (private, public) = keys(&here, "key");
    let first = build(&here, &server, &Role::Uploads(&private), &packages(&here));
    let names = ["alone", "base", "upper"].map(|name| here.path(name).display().to_string());
    let text = format!("packages = {names:?}\nkernels = [{:?}]\n", kernel());
    there.write("farm.toml", text);
    let farm = |line: &str| {
        let mut command = there.command(line);
        command.env("KILN_REMOTE_CACHE", server.endpoint());
        Run::of(command.env("KILN_TRUST", &public)).exits(0)
    };
    let modules = || {
        ["alone", "base", "upper"].map(|package| {
            let object = first.cell(package)["outputs"][0]["object"].clone();
            let object = Path::new(object.as_str().unwrap());
            let inner = object.strip_prefix(here.cache()).unwrap();
            there.cache().join(inner).exists()
        })
    };
    for line in ["farm plan --json", "farm run --dry-run --json"] {
        let run = farm(line);
        let hits = run
            .events()
            .iter()
            .filter(|event| event["action"] == "hit")
            .count();
        assert_eq!(hits, 3, "{run}");
        assert_eq!(modules(), [false; 3], "{line} has taken modules");
    }
    let run = farm("farm run --json");
    assert_eq!(run.summary()["hits"], 3, "{run}");
    assert_eq!(modules(), [true; 3]);
}

#[test]
fn a_plan_says_that_the_server_is_away() {
    let (here, mut server) = (World::new(), Casd::start());
    let (_, public) = keys(&here, "key");
    here.package("alone", "");
    here.write(
        "farm.toml",
        format!("packages = [\"alone\"]\nkernels = [{:?}]\n", kernel()),
    );
    server.kill();
    for line in ["farm plan", "farm run --dry-run"] {
        let mut command = here.command(line);
        command.env("KILN_REMOTE_CACHE", server.endpoint());
        Run::of(command.env("KILN_TRUST", &public))
            .exits(0)
            .says("the shared cache cannot be used, going on without");
    }
}

#[test]
fn uploading_without_a_key_is_refused_before_anything_is_built() {
    let (here, server) = (World::new(), Casd::start());
    let line = format!(
        "build {} -k {} --remote-upload",
        here.package("alone", ""),
        kernel()
    );
    let mut command = here.command(line);
    command.env("KILN_REMOTE_CACHE", server.endpoint());
    Run::of(&mut command).exits(2).says("signing.key is not");
}

#[test]
fn servers_are_asked_what_they_offer() {
    let (here, mut server) = (World::new(), Casd::start());
    let line = format!("remote status --remote-cache {}", server.endpoint());
    here.kiln(&line).exits(0).says("takes results");
    server.kill();
    here.kiln(&line).exits(3).says("Connection refused");
}

#[test]
fn keys_are_not_overwritten() {
    let here = World::new();
    let (private, public) = keys(&here, "key");
    here.kiln(format!("remote keygen {private} {public}.other"))
        .exits(2)
        .says(&private);
    assert!(!here.path("key.pub.other").exists());
}
