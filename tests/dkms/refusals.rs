//! What the command line refuses, and whom.

use super::{machine::Machine, run::shows_usage, source::Source};

#[test]
fn no_action_at_all() {
    let machine = Machine::new();
    for line in ["", "frobnicate", "-m hello/1.0"] {
        let run = machine.dkms(line).exits(0);
        assert_eq!(
            run.err, "\nError! Unknown action specified: \"\"\n",
            "{run}"
        );
        shows_usage(&run);
    }
}

#[test]
fn an_unknown_option() {
    let machine = Machine::new();
    for option in [
        "--frobnicate",
        "-x",
        "-m=hello/1.0",
        "-v=1.0",
        "-k=1",
        "--all=yes",
    ] {
        let run = machine.dkms(format!("status {option}")).exits(2);
        assert_eq!(
            run.err,
            format!("\nError! Unknown option: {option}\n"),
            "{run}"
        );
        shows_usage(&run);
    }
}

#[test]
fn two_actions() {
    Machine::new().dkms("add build hello/1.0").exits(4).warns(
        "

        Error! Cannot specify more than one action.
        ",
    );
}

#[test]
fn a_word_too_many() {
    Machine::new()
        .dkms("status hello/1.0 what else")
        .exits(0)
        .warns(
            "
            Warning: I do not know how to handle what.
            Warning: I do not know how to handle else.
            ",
        );
}

#[test]
fn all_excludes_kernels_and_architectures() {
    let machine = Machine::with_added(&Source::hello());
    machine
        .dkms("remove hello/1.0 --all -k KERNEL")
        .exits(2)
        .warns(
            "

            Error! You cannot specify a kernel version and also specify
            --all on the command line.
            ",
        );
    machine
        .dkms("remove hello/1.0 --all -a ARCH")
        .exits(3)
        .warns(
            "

            Error! You cannot specify an arch and also specify
            --all on the command line.
            ",
        );
    machine.dkms("status").prints("hello/1.0: added\n");
}

#[test]
fn actions_that_do_not_know_all() {
    let machine = Machine::with_added(&Source::hello());
    for action in ["add", "build", "install"] {
        let error = format!("\nError! The action {action} does not support the --all parameter.\n");
        machine
            .dkms(format!("{action} hello/1.0 --all"))
            .exits(5)
            .warns(&error);
    }
    for action in [
        "autoinstall",
        "match",
        "kernel_preinst",
        "kernel_postinst",
        "kernel_prerm",
    ] {
        let error = format!("\nError! The action {action} does not support the --all parameter.\n");
        machine
            .dkms(format!("{action} --all"))
            .exits(5)
            .warns(&error);
    }
}

#[test]
fn architectures_go_with_kernels() {
    Machine::with_added(&Source::hello())
        .dkms("build hello/1.0 -k KERNEL -a one -a two")
        .exits(1)
        .warns(
            "

            Error! If more than one arch is specified on the command line, then there
            must be an equal number of kernel versions also specified (1:1 relationship).
            ",
        );
}

#[test]
fn actions_for_one_kernel() {
    let machine = Machine::new();
    for action in ["autoinstall", "match"] {
        let error = format!(
            "\nError! The action {action} does not support multiple kernel version parameters on \
             the command line.\n"
        );
        machine
            .dkms(format!("{action} -k KERNEL -k SECOND"))
            .exits(4)
            .warns(&error);
    }
    for action in ["kernel_preinst", "kernel_postinst", "kernel_prerm"] {
        let error = format!(
            "\nError! The action {action} requires exactly one kernel version parameter on the \
             command line.\n"
        );
        for kernels in ["", "-k KERNEL -k SECOND"] {
            machine
                .dkms(format!("{action} {kernels}"))
                .exits(4)
                .warns(&error);
        }
    }
}

