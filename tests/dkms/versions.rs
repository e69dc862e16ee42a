//! What `dkms install` does about a module of that name that the kernel has already.

use super::{kernel::named, machine::Machine, modules::Module, run::Run, source::Source};

/// Installs `hello` with one module over another that the kernel has in `kernel/drivers`.
fn install(present: Module, module: Module, more: &str) -> (Machine, Run) {
    let machine = Machine::new();
    let path = named("/lib/modules/KERNEL/kernel/drivers/hello.ko");
    machine.write(path, present.bytes());
    machine.build(&Source::of("hello", "1.0", module));
    let run = machine.dkms(format!("install hello/1.0 -k KERNEL {more}"));
    (machine, run)
}

const ARCHIVED: &str = "
    Found pre-existing /lib/modules/KERNEL/kernel/drivers/hello.ko, archiving for uninstallation
    Installing /lib/modules/KERNEL/updates/dkms/hello.ko
    Running depmod... done.
    ";

/// Asserts that an installation happened, and where the old module went.
#[track_caller]
fn replaces(present: Module, module: Module, more: &str) {
    let (machine, run) = install(present, module, more);
    run.exits(0).prints(ARCHIVED);
    machine.holds(
        "/var/lib/dkms/hello/original_module",
        "
        KERNEL/
        KERNEL/ARCH/
        KERNEL/ARCH/hello.ko
        KERNEL/ARCH/hello.ko.origin
        ",
    );
    let archive = named("/var/lib/dkms/hello/original_module/KERNEL/ARCH");
    assert_eq!(
        machine.bytes(format!("{archive}/hello.ko")),
        present.bytes()
    );
    assert_eq!(
        machine.read(format!("{archive}/hello.ko.origin")),
        named("/lib/modules/KERNEL/kernel/drivers/hello.ko\n")
    );
    assert_eq!(machine.installed("updates/dkms/hello.ko"), module.bytes());
    assert!(!machine.has(named("/lib/modules/KERNEL/kernel/drivers/hello.ko")));
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: installed (Original modules exist)\n");
}

/// Asserts that nothing was installed, and why.
#[track_caller]
fn refuses(present: Module, module: Module, more: &str, why: &str) {
    let (machine, run) = install(present, module, more);
    run.exits(6)
        .warns(&(super::run::text(why) + "\nError! Installation aborted.\n"));
    assert_eq!(
        machine.installed("kernel/drivers/hello.ko"),
        present.bytes()
    );
    machine.holds(
        "/lib/modules/",
        "
        KERNEL/
        KERNEL/kernel/
        KERNEL/kernel/drivers/
        KERNEL/kernel/drivers/hello.ko
        SECOND/
        ",
    );
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: built\n");
}

#[test]
fn a_newer_one_replaces() {
    replaces(Module::One, Module::Two, "");
}

#[test]
fn numbers_in_versions_count_as_numbers() {
    replaces(Module::ThreeBefore, Module::Three, "");
}

#[test]
fn an_older_one_does_not() {
    refuses(
        Module::Two,
        Module::One,
        "",
        "

        Error! Module version 1.0 for hello.ko
        is not newer than what is already found in kernel KERNEL (2.0).
        You may override by specifying --force.
        ",
    );
}

#[test]
fn an_older_one_by_force() {
    replaces(Module::Two, Module::One, "--force");
}

#[test]
fn an_older_one_by_version_override() {
    replaces(Module::Two, Module::One, "--force-version-override");
}

#[test]
fn the_same_one_does_not() {
    refuses(
        Module::One,
        Module::One,
        "",
        "
        Module /lib/modules/KERNEL/kernel/drivers/hello.ko already installed at version 1.0, \
         override by specifying --force
        ",
    );
}

#[test]
fn the_same_one_by_force() {
    replaces(Module::One, Module::One, "--force");
}

#[test]
fn the_same_version_of_another_source() {
    replaces(Module::One, Module::OneAgain, "");
}

