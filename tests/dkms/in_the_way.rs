//! Pipes and devices where dkms reads a file: nothing waits for them, and each is named.

use super::{machine::Machine, run::Run, source::Source};

const PIPE: &str = "it is a pipe, not a file";

/// Runs dkms, for a minute at most.
fn dkms(machine: &Machine, line: &str) -> Run {
    machine.shell(&format!("exec timeout 60 dkms {line}"))
}

/// Puts a pipe in the place of whatever is at a path.
fn pipe(machine: &Machine, path: &str) {
    machine.shell(&format!(
        "mkdir -p $(dirname {path}); rm -rf {path}; mkfifo {path}"
    ));
}

#[test]
fn framework_conf_and_its_parts() {
    for path in [
        "/etc/dkms/framework.conf",
        "/etc/dkms/framework.conf.d/ours.conf",
    ] {
        let machine = Machine::new();
        machine.source(&Source::hello());
        pipe(&machine, path);
        for line in ["status", "add hello/1.0"] {
            dkms(&machine, line).exits(1).says(&format!(
                "Error! framework.conf cannot be evaluated: cannot read {path}: {PIPE}.\n"
            ));
        }
        machine.holds("/var/lib/dkms", "");
    }
}

#[test]
fn a_part_of_framework_conf_that_is_switched_off() {
    let machine = Machine::with_added(&Source::hello());
    machine.shell("mkdir -p /etc/dkms/framework.conf.d/empty.conf");
    machine.shell("ln -s /dev/null /etc/dkms/framework.conf.d/off.conf");
    dkms(&machine, "status").prints("hello/1.0: added\n");
}

#[test]
fn an_override() {
    let machine = Machine::with_added(&Source::hello());
    pipe(&machine, "/etc/dkms/hello.conf");
    dkms(&machine, "build hello/1.0 -k KERNEL")
        .exits(8)
        .says("/etc/dkms/hello.conf is neither a regular file, a directory nor a link");
}

#[test]
fn an_override_that_leads_to_a_pipe() {
    let machine = Machine::with_added(&Source::hello().conf("AUTOINSTALL=$(echo yes)"));
    pipe(&machine, "/usr/src/pipe");
    machine.shell("ln -s /usr/src/pipe /etc/dkms/hello.conf");
    dkms(&machine, "build hello/1.0 -k KERNEL")
        .exits(8)
        .says("/etc/dkms/hello.conf is neither a regular file");
}

#[test]
fn a_conf() {
    let machine = Machine::new();
    machine.source(&Source::hello());
    pipe(&machine, "/usr/src/hello-1.0/dkms.conf");
    let said = format!("dkms.conf: Error! it cannot be read: {PIPE}\n");
    dkms(&machine, "add hello/1.0").exits(8).says(&said);
    dkms(&machine, "add /usr/src/hello-1.0")
        .exits(9)
        .says("/usr/src/hello-1.0 must contain a dkms.conf file!");
    machine.holds("/var/lib/dkms", "");

    let machine = Machine::with_added(&Source::hello());
    pipe(&machine, "/usr/src/pipe");
    let line = "build hello/1.0 -k KERNEL -c /usr/src/pipe";
    dkms(&machine, line).exits(8).says(&said);
    dkms(&machine, "build hello/1.0 -k KERNEL -c /dev/null")
        .exits(8)
        .says("No 'PACKAGE_NAME' directive specified");
}

#[test]
fn what_the_machine_has() {
    let machine = Machine::setup()
        .file("/etc/sysconfig/module-init-tools", "")
        .file("/usr/share/dkms/modules_to_force_install/x", "")
        .start();
    machine.add(&Source::hello());
    pipe(&machine, "/etc/sysconfig/module-init-tools");
    pipe(&machine, "/usr/share/dkms/modules_to_force_install/x");
    dkms(&machine, "install hello/1.0 -k KERNEL").exits(0);
}

#[test]
fn a_kernels_configuration() {
    let machine = Machine::with_added(&Source::hello().conf("BUILD_EXCLUSIVE_CONFIG=CONFIG_NONE"));
    pipe(&machine, "/usr/src/pipe");
    dkms(&machine, "build hello/1.0 -k KERNEL --config /usr/src/pipe")
        .exits(77)
        .says(&format!("Warning: cannot read /usr/src/pipe: {PIPE}.\n"));
}

#[test]
fn modules() {
    let machine = Machine::with_added(&Source::hello());
    dkms(&machine, "install hello/1.0 -k KERNEL").exits(0);
    for place in [
        "/lib/modules/KERNEL/updates/dkms/hello.ko",
        "/var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko",
        "/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log",
    ] {
        pipe(&machine, place);
        dkms(&machine, "status").exits(0);
    }
    dkms(&machine, "install hello/1.0 -k KERNEL --force").says("hello");
    dkms(&machine, "mktarball hello/1.0 -k KERNEL").says("hello");
}

#[test]
fn an_archive() {
    let machine = Machine::new();
    for name in ["pipe.tar.gz", "pipe.tar.bz2"] {
        let path = format!("/usr/src/{name}");
        pipe(&machine, &path);
        dkms(&machine, &format!("ldtarball --archive={path}"))
            .exits(7)
            .says(&format!("{path} cannot be unpacked whole: {PIPE}."));
    }
}

#[test]
fn a_source() {
    let machine = Machine::new();
    let source = machine.source_at("hello", &Source::hello());
    pipe(&machine, &format!("{source}/sub/pipe"));
    for force in ["", " --force"] {
        dkms(&machine, &format!("add {source}{force}"))
            .exits(1)
            .says("Error! cannot copy ")
            .says("/hello/sub/pipe is neither a file, a directory nor a link");
    }
    assert!(!machine.has("/usr/src/hello-1.0"));
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn what_a_tarball_is_made_of() {
    for place in [
        "/usr/src/hello-1.0/pipe",
        "/var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko",
    ] {
        let machine = Machine::new();
        machine.build(&Source::hello());
        pipe(&machine, place);
        dkms(&machine, "mktarball hello/1.0 -k KERNEL")
            .exits(6)
            .says("Failed to make tarball.")
            .says(" is neither a file, a directory nor a link");
        machine
            .shell("ls /var/lib/dkms/hello/1.0/tarball")
            .prints("");
    }
}
