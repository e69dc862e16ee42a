//! What a kernel's own package calls: kernel_preinst, kernel_postinst, kernel_prerm.

use super::{machine::Machine, modules::Module, source::Source};

/// A machine on which `hello` and `other` are installed for two kernels.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.add(&Source::hello());
    machine.add(&Source::of("other", "1.0", Module::One));
    for package in ["hello/1.0", "other/1.0"] {
        machine
            .dkms(format!("install {package} -k KERNEL -k SECOND"))
            .exits(0);
    }
    machine
}

#[test]
fn with_nothing_to_do() {
    let machine = Machine::new();
    for action in ["kernel_preinst", "kernel_postinst", "kernel_prerm"] {
        for kernel in ["KERNEL", "9.9.9"] {
            machine
                .dkms(format!("{action} -k {kernel}"))
                .exits(0)
                .prints("");
        }
    }
    let machine = Machine::with_added(&Source::hello());
    for action in ["kernel_preinst", "kernel_prerm"] {
        machine
            .dkms(format!("{action} -k KERNEL"))
            .exits(0)
            .prints("");
    }
}

#[test]
fn postinst_installs() {
    let machine = Machine::with_added(&Source::hello());
    machine.dkms("kernel_postinst -k KERNEL").exits(0).prints(
        "
        Module signing is disabled by policy, modules won't be signed

        Autoinstall of module hello/1.0 for kernel KERNEL (ARCH)
        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.

        Autoinstall on KERNEL succeeded for module(s) hello.
        ",
    );
    machine
        .dkms("kernel_postinst -k KERNEL")
        .exits(0)
        .prints("");
}

#[test]
fn postinst_without_headers() {
    let machine = Machine::with_added(&Source::hello());
    machine
        .dkms("kernel_postinst -k 9.9.9")
        .exits(21)
        .says("Error! Your kernel headers for kernel 9.9.9 cannot be found");
}

#[test]
fn prerm_removes_what_was_built_for_the_kernel() {
    let machine = machine();
    machine.dkms("kernel_prerm -k KERNEL").exits(0).prints_both(
        "
        Module hello/1.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/hello.ko

        Module other/1.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/other.ko

        Running depmod... done.
        ",
        "
        dkms: removing module hello/1.0 for kernel KERNEL (ARCH)
        dkms: removing module other/1.0 for kernel KERNEL (ARCH)
        ",
    );
    machine.dkms("status").prints(
        "
        hello/1.0, SECOND, ARCH: installed
        other/1.0, SECOND, ARCH: installed
        ",
    );
    machine.dkms("kernel_prerm -k KERNEL").exits(0).prints("");
    machine.holds(
        "/lib/modules",
        "
        KERNEL/
        SECOND/
        SECOND/updates/
        SECOND/updates/dkms/
        SECOND/updates/dkms/hello.ko
        SECOND/updates/dkms/other.ko
        ",
    );
}

#[test]
fn prerm_of_what_is_only_built() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    machine.dkms("kernel_prerm -k KERNEL").exits(0).prints_both(
        "
        Module hello/1.0 is not installed for kernel KERNEL (ARCH). Skipping...

        ",
        "
        dkms: removing module hello/1.0 for kernel KERNEL (ARCH)
        ",
    );
    machine.dkms("status").prints("hello/1.0: added\n");
}

#[test]
fn prerm_sweeps_empty_directories() {
    let machine = machine();
    machine.shell("mkdir -p /lib/modules/KERNEL/kernel/drivers/none");
    machine.dkms("kernel_prerm -k KERNEL").exits(0);
    assert!(!machine.has(super::kernel::named("/lib/modules/KERNEL/kernel")));
}

#[test]
fn preinst_removes_too() {
    let machine = machine();
    machine
        .dkms("kernel_preinst -k KERNEL")
        .exits(0)
        .prints_both(
            "
        Module hello/1.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
        Module other/1.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/other.ko
        Running depmod... done.
        ",
            "
        dkms: removing module hello/1.0 for kernel KERNEL (ARCH)
        dkms: removing module other/1.0 for kernel KERNEL (ARCH)
        ",
        );
    machine
        .dkms("status -k KERNEL")
        .prints("hello/1.0: added\nother/1.0: added\n");
}

#[test]
fn preinst_leaves_what_would_not_come_back() {
    let machine = Machine::new();
    machine.install(&Source::hello().conf("AUTOINSTALL=\"\""));
    machine.dkms("kernel_preinst -k KERNEL").exits(0).prints("");
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: installed\n");
    machine
        .dkms("kernel_prerm -k KERNEL")
        .exits(0)
        .says("Deleting /lib/modules/KERNEL/updates/dkms/hello.ko");
}

#[test]
fn prerm_goes_on_after_one_that_fails() {
    let machine = machine();
    machine.shell("rm /usr/src/hello-1.0/dkms.conf");
    machine
        .dkms("kernel_prerm -k KERNEL")
        .exits(14)
        .prints_both(
            "
        Module hello/1.0 for kernel KERNEL (ARCH):

        Module other/1.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/other.ko

        Running depmod... done.
        ",
            "
        dkms: removing module hello/1.0 for kernel KERNEL (ARCH)

        Error! Could not locate dkms.conf file.
        File: /var/lib/dkms/hello/1.0/source/dkms.conf does not exist.
        dkms: removing module other/1.0 for kernel KERNEL (ARCH)

        Error! dkms kernel_prerm for kernel KERNEL (ARCH) failed for module(s) hello/1.0(4).
        ",
        );
}

#[test]
fn prerm_of_a_kernel_whose_files_have_gone() {
    let machine = machine();
    machine.shell("rm -r /lib/modules/KERNEL");
    machine
        .dkms("kernel_prerm -k KERNEL")
        .exits(0)
        .says("Module hello.ko was not found within /lib/modules/KERNEL/");
    machine.dkms("status").prints(
        "
        hello/1.0, SECOND, ARCH: installed
        other/1.0, SECOND, ARCH: installed
        ",
    );
    machine.holds("/lib/modules", "SECOND/\nSECOND/updates/\nSECOND/updates/dkms/\nSECOND/updates/dkms/hello.ko\nSECOND/updates/dkms/other.ko\n");
}

#[test]
fn an_upgrade_of_a_kernel() {
    let machine = machine();
    let before = (machine.tree("/lib/modules"), machine.tree("/var/lib/dkms"));
    machine.dkms("kernel_preinst -k KERNEL").exits(0);
    machine.dkms("kernel_postinst -k KERNEL").exits(0);
    assert_eq!(
        (machine.tree("/lib/modules"), machine.tree("/var/lib/dkms")),
        before
    );
}
