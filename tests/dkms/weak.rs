//! Modules that other kernels get through links: Red Hat's and SUSE's weak-modules.

use super::{
    kernel::named,
    machine::{Machine, Setup},
    source::Source,
};

/// A weak-modules that notes its arguments and what it is given.
const WEAK: &str = "#!/bin/sh\necho \"$*\" >>$TMPDIR/weak\ncat >>$TMPDIR/weak\n";

fn redhat() -> Setup {
    Machine::setup()
        .distribution("ID=rhel\nID_LIKE=fedora\n")
        .program("rpm", "#!/bin/sh\nexit 1\n")
}

#[test]
fn fedora_has_none() {
    let machine = redhat().script("/usr/sbin/weak-modules", WEAK).start();
    machine.install(&Source::hello());
    assert!(!machine.has("/tmp/weak"));
}

#[test]
fn are_told_of_what_comes_and_goes() {
    let machine = Machine::setup()
        .distribution("ID=rhel\n")
        .program("rpm", "#!/bin/sh\nexit 1\n")
        .script("/usr/sbin/weak-modules", WEAK)
        .start();
    machine.build(&Source::hello());
    machine.dkms("install hello/1.0 -k KERNEL").exits(0).prints(
        "
        Installing /lib/modules/KERNEL/extra/hello.ko
        Adding linked weak modules...
        Running depmod... done.
        ",
    );
    let told = |options: &str| {
        named(&format!(
            "--no-initramfs {options}\n/lib/modules/KERNEL/extra/hello.ko\n"
        ))
    };
    assert_eq!(machine.read("/tmp/weak"), told("--add-modules"));
    machine.shell("rm $TMPDIR/weak");
    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(0)
        .prints(
            "
            Module hello/1.0 for kernel KERNEL (ARCH):
            Before uninstall, this module version was ACTIVE on this kernel.
            Removing linked weak modules...
            Deleting /lib/modules/KERNEL/extra/hello.ko
            Running depmod... done.
            ",
        );
    assert_eq!(machine.read("/tmp/weak"), told("--remove-modules"));
}

#[test]
fn of_suse() {
    let machine = Machine::setup()
        .distribution("ID=sles\nID_LIKE=suse\n")
        .program("rpm", "#!/bin/sh\nexit 1\n")
        .script("/usr/lib/module-init-tools/weak-modules2", WEAK)
        .start();
    machine.build(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(0)
        .says("Installing /lib/modules/KERNEL/updates/hello.ko\nAdding linked weak modules...\n");
    let told = machine.read("/tmp/weak");
    assert!(told.starts_with("--add-kernel-modules "), "{told}");
    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(0)
        .says("Removing linked weak modules...\n");
}

#[test]
fn are_not_told_of_packages_that_want_none() {
    let machine = Machine::setup()
        .distribution("ID=rhel\n")
        .program("rpm", "#!/bin/sh\nexit 1\n")
        .script("/usr/sbin/weak-modules", WEAK)
        .start();
    machine.build(&Source::hello().conf("NO_WEAK_MODULES=yes"));
    machine.dkms("install hello/1.0 -k KERNEL").exits(0).prints(
        "
        Installing /lib/modules/KERNEL/extra/hello.ko
        Running depmod... done.
        ",
    );
    machine.dkms("uninstall hello/1.0 -k KERNEL").exits(0);
    assert!(!machine.has("/tmp/weak"));
}
