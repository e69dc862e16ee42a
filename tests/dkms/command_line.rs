//! Options, their spellings, and what the command line refuses.

use super::{machine::Machine, run::Run, source::Source};

/// Asserts that the short description of all actions and options follows a complaint.
#[track_caller]
fn shows_usage(run: &Run) {
    let first = run.out.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("Usage: ") && first.ends_with("/dkms [action] [options]"),
        "{run}"
    );
    for word in [
        "add",
        "remove",
        "build",
        "unbuild",
        "install",
        "uninstall",
        "match",
        "autoinstall",
        "mktarball",
        "ldtarball",
        "status",
        "generate_mok",
        "kernel_preinst",
        "kernel_postinst",
        "kernel_prerm",
        "-m",
        "-v",
        "-k",
        "-a",
        "-c",
        "-q",
        "--force",
        "--force-version-override",
        "--all",
        "--templatekernel",
        "--directive",
        "--config",
        "--archive",
        "--kernelsourcedir",
        "--rpm_safe_upgrade",
        "--dkmstree",
        "--sourcetree",
        "--installtree",
        "--binaries-only",
        "--source-only",
        "--verbose",
        "--no-depmod",
        "--modprobe-on-install",
        "-j",
        "--version",
        "--help",
    ] {
        assert!(run.out.contains(word), "no {word} in {run}");
    }
}

#[test]
fn the_version() {
    let machine = Machine::new();
    for line in [
        "--version",
        "-V",
        "add --version",
        "--version nonsense --nonsense",
    ] {
        machine.dkms(line).exits(0).prints("dkms-3.4.3\n");
    }
}

#[test]
fn help() {
    let machine = Machine::new();
    for line in ["--help", "-h", "remove --help"] {
        let run = machine.dkms(line).exits(0);
        assert_eq!(run.err, "");
        shows_usage(&run);
    }
}

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
fn a_package_is_named_in_any_of_the_usual_ways() {
    let machine = Machine::new();
    machine.source(&Source::hello());
    for spelling in [
        "hello/1.0",
        "-m hello/1.0",
        "-m hello -v 1.0",
        "--module hello -v 1.0",
        "--module=hello/1.0",
        "hello -v 1.0",
        "-v 1.0 hello",
    ] {
        machine.dkms(format!("add {spelling}")).exits(0).prints(
            "
            Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0
            ",
        );
        machine
            .dkms(format!("remove {spelling} --all"))
            .exits(0)
            .prints(
                "
            Deleting module hello/1.0 completely from the DKMS tree.
            ",
            );
    }
}

#[test]
fn a_kernel_is_named_in_any_of_the_usual_ways() {
    let machine = Machine::new();
    machine.add(&Source::hello());
    for spelling in [
        "-k KERNEL",
        "-k KERNEL -a ARCH",
        "-k KERNEL/ARCH",
        "--kernelver KERNEL",
        "--kernelver=KERNEL --arch=ARCH",
        "-a ARCH -k KERNEL",
    ] {
        machine.dkms(format!("build hello/1.0 {spelling}")).exits(0);
        machine
            .dkms("status")
            .prints("hello/1.0, KERNEL, ARCH: built\n");
        machine
            .dkms(format!("unbuild hello/1.0 {spelling}"))
            .exits(0);
        machine.dkms("status").prints("hello/1.0: added\n");
    }
}

#[test]
fn several_kernels() {
    let machine = Machine::new();
    machine.add(&Source::hello());
    for kernels in [
        "-k KERNEL -k SECOND",
        "-k KERNEL -k SECOND -a ARCH",
        "-k KERNEL -k SECOND -a ARCH -a ARCH",
        "-k KERNEL/ARCH -k SECOND/ARCH",
    ] {
        machine
            .dkms(format!("build hello/1.0 {kernels}"))
            .exits(0)
            .prints(
                "
                Module signing is disabled by policy, modules won't be signed

                Building module(s)... done.
                Module signing is disabled by policy, modules won't be signed

                Building module(s)... done.
                ",
            );
        machine.dkms("status").prints(
            "
            hello/1.0, KERNEL, ARCH: built
            hello/1.0, SECOND, ARCH: built
            ",
        );
        machine
            .dkms(format!("unbuild hello/1.0 {kernels}"))
            .exits(0)
            .prints(
                "
                Module hello/1.0 is not installed for kernel KERNEL (ARCH). Skipping...

                Module hello/1.0 is not installed for kernel SECOND (ARCH). Skipping...
                ",
            );
    }
}

