//! Disks that are full or may not be written to.

use super::{machine::Machine, modules::Module, source::Source};

#[test]
fn modules_that_may_not_be_written() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.build(&Source::of("hello", "2.0", Module::Two));
    machine.shell("mount -o remount,bind,ro /lib/modules");
    machine
        .dkms("install hello/2.0 -k KERNEL")
        .exits(6)
        .says("Installing /lib/modules/KERNEL/updates/dkms/hello.ko\n")
        .says("\nError! ")
        .says("Read-only file system");
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
    machine.dkms("status").prints(
        "
        hello/1.0, KERNEL, ARCH: installed
        hello/2.0, KERNEL, ARCH: built
        ",
    );
}

#[test]
fn a_tree_that_may_not_be_written() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.shell("mount -o remount,bind,ro /var/lib/dkms");
    for line in [
        "add other/1.0",
        "build hello/1.0 -k SECOND",
        "remove hello/1.0 --all",
    ] {
        machine
            .dkms(line)
            .exits(1)
            .warns("\nError! No write access to DKMS tree at /var/lib/dkms\n");
    }
    machine
        .dkms("status")
        .exits(0)
        .prints("hello/1.0, KERNEL, ARCH: installed\n");
}

#[test]
fn modules_that_find_no_room() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    machine.shell(
        "mkdir small; cp -rP /lib/modules/. small/; mount -t tmpfs -o size=64k none /lib/modules
         cp -rP small/. /lib/modules/; dd if=/dev/zero of=/lib/modules/fill bs=1k 2>/dev/null || :",
    );
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(6)
        .says("No space left on device");
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: built\n");
    machine.shell("rm /lib/modules/fill; rm -rf /lib/modules/KERNEL/updates");
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    machine
        .shell("cmp /lib/modules/KERNEL/updates/dkms/hello.ko /var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko")
        .exits(0);
}
