//! What the owner of a machine puts into /etc/dkms counts.

use super::{
    machine::{self, kernel},
    world::World,
};

/// Builds on the layered machine, then prints the log there.
fn build_and_log(world: &World, package: &str) -> String {
    let kernel = kernel();
    world
        .on_machine("", format!("build {package} -k {kernel}"))
        .exits(0);
    world
        .on_machine("", format!("log {package} -k {kernel}"))
        .exits(0)
        .out
}

#[test]
fn override_files_are_read_from_general_to_special() {
    let world = World::new();
    let package = world.package("bent", "");
    let (kernel, arch) = (kernel(), machine::arch());
    let files = [
        "bent".to_owned(),
        "bent-1.0".to_owned(),
        format!("bent-1.0-{kernel}"),
        format!("bent-1.0-{kernel}-{arch}"),
    ];
    for (number, file) in files.iter().enumerate() {
        world.write(
            format!("machine/etc/dkms/{file}.conf"),
            format!("MAKE[0]=\"echo override {number}; ${{MAKE[0]}}\"\n"),
        );
    }
    world.write(
        "machine/etc/dkms/bent-2.0.conf",
        "MAKE[0]='echo wrong; false'\n",
    );
    let log = build_and_log(&world, &package);
    assert!(
        log.contains("\noverride 3\noverride 2\noverride 1\noverride 0\n"),
        "{log}"
    );
}

#[test]
fn patches_of_the_machines_owner_are_laid_over_the_packages() {
    let world = World::new();
    let package = world.package("fixed", "MAKE[0]='grep fixed note; '\"${MAKE[0]}\"");
    world.write("fixed/note", "broken\n");
    world.write("machine/etc/dkms/fixed.conf", "PATCH[0]=fix.patch\n");
    world.write(
        "machine/etc/dkms/fixed/patches/fix.patch",
        "--- a/note\n+++ b/note\n@@ -1 +1 @@\n-broken\n+fixed\n",
    );
    assert!(build_and_log(&world, &package).contains("\nfixed\n"));
}

#[test]
fn a_script_of_the_machines_owner_replaces_the_packages() {
    let world = World::new();
    let package = world.package("scripted", "PRE_BUILD='prepare.sh x'");
    world.write_script("scripted/prepare.sh", "#!/bin/sh\necho from the package\n");
    world.write_script(
        "machine/etc/dkms/scripted/prepare.sh",
        "#!/bin/sh\necho from the owner $1\n",
    );
    let log = build_and_log(&world, &package);
    assert!(log.contains("\nfrom the owner x\n") && !log.contains("from the package"));
}

#[test]
fn framework_conf_moves_the_trees() {
    let world = World::new();
    world.package_at("machine/var/lib/sources/moved-1.0", "moved", "1.0", "");
    world.write(
        "machine/etc/dkms/framework.conf",
        "# moved\ndkms_tree=\"/var/lib/elsewhere\"\nsource_tree=/var/lib/sources\n",
    );
    let log = build_and_log(&world, "moved");
    assert!(log.contains("make.log for moved/1.0"));
    let kernel = kernel();
    world.package_at(
        "machine/var/lib/sources/placed-1.0",
        "placed",
        "1.0",
        "MAKE[0]='pwd; '\"${MAKE[0]}\"",
    );
    let log = build_and_log(&world, "placed");
    assert!(
        log.contains("\n/var/lib/elsewhere/placed/1.0/build\n"),
        "{log}"
    );
    world
        .on_machine("", format!("build absent -k {kernel}"))
        .exits(2)
        .says("/var/lib/sources");
}

#[test]
fn framework_conf_that_never_ends_is_stopped() {
    let world = World::new();
    let package = world.package("any", "");
    world.write("machine/etc/dkms/framework.conf", "while :; do :; done\n");
    world
        .on_machine(
            "",
            format!("build {package} -k {} --conf-timeout 1", kernel()),
        )
        .exits(3)
        .says("framework.conf");
}

#[test]
fn an_override_that_changes_is_a_miss_and_is_named() {
    let world = World::new();
    let package = world.package("bent", "");
    let kernel = kernel();
    world.write("machine/etc/dkms/bent.conf", "STRIP[0]=no\n");
    world
        .on_machine("", format!("build {package} -k {kernel}"))
        .exits(0);
    world.write("machine/etc/dkms/bent.conf", "STRIP[0]=yes\n");
    world
        .on_machine("", format!("explain {package} -k {kernel}"))
        .exits(0)
        .says("STRIP[0] changed from \"false\" to \"true\"");
}
