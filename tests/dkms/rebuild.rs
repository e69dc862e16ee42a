//! BUILD_DEPENDS_REBUILD: a package is built anew when what it depends on has changed.

use super::{kernel::named, machine::Machine, modules::Module, source::Source};

fn dependent() -> Source {
    Source::dependent("above").conf("BUILD_DEPENDS_REBUILD=yes")
}

const NOTE: &str = "/var/lib/dkms/above/1.0/KERNEL/ARCH/.dep_hello";

#[test]
fn a_build_notes_what_it_depended_on() {
    let machine = Machine::with_added(&dependent());
    machine.add(&Source::hello());
    machine.dkms("autoinstall -k KERNEL").exits(0);
    assert_eq!(machine.read(named(NOTE)), "1.0\n");
    machine.dkms("autoinstall -k KERNEL").exits(0).prints("");
    machine
        .dkms("status")
        .says("above/1.0, KERNEL, ARCH: installed\n");
}

#[test]
fn another_version_has_it_built_again() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.install(&dependent());
    machine.add(&Source::of("hello", "2.0", Module::Two));
    machine.dkms("install hello/2.0 -k KERNEL").exits(0).prints(
        "
        Module signing is disabled by policy, modules won't be signed

        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.

        Rebuilding module above/1.0 due to updated dependencies

        Module above/1.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/above.ko
        Running depmod... done.
        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/above.ko
        Running depmod... done.
        ",
    );
    assert_eq!(machine.read(named(NOTE)), "2.0\n");
    machine.dkms("status").prints(
        "
        above/1.0, KERNEL, ARCH: installed
        hello/1.0, KERNEL, ARCH: built
        hello/2.0, KERNEL, ARCH: installed
        ",
    );
}

#[test]
fn a_note_that_is_missing_has_it_built_again() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.install(&dependent());
    machine.shell(&format!("rm {NOTE}"));
    machine.install(&Source::of("another", "1.0", Module::One));
    assert_eq!(machine.read(named(NOTE)), "1.0\n");
}

#[test]
fn by_force_there_is_neither_note_nor_rebuild() {
    let machine = Machine::new();
    machine.add(&dependent());
    machine.dkms("install above/1.0 -k KERNEL --force").exits(0);
    assert!(!machine.has(named(NOTE)));
    machine.add(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL --force")
        .exits(0)
        .never_says("Rebuilding");
}

#[test]
fn without_the_directive_nothing_is_built_again() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.install(&Source::dependent("above"));
    assert!(!machine.has(named(NOTE)));
    machine.add(&Source::of("hello", "2.0", Module::Two));
    machine
        .dkms("install hello/2.0 -k KERNEL")
        .exits(0)
        .never_says("Rebuilding");
}

#[test]
fn other_kernels_are_left_alone() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.install(&dependent());
    machine.add(&Source::of("hello", "2.0", Module::Two));
    machine
        .dkms("install hello/2.0 -k SECOND")
        .exits(0)
        .never_says("Rebuilding");
}
