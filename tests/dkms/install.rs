//! `dkms install`: what it prints, places and refuses.

use std::fs;

use super::{machine::Machine, modules::Module, source::Source};

const INSTALLED: &str = "
    Installing /lib/modules/KERNEL/updates/dkms/hello.ko
    Running depmod... done.
    ";

#[test]
fn what_is_built() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(0)
        .prints(INSTALLED);
    machine.holds(
        "/lib/modules",
        "
        KERNEL/
        KERNEL/updates/
        KERNEL/updates/dkms/
        KERNEL/updates/dkms/hello.ko
        SECOND/
        ",
    );
    machine.holds(
        "/var/lib/dkms",
        "
        hello/
        hello/1.0/
        hello/1.0/KERNEL/
        hello/1.0/KERNEL/ARCH/
        hello/1.0/KERNEL/ARCH/log/
        hello/1.0/KERNEL/ARCH/log/make.log
        hello/1.0/KERNEL/ARCH/module/
        hello/1.0/KERNEL/ARCH/module/hello.ko
        hello/1.0/source -> /usr/src/hello-1.0
        hello/kernel-KERNEL-ARCH -> 1.0/KERNEL/ARCH
        ",
    );
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
    let module = super::kernel::named("/lib/modules/KERNEL/updates/dkms/hello.ko");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(machine.path(module)).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn what_is_not_even_added() {
    let machine = Machine::new();
    machine.source(&Source::hello());
    machine.dkms("install hello/1.0 -k KERNEL").exits(0).prints(
        "
        Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0

        Module signing is disabled by policy, modules won't be signed

        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.
        ",
    );
    machine.dkms("install other/1.0 -k KERNEL").exits(2).warns(
        "

        Error! Could not find module source directory.
        Directory: /usr/src/other-1.0 does not exist.
        ",
    );
}

#[test]
fn what_cannot_be_built() {
    let machine = Machine::with_added(&Source::failing("hello"));
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(10)
        .says("Error! Bad return status for module build on kernel: KERNEL (ARCH)");
    machine.holds("/lib/modules", "KERNEL/\nSECOND/\n");
    machine.dkms("status").prints("hello/1.0: added\n");
}

#[test]
fn twice_and_by_force() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.dkms("install hello/1.0 -k KERNEL").exits(0).prints(
        "
        Module hello/1.0 already installed on kernel KERNEL (ARCH), skip. You may override by \
         specifying --force.
        ",
    );
    machine
        .dkms("install hello/1.0 -k KERNEL --force")
        .exits(0)
        .prints(
            "
            Module hello/1.0 for kernel KERNEL (ARCH):
            Before uninstall, this module version was ACTIVE on this kernel.
            Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
            Running depmod... done.

            Installing /lib/modules/KERNEL/updates/dkms/hello.ko
            Running depmod... done.
            ",
        );
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
}

#[test]
fn for_two_kernels() {
    let machine = Machine::new();
    machine.add(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL -k SECOND")
        .exits(0)
        .prints(
            "
            Module signing is disabled by policy, modules won't be signed

            Building module(s)... done.
            Installing /lib/modules/KERNEL/updates/dkms/hello.ko
            Running depmod... done.
            Module signing is disabled by policy, modules won't be signed

            Building module(s)... done.
            Installing /lib/modules/SECOND/updates/dkms/hello.ko
            Running depmod... done.
            ",
        );
    machine.dkms("status").prints(
        "
        hello/1.0, KERNEL, ARCH: installed
        hello/1.0, SECOND, ARCH: installed
        ",
    );
}

#[test]
fn onto_a_kernel_that_is_not_there() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    machine.shell("mkdir /var/lib/dkms/hello/1.0/9.9.9; cp -r /var/lib/dkms/hello/1.0/KERNEL/ARCH /var/lib/dkms/hello/1.0/9.9.9/");
    machine.dkms("install hello/1.0 -k 9.9.9").exits(6).warns(
        "

        Error! The directory /lib/modules/9.9.9 doesn't exist.
        You cannot install a module onto a non-existent kernel.
        ",
    );
}

#[test]
fn without_a_module_that_was_built() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    machine.shell("rm /var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko");
    machine.dkms("install hello/1.0 -k KERNEL").exits(6).warns(
        "

        Error! Missing module hello in /var/lib/dkms/hello/1.0/KERNEL/ARCH/module
        ",
    );
}

