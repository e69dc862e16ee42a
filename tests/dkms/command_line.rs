//! Options and their spellings: packages, kernels, trees, what is said.

use super::{machine::Machine, run::shows_usage, source::Source};

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
