//! A full disk.

use crate::{machine::Machine, source::Source};

#[test]
fn a_build_that_finds_no_room_fails() {
    let machine = Machine::new();
    machine.source(&Source::hello());
    machine.shell("mount -t tmpfs -o size=64k none /var/lib/dkms");
    machine.dkms("add hello/1.0").exits(0);
    machine.shell("cat /dev/zero >/var/lib/dkms/fill 2>/dev/null || :");
    let run = machine.dkms("build hello/1.0 -k KERNEL");
    assert_ne!(run.exits_with(), Some(0), "{run}");
    assert!(run.err.to_lowercase().contains("no space left"), "{run}");
    machine.dkms("status").prints("hello/1.0: added\n");
    machine.shell("rm /var/lib/dkms/fill; mount -o remount,size=1m /var/lib/dkms");
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
    machine
        .shell("cmp /var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko /usr/src/hello-1.0/prebuilt/KERNEL/hello.ko")
        .exits(0);
}

#[test]
fn a_replacement_that_finds_no_room_leaves_the_old_module() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    machine.build(&Source::of("hello", "2.0", crate::modules::Module::Two));
    machine.shell(
        "mkdir small; cp -rP /lib/modules/. small/; mount -t tmpfs -o size=128k none /lib/modules
         cp -rP small/. /lib/modules/",
    );
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    machine.shell("cat /dev/zero >/lib/modules/fill 2>/dev/null || :");
    machine
        .dkms("install hello/2.0 -k KERNEL")
        .exits(6)
        .says("No space left on device");
    machine
        .shell("cmp /lib/modules/KERNEL/updates/dkms/hello.ko /var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko; find /lib/modules -name '*kiln*'")
        .exits(0)
        .prints("");
    machine.dkms("status").prints(
        "
        hello/1.0, KERNEL, ARCH: installed
        hello/2.0, KERNEL, ARCH: built
        ",
    );
}
