//! /etc/dkms/framework.conf: its variables, its parts, and what it must not reach.

use super::{kernel::named, machine::Machine, source::Source};

/// A machine with a framework.conf, and `hello` in /usr/src.
fn machine(conf: &str) -> Machine {
    let machine = Machine::setup()
        .file("/etc/dkms/framework.conf.d/ours.conf", conf)
        .start();
    machine.source(&Source::hello());
    machine
}

#[test]
fn trees() {
    let setup = Machine::setup();
    let machine = setup.start();
    machine.shell("mkdir tree src modules; cp -rP /lib/modules/KERNEL modules/");
    Source::hello().write(&machine.path("/home/src/hello-1.0"));
    let home = machine.path("/home").to_str().unwrap().to_owned();
    machine.write(
        "/etc/dkms/framework.conf.d/trees.conf",
        format!("dkms_tree={home}/tree\nsource_tree={home}/src\ninstall_tree={home}/modules\n"),
    );
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(0)
        .says(&format!(
            "Creating symlink {home}/tree/hello/1.0/source -> {home}/src/hello-1.0\n"
        ))
        .says(&format!(
            "Installing {home}/modules/KERNEL/updates/dkms/hello.ko\n"
        ));
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: installed\n");
    machine.dkms("status --dkmstree /var/lib/dkms").prints("");
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn verbosity() {
    machine("verbose=1\n")
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .says("\ncp -r prebuilt/KERNEL/. .\n done.\n");
}

#[test]
fn the_number_of_compilers() {
    let machine = machine("parallel_jobs=5\n");
    let source = Source::hello()
        .conf("MAKE[0]='make copy FROM=prebuilt/${kernelver}'")
        .file("Makefile", "copy:\n\tcp -r $(FROM)/. .\n");
    machine.source(&source);
    machine
        .dkms("build hello/1.0 -k KERNEL --verbose")
        .says("make -j5 KERNELRELEASE=KERNEL copy");
    machine
        .dkms("build hello/1.0 -k SECOND --verbose -j 2")
        .says("make -j2 KERNELRELEASE=SECOND copy");
}

#[test]
fn later_files_win() {
    let machine = machine("parallel_jobs=5\n");
    machine.write(
        "/etc/dkms/framework.conf.d/00-first.conf",
        "verbose=1\nsymlink_modules=1\n",
    );
    machine.write("/etc/dkms/framework.conf.d/zz-last.conf", "verbose=\n");
    machine.write("/etc/dkms/framework.conf.d/not-a-conf", "verbose=1\n");
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(0)
        .says("Building module(s)... done.");
    let module = named("/lib/modules/KERNEL/updates/dkms/hello.ko");
    assert!(machine.path(module).is_symlink());
}

#[test]
fn what_it_must_not_reach() {
    let machine = machine(
        "action=remove\nforce=true\nmodule=other\nkernelver=9.9.9\narch=toaster\n\
         conf=/nowhere\nrunning_distribution=fedora\n",
    );
    machine.dkms("install hello/1.0 -k KERNEL").exits(0).prints(
        "
        Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0

        Module signing is disabled by policy, modules won't be signed

        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.
        ",
    );
}

#[test]
fn a_place_for_temporary_files() {
    let machine = machine("tmp_location=/nowhere\n");
    machine.shell("mkdir in; cp -r /usr/src/hello-1.0 in; tar -czf ours.tar.gz in");
    machine
        .dkms("ldtarball ours.tar.gz")
        .exits(1)
        .says("Error! Unable to make temporary directory.");
}

#[test]
fn an_environment_for_builds() {
    let machine = machine("build_environment=/etc/dkms/environment-$kernelver\n");
    machine.write(
        named("/etc/dkms/environment-KERNEL"),
        "echo nothing of this shows\nexport COMPILER_OF_OURS=toaster\nNOT_EXPORTED=1\n",
    );
    let source = Source::hello().conf(
        "MAKE[0]='echo [\\$COMPILER_OF_OURS] [\\$NOT_EXPORTED]; cp -r prebuilt/${kernelver}/. .'",
    );
    machine.source(&source);
    let log = |kernel: &str| {
        machine.read(named(&format!(
            "/var/lib/dkms/hello/1.0/{kernel}/ARCH/log/make.log"
        )))
    };
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
    assert!(!log("KERNEL").contains("[toaster]"), "{}", log("KERNEL"));
    machine.write(
        "/etc/dkms/framework.conf.d/ours.conf",
        "build_environment=/etc/dkms/environment\n",
    );
    machine.shell("mv /etc/dkms/environment-KERNEL /etc/dkms/environment");
    machine.dkms("build hello/1.0 -k SECOND").exits(0);
    assert!(
        log("SECOND").contains("\n[toaster] []\n"),
        "{}",
        log("SECOND")
    );
}

#[test]
fn a_command_after_each_transaction() {
    let machine = machine("post_transaction='echo done with $kernelver; echo more >&2'\n");
    let told = "Executing post-transaction command... done.\n";
    machine.dkms("add hello/1.0").exits(0).never_says(told);
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .never_says(told);
    assert!(!machine.has("/var/lib/dkms/post_transaction.log"));
    machine.dkms("install hello/1.0 -k KERNEL").exits(0).prints(
        "
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.
        Executing post-transaction command... done.
        ",
    );
    let log = machine.read("/var/lib/dkms/post_transaction.log");
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| !line.contains("elapsed time"))
        .collect();
    assert_eq!(
        super::kernel::redacted(&lines.join("\n")),
        super::run::text(
            "

            Executing post-transaction command
            # command: echo done with KERNEL; echo more >&2
            done with KERNEL
            more

            # exit code: 0
            ----------------------------------------------------------------
            "
        )
        .trim_end_matches('\n')
    );
    for line in [
        "uninstall hello/1.0 -k KERNEL",
        "unbuild hello/1.0 -k KERNEL",
        "remove hello/1.0 --all",
    ] {
        machine.dkms(line).exits(0).says(told);
    }
    machine.dkms("status").exits(0).never_says(told);
}

