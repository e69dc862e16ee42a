//! `dkms remove`.

use super::{kernel::named, machine::Machine, modules::Module, source::Source};

#[test]
fn what_is_only_added() {
    let machine = Machine::with_added(&Source::hello());
    machine.dkms("remove hello/1.0 --all").exits(0).prints(
        "
        Deleting module hello/1.0 completely from the DKMS tree.
        ",
    );
    machine.holds("/var/lib/dkms", "");
    assert!(machine.has("/usr/src/hello-1.0/dkms.conf"));
    machine.dkms("remove hello/1.0 --all").exits(3).warns(
        "

        Error! The module/version combo: hello/1.0 is not located in the DKMS tree.
        ",
    );
}

#[test]
fn what_is_installed_for_two_kernels() {
    let machine = Machine::with_added(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL -k SECOND")
        .exits(0);
    machine.dkms("remove hello/1.0 --all").exits(0).prints(
        "
        Module hello/1.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.

        Module hello/1.0 for kernel SECOND (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/SECOND/updates/dkms/hello.ko
        Running depmod... done.

        Deleting module hello/1.0 completely from the DKMS tree.
        ",
    );
    machine.holds("/lib/modules", "KERNEL/\nSECOND/\n");
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn for_one_of_two_kernels() {
    let machine = Machine::with_added(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL -k SECOND")
        .exits(0);
    machine.dkms("remove hello/1.0 -k KERNEL").exits(0).prints(
        "
        Module hello/1.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.

        ",
    );
    machine
        .dkms("status")
        .prints("hello/1.0, SECOND, ARCH: installed\n");
    machine.dkms("remove hello/1.0 -k SECOND").exits(0).prints(
        "
        Module hello/1.0 for kernel SECOND (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/SECOND/updates/dkms/hello.ko
        Running depmod... done.

        Deleting module hello/1.0 completely from the DKMS tree.
        ",
    );
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn for_a_kernel_that_it_is_not_built_for() {
    let machine = Machine::with_added(&Source::hello());
    machine.dkms("build hello/1.0 -k SECOND").exits(0);
    machine.dkms("remove hello/1.0 -k KERNEL").exits(0).prints(
        "
        Module hello/1.0 is not installed for kernel KERNEL (ARCH). Skipping...
        Module hello/1.0 is not built for kernel KERNEL (ARCH). Skipping...

        ",
    );
    machine
        .dkms("status")
        .prints("hello/1.0, SECOND, ARCH: built\n");
}

#[test]
fn without_a_kernel_it_is_the_one_that_runs() {
    let machine = Machine::with_added(&Source::hello());
    machine.dkms("remove hello/1.0").exits(0).prints(
        "
        Module hello/1.0 is not installed for kernel RUNNING (ARCH). Skipping...
        Module hello/1.0 is not built for kernel RUNNING (ARCH). Skipping...

        Deleting module hello/1.0 completely from the DKMS tree.
        ",
    );
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn one_of_two_versions() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.install(&Source::of("hello", "2.0", Module::Two));
    machine.dkms("remove hello/1.0 --all").exits(0).prints(
        "
        Module hello/1.0 is not installed for kernel KERNEL (ARCH). Skipping...

        Deleting module hello/1.0 completely from the DKMS tree.
        ",
    );
    machine
        .dkms("status")
        .prints("hello/2.0, KERNEL, ARCH: installed\n");
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::Two.bytes()
    );
}

#[test]
fn sweeps_up_what_was_left_unfinished() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    machine.shell(
        "cd /var/lib/dkms/hello/1.0; mkdir -p KERNEL/.tmp_ARCH_abcdef/module KERNEL/.tmp_x empty",
    );
    machine.dkms("remove hello/1.0 -k SECOND").exits(0);
    machine.holds(
        "/var/lib/dkms/hello/1.0",
        "
        KERNEL/
        KERNEL/ARCH/
        KERNEL/ARCH/log/
        KERNEL/ARCH/log/make.log
        KERNEL/ARCH/module/
        KERNEL/ARCH/module/hello.ko
        source -> /usr/src/hello-1.0
        ",
    );
}

#[test]
fn with_files_of_others_in_the_tree() {
    let machine = Machine::with_added(&Source::hello());
    machine.write("/var/lib/dkms/hello/1.0/tarball/hello.tar.gz", "");
    machine.write("/var/lib/dkms/hello/1.0/note", "");
    machine.dkms("remove hello/1.0 --all").exits(0).prints(
        "
        Deleting module hello/1.0 completely from the DKMS tree.
        ",
    );
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn with_something_else_beside_its_versions() {
    let machine = Machine::with_added(&Source::hello());
    machine.write("/var/lib/dkms/hello/note", "");
    machine.dkms("remove hello/1.0 --all").exits(0);
    machine.holds("/var/lib/dkms", "hello/\nhello/note\n");
}

#[test]
fn an_rpm_upgrade_keeps_the_new_version() {
    let machine = Machine::new();
    machine.source(&Source::hello());
    // rpm runs its scripts with sh: they are two children of one process.
    machine
        .shell(
            "sh -c 'dkms add hello/1.0 --rpm_safe_upgrade; :'
             sh -c 'dkms remove hello/1.0 --all --rpm_safe_upgrade; echo $?'",
        )
        .exits(0)
        .prints_both(
            "
            Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0
            0
            ",
            "
            Warning: Remove cancelled because --rpm_safe_upgrade scenario detected.
            ",
        );
    machine.dkms("status").prints("hello/1.0: added\n");
    machine
        .shell("sh -c 'dkms remove hello/1.0 --all --rpm_safe_upgrade; :'")
        .says("Deleting module hello/1.0 completely");
}

#[test]
fn nobody_else_can_keep_a_package_by_what_they_put_into_a_temporary_directory() {
    let notes = "${TMPDIR:-/tmp}/dkms_rpm_safe_upgrade_lock.";
    for forged in [
        format!("chown 65534 {notes}$$.*"),
        format!("mv {notes}$$.* ${{TMPDIR:-/tmp}}/note; ln -s note {notes}$$.x"),
        format!("rm {notes}$$.*; mkfifo {notes}$$.x"),
    ] {
        let machine = Machine::new();
        machine.source(&Source::hello());
        machine
            .shell(&format!(
                "sh -c 'dkms add hello/1.0 --rpm_safe_upgrade; :'; {forged}
                 sh -c 'dkms remove hello/1.0 --all --rpm_safe_upgrade; :'; rm {notes}$$.*"
            ))
            .exits(0)
            .says("Deleting module hello/1.0 completely");
    }
}

#[test]
fn an_rpm_upgrade_installs_over_anything() {
    let machine = Machine::new();
    machine.install(&Source::of("hello", "2.0", Module::Two));
    machine.build(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL --rpm_safe_upgrade")
        .exits(0)
        .prints(
            "
            Installing /lib/modules/KERNEL/updates/dkms/hello.ko
            Running depmod... done.
            ",
        );
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
    assert_eq!(
        machine.link(named("/var/lib/dkms/hello/kernel-KERNEL-ARCH")),
        "1.0/KERNEL/ARCH"
    );
}
