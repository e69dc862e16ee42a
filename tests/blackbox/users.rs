//! kiln as an ordinary user.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    environment::WITHOUT_BUBBLEWRAP,
    machine::{self, kernel},
    run::{Running, wait_until},
    world::World,
};

#[test]
fn an_ordinary_user_builds_the_same_module_as_root() {
    let world = World::new();
    let source = machine::placed_c();
    let package = world.compiled_package("plain", &source, "");
    let line = format!("build {package} -k {} --json", kernel());
    let digest = |run: &super::run::Run| {
        let outputs = run.cell("plain")["outputs"].clone();
        let outputs = outputs.as_array().unwrap().clone();
        let module = outputs.iter().find(|output| output["path"] == "plain.ko");
        module.unwrap()["digest"].clone()
    };
    let user = world.kiln_as_user(&line).exits(0);
    assert_eq!(user.cell("plain")["result"], "built");
    let root = world.on_machine("", &line).exits(0);
    assert_eq!(root.cell("plain")["result"], "built");
    assert_eq!(digest(&user), digest(&root));
    world
        .kiln_as_user(format!("build {package} -k {}", kernel()))
        .exits(0)
        .says("1 from the cache");
}

#[test]
fn the_cache_of_an_ordinary_user_is_at_home() {
    let world = World::new();
    world
        .kiln_as_user("cache path")
        .exits(0)
        .says(world.path("home/kiln").to_str().unwrap());
}

#[test]
fn a_source_that_only_its_owner_can_reach_is_built() {
    let world = World::new();
    let package = world.package_at("closed/inner", "inner", "1.0", "");
    let closed = world.path("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    world.build(&package, "").exits(0).says("built inner/1.0");
}

/// A user who has nothing to do with a build.
const STRANGER: u32 = 4321;

/// A package that waits in the middle of its build, with a file that only its owner may read.
fn package_with_a_secret(world: &World, token: &str) -> String {
    let waits = world.waits("closed", token);
    let package = world.package("closed", &format!("MAKE[0]='{waits}; '\"${{MAKE[0]}}\""));
    let secret = world.write("closed/key.h", "not for everybody\n");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&package, fs::Permissions::from_mode(0o700)).unwrap();
    package
}

/// The copies of the secret below a directory, wherever they are there, and those of them that a stranger can read.
fn copies(below: &Path) -> (Vec<String>, Vec<String>) {
    let found = Command::new("find")
        .arg(below)
        .args(["-path", "*kiln-*", "-name", "key.h"])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let copies: Vec<String> = found.lines().map(str::to_owned).collect();
    let is_read = |copy: &&String| {
        let read = Command::new("setpriv")
            .args([format!("--reuid={STRANGER}"), format!("--regid={STRANGER}")])
            .args(["--clear-groups", "cat", copy])
            .output();
        read.unwrap().status.success()
    };
    let read = copies.iter().filter(is_read).cloned().collect();
    (copies, read)
}

#[test]
fn what_only_root_can_read_no_stranger_reads_while_it_is_built() {
    if !machine::is_root() {
        eprintln!("skipped: only root can be another user");
        return;
    }
    for script in ["", WITHOUT_BUBBLEWRAP] {
        let world = World::new();
        let token = world.token();
        let package = package_with_a_secret(&world, &token);
        let line = format!("build {package} -k {}", kernel());
        let run = Running::start(&mut world.machine_command(script, line));
        let place = match script {
            "" => world.cache(),
            _ => Path::new("/var/tmp/kiln-bare-0").to_owned(),
        };
        wait_until("the job sleeps", || !machine::processes(&token).is_empty());
        let (copies, read) = copies(&place);
        machine::wake(&token);
        run.finish().exits(0).says("built closed/1.0");
        assert!(!copies.is_empty(), "the build has a copy");
        assert_eq!(read, [""; 0]);
    }
}
