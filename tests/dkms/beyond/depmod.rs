//! depmod runs once, and its failure is noticed.

use crate::{kernel::named, machine::Machine, modules::Module, source::Source};

/// A depmod that notes when it runs beside another one of the same kernel.
const ALONE: &str = "#!/bin/sh
[ ! -e $TMPDIR/running ] || echo beside another >>$TMPDIR/collisions
: >$TMPDIR/running
echo run >>$TMPDIR/runs
sleep 0.3
rm -f $TMPDIR/running
";

#[test]
fn once_for_all_that_is_installed() {
    let machine = Machine::setup().installed_kernel().start();
    for name in ["one", "two", "three"] {
        machine.add(&Source::of(name, "1.0", Module::One));
    }
    machine.add(&Source::dependent("four").conf("BUILD_DEPENDS=one"));
    machine.dkms("autoinstall -k KERNEL").exits(0);
    assert_eq!(machine.depmods(), ["-a KERNEL"]);
    assert_eq!(machine.tree("/lib/modules").matches(".ko\n").count(), 4);
    machine.dkms("autoinstall -k KERNEL").exits(0);
    assert_eq!(machine.depmods(), ["-a KERNEL"]);
}

#[test]
fn once_for_all_that_a_kernel_loses() {
    let machine = Machine::setup().installed_kernel().start();
    for name in ["one", "two"] {
        machine.add(&Source::of(name, "1.0", Module::One));
    }
    machine.dkms("autoinstall -k KERNEL").exits(0);
    machine.dkms("kernel_prerm -k KERNEL").exits(0);
    assert_eq!(machine.depmods(), ["-a KERNEL"; 2]);
}

#[test]
fn colliding_depmods_never_happen() {
    let machine = Machine::setup()
        .installed_kernel()
        .program("depmod", ALONE)
        .start();
    for name in ["one", "two", "three"] {
        machine.build(&Source::of(name, "1.0", Module::One));
    }
    let running =
        ["one", "two", "three"].map(|name| machine.start(&format!("install {name}/1.0 -k KERNEL")));
    for run in running {
        run.finish().exits(0);
    }
    assert_eq!(machine.read("/tmp/runs"), "run\nrun\nrun\n");
    assert!(!machine.has("/tmp/collisions"));
}

#[test]
fn that_fails_takes_the_module_back() {
    let machine = Machine::setup()
        .installed_kernel()
        .program("depmod", "#!/bin/sh\necho no >&2\nexit 3\n")
        .start();
    machine.build(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(6)
        .prints_both(
            "
            Installing /lib/modules/KERNEL/updates/dkms/hello.ko
            Running depmod...(bad exit status: 3)
            Failed command:
            do_depmod KERNEL
            Module hello/1.0 for kernel KERNEL (ARCH):
            Before uninstall, this module version was ACTIVE on this kernel.
            Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
            Running depmod...(bad exit status: 3)
            Failed command:
            do_depmod KERNEL
            ",
            "

            Error! Problems with depmod detected. Automatically uninstalling this module.
            Install Failed (depmod problems). Module rolled back to built state.
            ",
        );
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: built\n");
    machine.holds("/lib/modules", "KERNEL/\nKERNEL/modules.dep\nSECOND/\n");
}

#[test]
fn that_fails_after_automatic_installation() {
    let machine = Machine::setup()
        .installed_kernel()
        .program("depmod", "#!/bin/sh\nexit 3\n")
        .start();
    machine.add(&Source::hello());
    machine.add(&Source::of("other", "1.0", Module::One));
    machine
        .dkms("autoinstall -k KERNEL")
        .exits(11)
        .says("Autoinstall on KERNEL failed for module(s) hello(6) other(6).\n");
    machine.dkms("status").prints(
        "
        hello/1.0, KERNEL, ARCH: built
        other/1.0, KERNEL, ARCH: built
        ",
    );
    machine.holds("/lib/modules", "KERNEL/\nKERNEL/modules.dep\nSECOND/\n");
}

#[test]
fn the_real_one_finds_what_was_installed() {
    let machine = Machine::setup().installed_kernel().start();
    machine.shell("rm $(command -v depmod); : >/lib/modules/KERNEL/modules.builtin; : >/lib/modules/KERNEL/modules.order");
    machine.install(&Source::hello());
    assert!(
        machine
            .read(named("/lib/modules/KERNEL/modules.dep"))
            .contains("updates/dkms/hello.ko:")
    );
    machine.dkms("uninstall hello/1.0 -k KERNEL").exits(0);
    assert!(
        !machine
            .path(named("/lib/modules/KERNEL/modules.dep"))
            .exists()
    );
}
