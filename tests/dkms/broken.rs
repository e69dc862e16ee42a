//! Packages whose source has gone, and other damage to the DKMS tree.

use super::{kernel::named, machine::Machine, modules::Module, source::Source};

const BROKEN: &str = "
    hello/1.0: broken
    ";

const REFUSED: &str = "

    Error! hello/1.0 is broken!
    Missing the source directory or the symbolic link pointing to it.
    Manual intervention is required!
    ";

/// Asserts that every action but `add` refuses.
#[track_caller]
fn refuses_everything(machine: &Machine) {
    machine.dkms("status").exits(0).prints_both(
        BROKEN,
        "

        Error! hello/1.0: Missing the module source directory or the symbolic link pointing to it.
        Manual intervention is required!
        ",
    );
    for action in [
        "build",
        "install",
        "unbuild",
        "uninstall",
        "remove",
        "mktarball",
    ] {
        machine
            .dkms(format!("{action} hello/1.0 -k KERNEL"))
            .exits(4)
            .warns(REFUSED);
    }
    machine
        .dkms("remove hello/1.0 --all")
        .exits(4)
        .warns(REFUSED);
}

#[test]
fn without_the_link_to_the_source() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.shell("rm /var/lib/dkms/hello/1.0/source");
    refuses_everything(&machine);
    machine.dkms("add hello/1.0").exits(0).prints(
        "
        Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0
        ",
    );
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: installed\n");
}

#[test]
fn without_the_source() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.shell("rm -r /usr/src/hello-1.0");
    refuses_everything(&machine);
    machine.dkms("add hello/1.0").exits(2);
    machine.source(&Source::hello());
    machine.dkms("remove hello/1.0 --all").exits(0);
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn without_either() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.shell("rm -r /usr/src/hello-1.0 /var/lib/dkms/hello/1.0/source");
    machine.dkms("status").exits(0).prints("");
    machine.dkms("remove hello/1.0 --all").exits(3).warns(
        "

        Error! The module/version combo: hello/1.0 is not located in the DKMS tree.
        ",
    );
}

#[test]
fn one_of_several() {
    let machine = Machine::new();
    machine.add(&Source::of("another", "1.0", Module::One));
    machine.add(&Source::hello());
    machine.add(&Source::of("hello", "2.0", Module::Two));
    machine.shell("rm /var/lib/dkms/hello/1.0/source");
    let error = "

        Error! hello/1.0: Missing the module source directory or the symbolic link pointing to it.
        Manual intervention is required!
        ";
    machine.dkms("status").exits(0).prints_both(
        "
        another/1.0: added
        hello/1.0: broken
        hello/2.0: added
        ",
        error,
    );
    machine.dkms("autoinstall -k KERNEL").exits(0).prints_both(
        "
        Module signing is disabled by policy, modules won't be signed

        Autoinstall of module another/1.0 for kernel KERNEL (ARCH)
        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/another.ko
        Running depmod... done.

        Autoinstall of module hello/2.0 for kernel KERNEL (ARCH)
        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.

        Autoinstall on KERNEL succeeded for module(s) another hello.
        ",
        "

        Error! hello/1.0 is broken! Missing the source directory or the symbolic link pointing to it.
        Manual intervention is required!
        ",
    );
}

#[test]
fn a_source_that_is_no_link() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.shell("cd /var/lib/dkms/hello/1.0; rm source; mv /usr/src/hello-1.0 source");
    machine.dkms("status").exits(0).prints("");
    machine
        .dkms("remove hello/1.0 --all")
        .exits(3)
        .says("is not located in the DKMS tree");
}

#[test]
fn a_link_to_another_directory() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.shell(
        "mv /usr/src/hello-1.0 /usr/src/elsewhere; ln -sfn /usr/src/elsewhere /var/lib/dkms/hello/1.0/source",
    );
    machine
        .dkms("status")
        .exits(0)
        .prints("hello/1.0, KERNEL, ARCH: installed\n");
    machine.dkms("build hello/1.0 -k SECOND").exits(0);
    machine.dkms("remove hello/1.0 --all").exits(0);
    assert!(machine.has("/usr/src/elsewhere/dkms.conf"));
}

#[test]
fn the_mark_of_an_active_version_that_has_gone() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.shell("rm -r /var/lib/dkms/hello/1.0/KERNEL");
    machine.dkms("status").exits(0).prints("hello/1.0: added\n");
    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(0)
        .prints("Module hello/1.0 is not installed for kernel KERNEL (ARCH). Skipping...\n");
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(5)
        .prints_both(
            "
            Module signing is disabled by policy, modules won't be signed

            Building module(s)... done.
            ",
            "

            Error! This module/version combo is already installed for kernel KERNEL (ARCH).
            ",
        );
    machine
        .dkms("status")
        .exits(0)
        .prints("hello/1.0, KERNEL, ARCH: installed\n");
}

#[test]
fn a_build_that_was_cut_short() {
    let machine = Machine::with_added(&Source::hello());
    machine.shell(
        "cd /var/lib/dkms/hello/1.0; mkdir -p build/left KERNEL/.tmp_ARCH_abcdef/module; \
         : >build/make.log",
    );
    machine.dkms("status").exits(0).prints("hello/1.0: added\n");
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    assert!(!machine.has("/var/lib/dkms/hello/1.0/build/left"));
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
    machine.dkms("remove hello/1.0 --all").exits(0);
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn a_directory_of_a_build_without_modules() {
    let machine = Machine::with_added(&Source::hello());
    machine.shell("mkdir -p /var/lib/dkms/hello/1.0/KERNEL/ARCH");
    machine.dkms("status").exits(0).prints("hello/1.0: added\n");
    machine.dkms("build hello/1.0 -k KERNEL").exits(3).warns(
        "

        Error! This module/version has already been built on: KERNEL
        Directory /var/lib/dkms/hello/1.0/KERNEL/ARCH already exists. Use the dkms remove \
         function before trying to build again.
        ",
    );
}

#[test]
fn installed_files_of_others() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.write(named("/lib/modules/KERNEL/updates/dkms/theirs.ko"), "");
    machine.write(named("/lib/modules/KERNEL/updates/dkms/hello.ko.xz"), "");
    machine.dkms("remove hello/1.0 --all").exits(0);
    machine.holds(
        "/lib/modules",
        "
        KERNEL/
        KERNEL/updates/
        KERNEL/updates/dkms/
        KERNEL/updates/dkms/hello.ko.xz
        KERNEL/updates/dkms/theirs.ko
        SECOND/
        ",
    );
}