#[test]
fn no_command_where_nothing_was_installed_and_in_the_hooks_of_kernels() {
    let machine = machine("post_transaction=true\n");
    machine.dkms("autoinstall -k KERNEL").exits(0).prints("");
    machine.dkms("add hello/1.0").exits(0);
    for action in ["kernel_postinst", "kernel_prerm", "kernel_preinst"] {
        machine
            .dkms(format!("{action} -k KERNEL"))
            .exits(0)
            .never_says("post-transaction");
    }
}

#[test]
fn a_command_that_fails() {
    let machine = machine("post_transaction='exit 3'\n");
    machine.dkms("install hello/1.0 -k KERNEL").exits(0).says(
        "Executing post-transaction command...(bad exit status: 3)\nFailed command:\nexit 3\n",
    );
}

#[test]
fn not_after_what_failed() {
    let machine = machine("post_transaction=true\n");
    machine.source(&Source::failing("hello"));
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(10)
        .never_says("post-transaction");
}

#[test]
fn that_bash_is_killed_on() {
    let machine = machine("kill -KILL $BASHPID\nparallel_jobs=2\n");
    machine
        .dkms("status")
        .exits(1)
        .says("framework.conf cannot be evaluated");
}

#[test]
fn an_environment_for_builds_that_bash_is_killed_on() {
    let machine = machine("build_environment=/etc/dkms/environment\n");
    machine.write(
        "/etc/dkms/environment",
        "export ONE=1\nkill -KILL $$\nexport TWO=2\n",
    );
    machine.source(&Source::hello());
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(8)
        .says("build_environment=/etc/dkms/environment cannot be evaluated");
    assert!(!machine.has(named("/var/lib/dkms/hello/1.0/KERNEL")));
}

#[test]
fn what_bash_runs_is_where_nobody_else_can_write() {
    let machine = Machine::setup()
        .file(
            "/etc/dkms/framework.conf",
            "true; echo \"$0\" >/var/lib/dkms/said\n",
        )
        .start();
    let said = |before: &str| {
        machine
            .shell(&format!("rm -f /var/lib/dkms/said; {before}; dkms status"))
            .exits(0);
        machine.read("/var/lib/dkms/said")
    };
    machine
        .shell("mkdir -m 755 /var/lib/dkms/own /var/lib/dkms/other; chown 1234 /var/lib/dkms/other; mkdir -m 777 /var/lib/dkms/open")
        .exits(0);
    assert!(said("export TMPDIR=/var/lib/dkms/own").starts_with("/var/lib/dkms/own/"));
    for place in ["other", "open"] {
        let said = said(&format!("export TMPDIR=/var/lib/dkms/{place}"));
        let is_elsewhere = ["/tmp/", "/var/tmp/"]
            .iter()
            .any(|top| said.starts_with(top));
        assert!(is_elsewhere, "{place}: {said}");
    }
}

#[test]
fn the_log_of_what_runs_after_a_transaction_is_a_new_file() {
    for there in [
        "ln -s /etc/dkms/precious",
        "mkfifo",
        "mkdir",
        "ln /etc/dkms/precious",
    ] {
        let machine = Machine::setup()
            .file("/etc/dkms/precious", "precious\n")
            .file("/etc/dkms/framework.conf", "post_transaction='echo hi'\n")
            .start();
        machine.add(&Source::hello());
        machine
            .shell(&format!("{there} /var/lib/dkms/post_transaction.log || cp /etc/dkms/precious /var/lib/dkms/post_transaction.log"))
            .exits(0);
        machine.dkms("install hello/1.0 -k KERNEL");
        assert_eq!(machine.read("/etc/dkms/precious"), "precious\n", "{there}");
        if there != "mkdir" {
            let log = machine.read("/var/lib/dkms/post_transaction.log");
            assert!(log.contains("\nhi\n"), "{there}: {log}");
        }
    }
}
