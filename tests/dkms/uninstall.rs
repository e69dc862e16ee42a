//! `dkms uninstall` and `dkms unbuild`.

use super::{kernel::named, machine::Machine, modules::Module, source::Source};

const UNINSTALLED: &str = "
    Module hello/1.0 for kernel KERNEL (ARCH):
    Before uninstall, this module version was ACTIVE on this kernel.
    Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
    Running depmod... done.
    ";

#[test]
fn uninstall_and_again() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(0)
        .prints(UNINSTALLED);
    machine.holds("/lib/modules", "KERNEL/\nSECOND/\n");
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: built\n");
    assert!(!machine.has(named("/var/lib/dkms/hello/kernel-KERNEL-ARCH")));
    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(0)
        .prints(
            "
            Module hello/1.0 is not installed for kernel KERNEL (ARCH). Skipping...
            ",
        );
}

#[test]
fn uninstall_leaves_what_others_put_beside_it() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.write(named("/lib/modules/KERNEL/updates/other.ko"), "");
    machine.dkms("uninstall hello/1.0 -k KERNEL").exits(0);
    machine.holds(
        "/lib/modules",
        "
        KERNEL/
        KERNEL/updates/
        KERNEL/updates/other.ko
        SECOND/
        ",
    );
}

#[test]
fn uninstall_leaves_a_module_of_another_version() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.write(
        named("/lib/modules/KERNEL/updates/dkms/hello.ko"),
        Module::Two.bytes(),
    );
    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(0)
        .prints(
            "
            Module hello/1.0 for kernel KERNEL (ARCH):
            Before uninstall, this module version was ACTIVE on this kernel.
            Module hello.ko was not found within /lib/modules/KERNEL/
            Running depmod... done.
            ",
        );
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::Two.bytes()
    );
}

#[test]
fn uninstall_what_somebody_deleted() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.shell("rm -r /lib/modules/KERNEL/updates");
    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(0)
        .prints(
            "
            Module hello/1.0 for kernel KERNEL (ARCH):
            Before uninstall, this module version was ACTIVE on this kernel.
            Module hello.ko was not found within /lib/modules/KERNEL/
            Running depmod... done.
            ",
        );
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: built\n");
}

#[test]
fn uninstall_from_a_kernel_that_has_gone() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.shell("rm -r /lib/modules/KERNEL");
    machine.dkms("remove hello/1.0 --all").exits(0).prints(
        "
        Module hello/1.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Module hello.ko was not found within /lib/modules/KERNEL/
        Running depmod... done.

        Deleting module hello/1.0 completely from the DKMS tree.
        ",
    );
    machine.holds("/lib/modules", "SECOND/\n");
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn uninstall_from_two_kernels() {
    let machine = Machine::with_added(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL -k SECOND")
        .exits(0);
    machine
        .dkms("uninstall hello/1.0 -k KERNEL -k SECOND")
        .exits(0)
        .prints(
            "
            Module hello/1.0 for kernel KERNEL (ARCH):
            Before uninstall, this module version was ACTIVE on this kernel.
            Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
            Running depmod... done.

            Module hello/1.0 for kernel SECOND (ARCH):
            Before uninstall, this module version was ACTIVE on this kernel.
            Deleting /lib/modules/SECOND/updates/dkms/hello.ko
            Running depmod... done.
            ",
        );
}

/// What is built comes first, then what is installed, whatever the kernels.
#[test]
fn uninstall_all() {
    let machine = Machine::with_added(&Source::hello());
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    machine.dkms("build hello/1.0 -k SECOND").exits(0);
    machine.dkms("uninstall hello/1.0 --all").exits(0).prints(
        "
        Module hello/1.0 is not installed for kernel SECOND (ARCH). Skipping...

        Module hello/1.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.
        ",
    );
}

#[test]
fn unbuild_and_again() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    machine.dkms("unbuild hello/1.0 -k KERNEL").exits(0).prints(
        "
        Module hello/1.0 is not installed for kernel KERNEL (ARCH). Skipping...
        ",
    );
    machine.holds(
        "/var/lib/dkms",
        "
        hello/
        hello/1.0/
        hello/1.0/source -> /usr/src/hello-1.0
        ",
    );
    machine.dkms("status").prints("hello/1.0: added\n");
    machine.dkms("unbuild hello/1.0 -k KERNEL").exits(0).prints(
        "
        Module hello/1.0 is not installed for kernel KERNEL (ARCH). Skipping...
        Module hello/1.0 is not built for kernel KERNEL (ARCH). Skipping...
        ",
    );
}

#[test]
fn unbuild_uninstalls() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine
        .dkms("unbuild hello/1.0 -k KERNEL")
        .exits(0)
        .prints(UNINSTALLED);
    machine.dkms("status").prints("hello/1.0: added\n");
}

#[test]
fn unbuild_one_of_two_kernels_and_architectures() {
    let machine = Machine::with_added(&Source::hello());
    machine
        .dkms("build hello/1.0 -k KERNEL/ARCH -k KERNEL/other -k SECOND/ARCH")
        .exits(0);
    machine.dkms("unbuild hello/1.0 -k KERNEL").exits(0);
    machine.dkms("status").prints(
        "
        hello/1.0, KERNEL, other: built
        hello/1.0, SECOND, ARCH: built
        ",
    );
    machine.dkms("unbuild hello/1.0 --all").exits(0).prints(
        "
        Module hello/1.0 is not installed for kernel KERNEL (other). Skipping...

        Module hello/1.0 is not installed for kernel SECOND (ARCH). Skipping...
        ",
    );
    machine.dkms("status").prints("hello/1.0: added\n");
}

#[test]
fn without_a_usable_conf() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.shell("rm /usr/src/hello-1.0/dkms.conf");
    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(4)
        .prints_both(
            "
            Module hello/1.0 for kernel KERNEL (ARCH):
            ",
            "

            Error! Could not locate dkms.conf file.
            File: /var/lib/dkms/hello/1.0/source/dkms.conf does not exist.
            ",
        );
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
}