#[test]
fn depmod_runs_where_a_kernel_is_installed() {
    let machine = Machine::setup().installed_kernel().start();
    machine.add(&Source::hello());
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    assert_eq!(machine.depmods(), ["-a KERNEL"]);
    machine.dkms("uninstall hello/1.0 -k KERNEL").exits(0);
    assert_eq!(machine.depmods(), ["-a KERNEL"; 2]);
    machine
        .dkms("install hello/1.0 -k SECOND")
        .exits(0)
        .says("Running depmod... done.");
    assert_eq!(machine.depmods(), ["-a KERNEL"; 2]);
}

#[test]
fn depmod_is_told_the_symbols_of_the_kernel() {
    let map = super::kernel::named("/boot/System.map-KERNEL");
    let machine = Machine::setup().installed_kernel().file(&map, "").start();
    machine.add(&Source::hello());
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    assert_eq!(machine.depmods(), ["-a KERNEL -F /boot/System.map-KERNEL"]);
}

#[test]
fn depmod_may_be_left_out() {
    let machine = Machine::setup().installed_kernel().start();
    machine.add(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL --no-depmod")
        .exits(0)
        .says("Running depmod... done.");
    machine
        .dkms("uninstall hello/1.0 -k KERNEL --no-depmod")
        .exits(0)
        .says("Running depmod... done.");
    assert_eq!(machine.depmods(), [""; 0]);
}

#[test]
fn as_links() {
    for conf in ["--symlink-modules", ""] {
        let machine = Machine::new();
        if conf.is_empty() {
            machine.write(
                "/etc/dkms/framework.conf.d/links.conf",
                "symlink_modules=\"yes\"\n",
            );
        }
        machine.build(&Source::hello());
        machine
            .dkms(format!("install hello/1.0 -k KERNEL {conf}"))
            .exits(0)
            .prints(INSTALLED);
        let link = super::kernel::named("/lib/modules/KERNEL/updates/dkms/hello.ko");
        assert_eq!(
            machine.link(&link),
            "/var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko"
        );
        machine
            .dkms("status")
            .prints("hello/1.0, KERNEL, ARCH: installed\n");
        machine.dkms("uninstall hello/1.0 -k KERNEL").exits(0);
        assert!(!machine.has(&link));
    }
}

#[test]
fn two_versions_take_turns() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.build(&Source::of("hello", "2.0", Module::Two));
    machine
        .dkms("install hello/2.0 -k KERNEL")
        .exits(0)
        .prints(INSTALLED);
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::Two.bytes()
    );
    machine.dkms("status").prints(
        "
        hello/1.0, KERNEL, ARCH: built
        hello/2.0, KERNEL, ARCH: installed
        ",
    );
    machine.dkms("install hello/1.0 -k KERNEL").exits(6).warns(
        "

        Error! Module version 1.0 for hello.ko
        is not newer than what is already found in kernel KERNEL (2.0).
        You may override by specifying --force.

        Error! Installation aborted.
        ",
    );
    machine
        .dkms("install hello/1.0 -k KERNEL --force")
        .exits(0)
        .prints(INSTALLED);
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
fn a_package_without_modules() {
    let machine = Machine::new();
    machine.source(
        &Source::empty("none", "1.0")
            .conf("MAKE[0]=true")
            .file("a", ""),
    );
    machine
        .dkms("install none/1.0 -k KERNEL")
        .exits(0)
        .prints_both(
            "
        Creating symlink /var/lib/dkms/none/1.0/source -> /usr/src/none-1.0

        Module signing is disabled by policy, modules won't be signed

        Building module(s)... done.
        Running depmod... done.
        ",
            "
        dkms.conf: Warning! Zero modules specified.
        dkms.conf: Warning! Zero modules specified.
        dkms.conf: Warning! Zero modules specified.
        ",
        );
    machine
        .dkms("status")
        .prints("none/1.0, KERNEL, ARCH: installed\n");
    machine
        .dkms("uninstall none/1.0 -k KERNEL")
        .exits(0)
        .prints(
            "
        Module none/1.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Running depmod... done.
        ",
        );
}

#[test]
fn modprobe_is_only_for_the_kernel_that_runs() {
    let log = |machine: &Machine| {
        std::fs::read_to_string(machine.path("/home/modprobed")).unwrap_or_default()
    };
    let machine = Machine::setup()
        .running_kernel()
        .program("modprobe", "#!/bin/sh\necho \"$*\" >>modprobed\n")
        .program("systemctl", "#!/bin/sh\n")
        .start();
    machine.add(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL --modprobe-on-install")
        .exits(0);
    assert_eq!(log(&machine), "");
    machine
        .dkms("install hello/1.0 -k RUNNING --modprobe-on-install")
        .exits(0);
    assert!(log(&machine).starts_with("-a -b -q"), "{}", log(&machine));
}
