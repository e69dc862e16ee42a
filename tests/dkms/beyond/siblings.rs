//! A package that fails takes nothing from others, nor from its own former version.

use crate::{kernel::named, machine::Machine, modules::Module, source::Source};

#[test]
fn a_failing_version_leaves_the_old_module() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.install(&Source::of("other", "1.0", Module::One));
    let failing = Source::of("hello", "2.0", Module::Two)
        .conf("MAKE[0]='make fail'")
        .file("Makefile", "fail:\n\t@exit 1\n");
    machine.add(&failing);
    machine.add(&Source::of("other", "2.0", Module::Two));
    machine.dkms("autoinstall -k KERNEL").exits(11);
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
    assert_eq!(
        machine.installed("updates/dkms/other.ko"),
        Module::Two.bytes()
    );
    machine.dkms("status").prints(
        "
        hello/1.0, KERNEL, ARCH: installed
        hello/2.0: added
        other/1.0, KERNEL, ARCH: built
        other/2.0, KERNEL, ARCH: installed
        ",
    );
}

#[test]
fn one_that_cannot_be_installed_leaves_the_others() {
    let machine = Machine::new();
    machine.write(
        named("/lib/modules/KERNEL/kernel/middle.ko"),
        Module::Two.bytes(),
    );
    for name in ["first", "middle", "zlast"] {
        machine.add(&Source::of(name, "1.0", Module::One));
    }
    machine
        .dkms("autoinstall -k KERNEL")
        .exits(11)
        .says("Autoinstall on KERNEL succeeded for module(s) first zlast.\n")
        .says("Autoinstall on KERNEL failed for module(s) middle(6).\n");
    assert_eq!(machine.installed("kernel/middle.ko"), Module::Two.bytes());
    assert_eq!(
        machine.installed("updates/dkms/zlast.ko"),
        Module::One.bytes()
    );
}

#[test]
fn a_failing_rebuild_leaves_the_old_module() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.install(&Source::dependent("above").conf("BUILD_DEPENDS_REBUILD=yes"));
    machine.add(&Source::of("hello", "2.0", Module::Two));
    let conf = machine.read("/usr/src/above-1.0/dkms.conf");
    machine.write("/usr/src/above-1.0/dkms.conf", conf + "MAKE[0]=false\n");
    machine.dkms("install hello/2.0 -k KERNEL");
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::Two.bytes()
    );
    assert_eq!(
        machine.installed("updates/dkms/above.ko"),
        Module::One.bytes()
    );
}

#[test]
fn building_by_force_and_failing_keeps_what_was_built() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    let conf = machine.read("/usr/src/hello-1.0/dkms.conf");
    machine.write("/usr/src/hello-1.0/dkms.conf", conf + "MAKE[0]=false\n");
    machine.dkms("build hello/1.0 -k KERNEL --force").exits(10);
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: installed\n");
}