#[test]
fn the_kernel_that_runs_is_the_default() {
    let machine = Machine::setup().running_kernel().start();
    machine.add(&Source::hello());
    machine.dkms("build hello/1.0").exits(0);
    machine
        .dkms("status")
        .prints("hello/1.0, RUNNING, ARCH: built\n");
    machine.dkms("install hello/1.0").exits(0).prints(
        "
        Installing /lib/modules/RUNNING/updates/dkms/hello.ko
        Running depmod... done.
        ",
    );
}

#[test]
fn another_architecture_is_taken_as_given() {
    let machine = Machine::with_added(&Source::hello());
    machine
        .dkms("build hello/1.0 -k KERNEL -a toaster")
        .exits(0);
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, toaster: built\n");
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
fn quiet_says_nothing_and_ends_the_same() {
    let machine = Machine::new();
    machine.source(&Source::hello());
    for (line, code) in [
        ("-q add hello/1.0", 0),
        ("add hello/1.0 --quiet", 3),
        ("-q build hello/1.0 -k KERNEL", 0),
        ("-q install hello/1.0 -k KERNEL", 0),
        ("-q install hello/2.0 -k KERNEL", 2),
        ("-q status", 0),
        ("-q remove hello/1.0 --all", 0),
        ("-q nothing", 0),
    ] {
        machine.dkms(line).exits(code).prints("");
    }
    machine
        .dkms("status --frobnicate -q")
        .exits(2)
        .says("Unknown option");
}

#[test]
fn options_that_have_gone() {
    let machine = Machine::new();
    for option in ["--no-initrd", "--no-clean-kernel", "--no-prepare-kernel"] {
        machine
            .dkms(format!("status {option}"))
            .exits(0)
            .warns(&format!("Deprecated feature: {option}\n"));
    }
}

#[test]
fn verbose_tells_commands() {
    let machine = Machine::with_added(&Source::hello());
    machine
        .dkms("build hello/1.0 -k KERNEL --verbose")
        .exits(0)
        .prints(
            "
            Module signing is disabled by policy, modules won't be signed

            cp -r prebuilt/KERNEL/. .
             done.
            ",
        );
    machine
        .dkms("install hello/1.0 -k KERNEL --verbose")
        .exits(0)
        .prints(
            "
            Installing /lib/modules/KERNEL/updates/dkms/hello.ko
            do_depmod KERNEL
            Skipping depmod because '/lib/modules/KERNEL/modules.dep' is missing.
             done.
            ",
        );
}

#[test]
fn the_number_of_compilers() {
    let source = Source::hello()
        .conf("MAKE[0]='make copy FROM=prebuilt/${kernelver}'")
        .file("Makefile", "copy:\n\tcp -r $(FROM)/. .\n");
    let machine = Machine::with_added(&source);
    for (option, made) in [("-j 7", "-j7"), ("-j 0", "-j"), ("", "-j1")] {
        machine
            .dkms(format!(
                "build hello/1.0 -k KERNEL --verbose --force {option}"
            ))
            .exits(0)
            .prints(&format!(
                "Module signing is disabled by policy, modules won't be signed\n\n\
                 make {made} KERNELRELEASE=KERNEL copy FROM=prebuilt/KERNEL\n done.\n"
            ));
    }
}

#[test]
fn other_trees() {
    let machine = Machine::new();
    machine
        .shell("mkdir -p src dkms modules/KERNEL; cp -P /lib/modules/KERNEL/build modules/KERNEL/");
    Source::hello().write(&machine.path("/home/src/hello-1.0"));
    let home = machine.path("/home").to_str().unwrap().to_owned();
    let trees =
        format!("--dkmstree {home}/dkms --sourcetree={home}/src --installtree {home}/modules");
    machine
        .dkms(format!("install hello/1.0 -k KERNEL {trees}"))
        .exits(0)
        .prints(&format!(
            "Creating symlink {home}/dkms/hello/1.0/source -> {home}/src/hello-1.0\n\n\
             Module signing is disabled by policy, modules won't be signed\n\n\
             Building module(s)... done.\n\
             Installing {home}/modules/KERNEL/updates/dkms/hello.ko\n\
             Running depmod... done.\n"
        ));
    machine
        .dkms(format!("status {trees}"))
        .prints("hello/1.0, KERNEL, ARCH: installed\n");
    machine.dkms("status").prints("");
    machine.holds("/var/lib/dkms", "");
    machine.holds("/lib/modules", "KERNEL/\nSECOND/\n");
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
