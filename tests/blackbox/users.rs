//! kiln as an ordinary user.

use super::{
    machine::{self, kernel},
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
    use std::{fs, os::unix::fs::PermissionsExt};
    let world = World::new();
    let package = world.package_at("closed/inner", "inner", "1.0", "");
    let closed = world.path("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    world.build(&package, "").exits(0).says("built inner/1.0");
}
