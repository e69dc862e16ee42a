//! `kiln build --audit`: whether all that builds see is in their keys.

use super::{
    machine::{self, kernel},
    world::World,
};

#[test]
fn what_real_builds_see_is_in_their_keys() {
    let world = World::new();
    let below = world.compiled_package("below", machine::HELLO_C, "");
    let conf = "BUILD_DEPENDS[0]=below\nPRE_BUILD=look.sh\n\
        word=$(cat VERSION; [ -r /etc/default/above ] && cat /etc/default/above)";
    let above = world.compiled_package("above", machine::HELLO_C, conf);
    world.write("above/VERSION", "1\n");
    let script = "#!/bin/sh\nmodinfo -k $kernelver below; ls /usr/share/misc; [ -e /usr/share/none ]; \
        [ -e /usr/local/bin/none ]; cat /proc/cpuinfo; ls /tmp / /usr/src/*; true\n";
    world.write_script("above/look.sh", script);
    world
        .build(&format!("{above} {below}"), "--audit")
        .exits(0)
        .says("2 built")
        .says("audit: all that builds saw is in their keys");
    world
        .build(&format!("{above} {below}"), "")
        .exits(0)
        .says("2 from the cache");
}

#[test]
fn what_cannot_be_followed_is_told() {
    let world = World::new();
    let package = world.package("odd", "PRE_BUILD=look.sh");
    let script = "#!/bin/sh\ncat /proc/self/root/usr/share/common-licenses/BSD\n";
    world.write_script("odd/look.sh", script);
    world
        .build(&package, "--audit")
        .exits(1)
        .says("1 built")
        .says("audit: odd/1.0 for ")
        .says("/proc/self/root/usr/share/common-licenses/BSD leads to a file under another name");
    let line = format!("build {package} -k {} --audit --json", kernel());
    let run = world.kiln(line).exits(1);
    let mut events = run.events().into_iter();
    let event = events.find(|event| event["event"] == "uncovered");
    assert!(
        event.unwrap()["of"]
            .as_str()
            .unwrap()
            .starts_with("odd/1.0")
    );
}
