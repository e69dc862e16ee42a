//! Why something is built or not: `--dry-run`, `--explain` and `kiln explain`.

use std::fs;

use super::{
    machine::{self, kernel, other_kernel},
    world::World,
};

#[test]
fn a_dry_run_builds_nothing_and_says_why() {
    let world = World::new();
    let package = world.package("planned", "");
    for _ in 0..2 {
        world
            .build(&package, "--dry-run")
            .exits(0)
            .says("planned/1.0 for ")
            .says("build, never built before");
    }
    let run = world.build(&package, "--dry-run --json").exits(0);
    let planned = &run.events()[0];
    assert_eq!(planned["event"], "planned");
    assert_eq!(planned["action"], "build");
    let stats = world.kiln("cache stats --json").exits(0);
    assert!(stats.events()[0]["records"]["job"].is_null(), "{stats}");

    world.build(&package, "").exits(0);
    world
        .build(&package, "--dry-run")
        .exits(0)
        .says(&format!("planned/1.0 for {}: hit", kernel()));
    world
        .kiln(format!("build {package} -k {} -n", other_kernel()))
        .exits(0)
        .says("build, never built for this kernel");
}

#[test]
fn a_dry_run_names_known_failures_and_exclusions() {
    let world = World::new();
    let failing = world.package("failing", "MAKE[0]='echo error: it is broken; false'");
    let excluded = world.package("excluded", "BUILD_EXCLUSIVE_KERNEL=none");
    world.build(&failing, "").exits(1);
    world
        .build(&format!("{failing} {excluded}"), "--dry-run")
        .exits(0)
        .says("known to fail: error: it is broken")
        .says("excluded by BUILD_EXCLUSIVE_KERNEL=none");
    world
        .build(&failing, "--dry-run --retry-failed")
        .exits(0)
        .says("build, failed before; --retry-failed");
    world
        .build(&failing, "--dry-run --no-cache")
        .exits(0)
        .says("build, --no-cache");
}

#[test]
fn explain_names_the_changed_file_of_the_source() {
    let world = World::new();
    let package = world.package("edited", "");
    let note = world.write("edited/docs/note", "before\n");
    world.build(&package, "").exits(0);
    let explain = format!("explain {package} -k {}", kernel());
    world.kiln(&explain).exits(0).says(": hit");
    fs::write(note, "after\n").unwrap();
    world.write("edited/new-file", "");
    world
        .kiln(&explain)
        .exits(0)
        .says("build, changed: source")
        .says("docs/note in the source changed")
        .says("new-file in the source was added");
    fs::remove_file(world.path("edited/docs/note")).unwrap();
    world
        .build(&package, "--explain")
        .exits(0)
        .says("docs/note in the source was removed");
}

const PATCH: &str = "--- a/note\n+++ b/note\n@@ -1 +1 @@\n-before\n+after\n";

#[test]
fn explain_names_what_changed_in_the_conf() {
    let world = World::new();
    let package = world.package("edited", "");
    world.write("edited/note", "before\n");
    world.write("edited/patches/one.patch", PATCH);
    world.write("edited/patches/two.patch", PATCH);
    let explain = format!("explain {package} -k {}", kernel());
    world.package("edited", "PATCH[0]=one.patch");
    world.build(&package, "").exits(0);
    world.package("edited", "PATCH[0]=two.patch\nSTRIP[0]=no");
    world
        .kiln(&explain)
        .exits(0)
        .says("PATCH[0] changed from \"one.patch\" to \"two.patch\" (recipe)")
        .says("STRIP[0] changed from \"true\" to \"false\" (recipe)")
        .says("dkms.conf in the source changed");
}

#[test]
fn explain_names_a_changed_header_of_the_kernel() {
    let world = World::new();
    let package = world.package("headed", "");
    let tree = world.kernel_tree(kernel());
    let build = format!("build {package} -k {}", tree.display());
    world.kiln(&build).exits(0);
    let header = tree.join("include/generated/autoconf.h");
    let mut text = fs::read_to_string(&header).unwrap();
    text.push_str("#define CONFIG_KILN_TEST 1\n");
    fs::write(&header, text).unwrap();
    world
        .kiln(format!("explain {package} -k {}", tree.display()))
        .exits(0)
        .says("include/generated/autoconf.h in the kernel tree");
    world
        .kiln(format!("{build} --explain"))
        .exits(0)
        .says("include/generated/autoconf.h in the kernel tree")
        .says("1 built");
}

#[test]
fn explain_of_a_hit_names_its_results() {
    let world = World::new();
    let package = world.package("known", "");
    let run = world.build(&package, "--json").exits(0);
    let cell = run.cell("known");
    world
        .kiln(format!("explain {package} -k {}", kernel()))
        .exits(0)
        .says(cell["key"].as_str().unwrap())
        .says(cell["outputs"][0]["object"].as_str().unwrap());
}

#[test]
fn a_log_that_was_never_written() {
    let world = World::new();
    let package = world.package("unbuilt", "");
    world
        .kiln(format!("log {package} -k {}", kernel()))
        .exits(1)
        .says("was not built for")
        .says("hint: kiln build");
}

#[test]
fn the_log_of_a_kernel_is_the_one_of_that_kernel() {
    let world = World::new();
    let package = world.package("logged", "MAKE[0]='uname -r; '\"${MAKE[0]}\"");
    let other = other_kernel();
    world.build(&package, &format!("-k {other}")).exits(0);
    world
        .kiln(format!("log {package} -k {other}"))
        .exits(0)
        .says(&format!("\n{other}\n"))
        .says(&format!("for kernel {other} ({})", machine::arch()));
}