#[test]
fn the_same_one_without_a_version() {
    refuses(
        Module::Unversioned,
        Module::Unversioned,
        "",
        "
        Module /lib/modules/KERNEL/kernel/drivers/hello.ko already installed (unversioned \
         module), override by specifying --force
        ",
    );
}

#[test]
fn another_one_without_a_version() {
    replaces(Module::Unversioned, Module::UnversionedAgain, "");
}

#[test]
fn one_with_a_version_over_one_without() {
    replaces(Module::Unversioned, Module::One, "");
}

#[test]
fn one_without_a_version_over_one_with() {
    refuses(
        Module::One,
        Module::Unversioned,
        "",
        "

        Error! Module version  for hello.ko
        is not newer than what is already found in kernel KERNEL (1.0).
        You may override by specifying --force.
        ",
    );
}

#[test]
fn an_empty_version() {
    replaces(Module::Empty, Module::One, "");
}

#[test]
fn a_module_that_is_to_be_forced() {
    let machine = Machine::setup()
        .file(
            "/usr/share/dkms/modules_to_force_install/list",
            "other hello\n",
        )
        .start();
    machine.write(
        named("/lib/modules/KERNEL/kernel/drivers/hello.ko"),
        Module::Two.bytes(),
    );
    machine.build(&Source::hello());
    machine.dkms("install hello/1.0 -k KERNEL").exits(0).prints(
        "
        Forcing installation of hello
        Found pre-existing /lib/modules/KERNEL/kernel/drivers/hello.ko, archiving for \
         uninstallation
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.
        ",
    );
}

#[test]
fn a_module_whose_version_is_to_be_forced() {
    let machine = Machine::setup()
        .file(
            "/usr/share/dkms/modules_to_force_install/list",
            "hello_version-override\n",
        )
        .start();
    machine.write(
        named("/lib/modules/KERNEL/kernel/drivers/hello.ko"),
        Module::Two.bytes(),
    );
    machine.build(&Source::hello());
    machine.dkms("install hello/1.0 -k KERNEL").exits(0).prints(
        "
        Forcing version override of hello
        Found pre-existing /lib/modules/KERNEL/kernel/drivers/hello.ko, archiving for \
         uninstallation
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.
        ",
    );
}

#[test]
fn one_of_two_modules_is_newer() {
    let machine = Machine::new();
    for (name, module) in [("first", Module::Two), ("second", Module::One)] {
        machine.write(
            named(&format!("/lib/modules/KERNEL/kernel/{name}.ko")),
            module.bytes(),
        );
    }
    let source = Source::empty("pair", "1.0")
        .module("first", Module::One)
        .module("second", Module::Two);
    machine.build(&source);
    machine
        .dkms("install pair/1.0 -k KERNEL")
        .exits(0)
        .prints_both(
            "
        Found pre-existing /lib/modules/KERNEL/kernel/second.ko, archiving for uninstallation
        Installing /lib/modules/KERNEL/updates/dkms/second.ko
        Running depmod... done.
        ",
            "

        Error! Module version 1.0 for first.ko
        is not newer than what is already found in kernel KERNEL (2.0).
        You may override by specifying --force.
        ",
        );
    assert_eq!(machine.installed("kernel/first.ko"), Module::Two.bytes());
    assert_eq!(
        machine.installed("updates/dkms/second.ko"),
        Module::Two.bytes()
    );
    machine
        .dkms("status")
        .exits(0)
        .says("Differences between built and installed modules");
}

#[test]
fn a_module_that_the_kernel_has_taken_over() {
    let source = Source::hello().conf("OBSOLETE_BY=99.0");
    let machine = Machine::with_added(&source);
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(0)
        .says("Deprecated feature: OBSOLETE_BY (/var/lib/dkms/hello/1.0/source/dkms.conf): use BUILD_EXCLUSIVE_KERNEL_MAX instead");
    let source = Source::of("gone", "1.0", Module::One).conf("OBSOLETE_BY=2.6.32");
    machine.add(&source);
    machine.dkms("build gone/1.0 -k KERNEL").exits(77);
}
