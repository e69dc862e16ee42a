//! Machines on which bubblewrap may not run, or on which the user that bash and compilers run
//! as may not read what root may.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{kernel::RELEASE, machine::Machine, source::Source};

/// A conf that only bash can evaluate, as v4l2loopback's is.
const PROGRAM: &str = "if [ -f $kernel_source_dir/.config ]; then . $kernel_source_dir/.config\n\
    [ \"${CONFIG_MODULES:-n}\" = y ] && BUILD_EXCLUSIVE_KERNEL_MIN=2.6; fi";

fn without_bubblewrap() -> Machine {
    Machine::setup().file("/usr/bin/bwrap", "").start()
}

#[test]
fn a_conf_that_is_a_program_is_evaluated_without_a_sandbox() {
    let machine = without_bubblewrap();
    machine.install(&Source::hello().conf(PROGRAM));
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: installed\n");
    // Nothing of the evaluation is left in the trees.
    assert!(!machine.has("/usr/src/hello-1.0/source"));
    assert_eq!(
        machine.link("/var/lib/dkms/hello/1.0/source"),
        "/usr/src/hello-1.0"
    );
    machine.dkms("remove hello/1.0 --all").exits(0);
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn without_a_sandbox_packages_are_found_where_the_machine_has_them() {
    let machine = without_bubblewrap();
    machine.source(&Source::hello());
    machine
        .shell("$(readlink $(command -v dkms)) build hello --dry-run -k KERNEL")
        .exits(0);
}

#[test]
fn a_source_that_only_root_can_read_is_built() {
    let machine = Machine::new();
    let directory = machine.source(&Source::hello().conf(PROGRAM));
    let closed = fs::Permissions::from_mode(0o700);
    fs::set_permissions(machine.path(&directory), closed).unwrap();
    machine
        .dkms(format!("install hello/1.0 -k {RELEASE}"))
        .exits(0);
}

#[test]
fn a_conf_that_cannot_be_evaluated_says_why() {
    let machine = Machine::setup()
        .file("/etc/kiln/config.toml", "[build]\nconf_timeout = 1\n")
        .start();
    machine.source(&Source::hello().conf("while :; do :; done"));
    machine.dkms("add hello/1.0").exits(8).warns(
        "
        dkms.conf: Error! it cannot be evaluated: dkms.conf did not end within 1 s

        Error! Bad conf file.
        File: /usr/src/hello-1.0/dkms.conf does not represent a valid dkms.conf file.
        ",
    );
}