#[test]
fn a_kernel_or_architecture_of_no_length() {
    let machine = Machine::with_added(&Source::hello());
    machine
        .dkms_words(&["build", "hello/1.0", "-k", ""])
        .exits(16)
        .warns("\nError! Empty kernelver[0]\n");
    machine
        .dkms_words(&["build", "hello/1.0", "-k", "1", "-a", ""])
        .exits(16)
        .warns("\nError! Empty arch[0]\n");
}

#[test]
fn an_architecture_that_nobody_knows() {
    let uname = "#!/bin/sh\n[ \"$1\" != -m ] || exit 0\nexec /usr/bin/uname \"$@\"\n";
    let machine = Machine::setup().program("uname", uname).start();
    machine.source(&Source::hello());
    machine
        .dkms("add hello/1.0 -k KERNEL")
        .exits(16)
        .warns("\nError! Empty arch[0]\n");
    machine.dkms("status").exits(0).prints("");
}

#[test]
fn binaries_and_source_only_exclude_each_other() {
    Machine::new()
        .dkms("mktarball hello/1.0 --binaries-only --source-only")
        .exits(8)
        .warns(
            "

            Error! You have specified both --binaries-only and --source-only.
            You cannot do this.
            ",
        );
}

#[test]
fn no_package() {
    let machine = Machine::new();
    for (line, action) in [
        ("add", "add"),
        ("build -k KERNEL", "add"),
        ("install -k KERNEL", "add"),
        ("build hello -k KERNEL", "add"),
        ("unbuild", "unbuild"),
        ("uninstall -v 1.0", "uninstall"),
        ("remove hello", "remove"),
        ("remove -m", "remove"),
        ("mktarball", "mktarball"),
    ] {
        let error = format!(
            "\nError! Arguments <module> and <module-version> are not specified.\n\
             Usage: {action} <module>/<module-version> or\n       \
             {action} -m <module>/<module-version> or\n       \
             {action} -m <module> -v <module-version>\n"
        );
        machine.dkms(line).exits(1).warns(&error);
    }
}

#[test]
fn a_package_that_is_not_there() {
    let machine = Machine::new();
    for action in ["remove", "unbuild", "uninstall", "mktarball"] {
        machine
            .dkms(format!("{action} hello/1.0 -k KERNEL"))
            .exits(3)
            .warns(
                "

                Error! The module/version combo: hello/1.0 is not located in the DKMS tree.
                ",
            );
    }
}

#[test]
fn a_missing_tree() {
    let machine = Machine::new();
    machine.source(&Source::hello());
    let tree = machine.path("/home/nowhere");
    let tree = tree.to_str().unwrap();
    machine
        .dkms(format!("add hello/1.0 --dkmstree {tree}"))
        .exits(1)
        .warns(&format!(
            "\nError! No write access to DKMS tree at {tree}\n"
        ));
    machine
        .dkms(format!("status --dkmstree {tree}"))
        .exits(0)
        .prints("");
    assert!(!machine.has("/home/nowhere"));
}

#[test]
fn who_is_not_root() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    for line in [
        "install hello/1.0 -k KERNEL",
        "uninstall hello/1.0 -k KERNEL",
        "autoinstall -k KERNEL",
        "match -k KERNEL",
        "kernel_preinst -k KERNEL",
        "kernel_postinst -k KERNEL",
        "kernel_prerm -k KERNEL",
    ] {
        machine
            .dkms_as_user(line)
            .exits(1)
            .warns("\nError! You must be root to use this command.\n");
    }
    for line in [
        "add hello/1.0",
        "build hello/1.0 -k KERNEL",
        "unbuild hello/1.0 -k KERNEL",
        "remove hello/1.0 --all",
    ] {
        machine
            .dkms_as_user(line)
            .exits(1)
            .warns("\nError! No write access to DKMS tree at /var/lib/dkms\n");
    }
    machine
        .dkms_as_user("status")
        .exits(0)
        .prints("hello/1.0, KERNEL, ARCH: built\n");
    machine
        .dkms_as_user("ldtarball --force hello.tar")
        .exits(1)
        .warns("\nError! You must be root to use this command with the --force option.\n");
}
