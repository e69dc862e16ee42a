//! `kiln cache verify --rebuild`: a stored outcome is what its inputs make.

use std::fs;

use kiln_cache::{ActionKey, Store};

use super::{
    machine::{arch, kernel},
    world::World,
};

/// Puts another module in the place of one that was built: its object is good, the record names it, all digests are
/// right. Only the outcome is wrong.
fn swap_module(world: &World, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let store = Store::open(&world.cache()).unwrap();
    let key: ActionKey = key.parse().unwrap();
    let mut record = store.lookup(&key).unwrap().unwrap();
    let module = record.outputs.iter_mut().find(|o| o.path.ends_with(".ko"));
    let module = module.unwrap();
    let mut content = store.read(&module.object).unwrap().unwrap();
    change(&mut content);
    module.object = store.put_bytes(&content).unwrap();
    module.size = content.len() as u64;
    store.publish(&record).unwrap();
}

/// Replaces the first of these bytes.
fn replace(content: &mut [u8], from: &[u8], to: &[u8]) {
    let at = content.windows(from.len()).position(|part| part == from);
    content[at.unwrap()..][..to.len()].copy_from_slice(to);
}

#[test]
fn a_wrong_outcome_is_found_with_its_section_and_forgotten() {
    let world = World::new();
    let (right, wrong) = (world.package("right", ""), world.package("wrong", ""));
    world.build(&right, "").exits(0);
    let run = world.build(&wrong, "--json").exits(0);
    let key = run.cell("wrong")["key"].as_str().unwrap().to_owned();
    swap_module(&world, &key, |content| {
        replace(content, b"description=hello", b"description=HELLO");
    });
    world.build(&wrong, "").exits(0).says("1 from the cache");
    world.kiln("cache verify").exits(0).says("all good");

    let everything = format!("cache verify --rebuild 100% {right} {wrong}");
    world
        .kiln(&everything)
        .exits(4)
        .says(&format!("wrong/1.0 for {}/{}: ", kernel(), arch()))
        .says(&format!("is built otherwise: .modinfo (record {key})"))
        .says("2 records built anew: 1 the same, 1 different; 0 cannot be rebuilt here");
    let found = world.kiln(format!("{everything} --json")).exits(4);
    let rebuilt = &found.events().remove(0)["rebuilt"];
    assert_eq!(rebuilt["same"], 1, "{rebuilt}");
    assert_eq!(rebuilt["different"][0]["key"], key.as_str(), "{rebuilt}");
    let deviation = &rebuilt["different"][0]["deviations"][0];
    assert_eq!(deviation["sections"][0], ".modinfo", "{rebuilt}");

    // Nothing was replaced so far.
    world.build(&wrong, "").exits(0).says("1 from the cache");
    world
        .kiln(format!("{everything} --repair"))
        .exits(0)
        .says("repaired");
    world.build(&right, "").exits(0).says("1 from the cache");
    world.build(&wrong, "").exits(0).says("1 built");
    world.kiln(&everything).exits(0).says("2 the same");
}

#[test]
fn what_cannot_be_rebuilt_says_why() {
    let world = World::new();
    let package = world.package("moved", "");
    world.build(&package, "").exits(0);
    world
        .kiln("cache verify --rebuild 1")
        .exits(0)
        .says("moved/1.0")
        .says("there is no such package")
        .says("1 cannot be rebuilt here");
    fs::write(world.path("moved/dkms.conf.orig"), "").unwrap();
    world
        .kiln(format!("cache verify --rebuild 1 {package}"))
        .exits(0)
        .says("changed since: source")
        .says("0 records built anew");
    // What is built of other inputs is another record, and stands for no other.
    world.build(&package, "").exits(0).says("1 built");
    world
        .kiln(format!("cache verify --rebuild 100% {package}"))
        .exits(0)
        .says("changed since: source")
        .says("1 records built anew: 1 the same, 0 different; 1 cannot be rebuilt here");
    world.kiln("cache verify --rebuild 101%").exits(2);
    world.kiln(format!("cache verify {package}")).exits(2);
}
