//! Scripts of a package before and after each step, those that the administrator puts in
//! their place, and patches.

use super::{kernel::named, machine::Machine, modules::Module, source::Source};

const SCRIPTS: &str = "
POST_ADD=\"script.sh post_add\"
PRE_BUILD=\"script.sh pre_build $kernelver\"
POST_BUILD=\"script.sh post_build\"
PRE_INSTALL=\"script.sh pre_install\"
POST_INSTALL=\"script.sh post_install\"
POST_REMOVE=\"script.sh post_remove\"
";

const TELLS: &str = "#!/bin/sh\necho \"$* in $(pwd)\"\necho 'a complaint' >&2\n";

/// A package with a script for every step.
fn scripted() -> Source {
    Source::hello().conf(SCRIPTS).script("script.sh", TELLS)
}

/// A package with one script, which fails.
fn failing(step: &str) -> Source {
    Source::hello()
        .conf(&format!("{step}=fail.sh"))
        .script("fail.sh", "#!/bin/sh\necho failing; exit 9\n")
}

#[test]
fn at_every_step() {
    let machine = Machine::new();
    machine.source(&scripted());
    machine.dkms("add hello/1.0").exits(0).prints_both(
        "
        Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0
        Running the post_add script:
        post_add in /var/lib/dkms/hello/1.0/source
        ",
        "a complaint\n",
    );
    machine.dkms("build hello/1.0 -k KERNEL").exits(0).prints(
        "
        Module signing is disabled by policy, modules won't be signed

        Running the pre_build script... done.
        Building module(s)... done.
        Running the post_build script... done.
        ",
    );
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(0)
        .prints_both(
            "
            Running the pre_install script:
            pre_install in /var/lib/dkms/hello/1.0/source
            Installing /lib/modules/KERNEL/updates/dkms/hello.ko
            Running the post_install script:
            post_install in /var/lib/dkms/hello/1.0/source
            Running depmod... done.
            ",
            "a complaint\na complaint\n",
        );
    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(0)
        .prints_both(
            "
            Module hello/1.0 for kernel KERNEL (ARCH):
            Before uninstall, this module version was ACTIVE on this kernel.
            Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
            Running the post_remove script:
            post_remove in /var/lib/dkms/hello/1.0/source
            Running depmod... done.
            ",
            "a complaint\n",
        );
    machine.dkms("remove hello/1.0 --all").exits(0).prints(
        "
        Module hello/1.0 is not installed for kernel KERNEL (ARCH). Skipping...

        Deleting module hello/1.0 completely from the DKMS tree.
        ",
    );
}

#[test]
fn in_the_log_of_a_build() {
    let machine = Machine::new();
    machine.build(&scripted());
    let log = machine.read(named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log"));
    let log: Vec<&str> = log
        .lines()
        .skip(2)
        .filter(|line| !line.contains("elapsed time"))
        .collect();
    let expected = super::run::text(
        "

        Running the pre_build script
        # command: cd /var/lib/dkms/hello/1.0/build/ && /var/lib/dkms/hello/1.0/build/script.sh \
         pre_build KERNEL
        pre_build KERNEL in /var/lib/dkms/hello/1.0/build
        a complaint

        # exit code: 0
        ----------------------------------------------------------------

        Building module(s)
        # command: cp -r prebuilt/KERNEL/. .

        # exit code: 0
        ----------------------------------------------------------------

        Running the post_build script
        # command: cd /var/lib/dkms/hello/1.0/build/ && /var/lib/dkms/hello/1.0/build/script.sh \
         post_build
        post_build in /var/lib/dkms/hello/1.0/build
        a complaint

        # exit code: 0
        ----------------------------------------------------------------
        ",
    );
    assert_eq!(super::kernel::redacted(&log.join("\n")) + "\n", expected);
}

#[test]
fn in_an_automatic_installation() {
    let machine = Machine::new();
    machine.add(&scripted());
    machine.dkms("autoinstall -k KERNEL").exits(0).prints_both(
        "
        Module signing is disabled by policy, modules won't be signed

        Autoinstall of module hello/1.0 for kernel KERNEL (ARCH)
        Running the pre_build script... done.
        Building module(s)... done.
        Running the post_build script... done.
        Running the pre_install script:
        pre_install in /var/lib/dkms/hello/1.0/source
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running the post_install script:
        post_install in /var/lib/dkms/hello/1.0/source
        Running depmod... done.

        Autoinstall on KERNEL succeeded for module(s) hello.
        ",
        "a complaint\na complaint\n",
    );
}

#[test]
fn what_a_build_script_changes_is_built() {
    let source = Source::hello()
        .conf("PRE_BUILD=\"choose.sh second\"")
        .script("choose.sh", "#!/bin/sh\ncp $1.ko chosen.ko\n")
        .file("second.ko", Module::Two.bytes())
        .conf("MAKE[0]='cp chosen.ko hello.ko'");
    let machine = Machine::new();
    machine.build(&source);
    let module = named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko");
    assert_eq!(machine.bytes(module), Module::Two.bytes());
    assert!(!machine.has("/usr/src/hello-1.0/chosen.ko"));
}

#[test]
fn after_the_build_the_modules_are_there() {
    let source = Source::hello()
        .conf("POST_BUILD=\"look.sh $dkms_tree/hello/1.0/$kernelver/$arch\"")
        .script("look.sh", "#!/bin/sh\nls $1/module ../*/*/module\n");
    let machine = Machine::new();
    machine.build(&source);
    let log = machine.read(named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log"));
    assert_eq!(log.matches("\nhello.ko\n").count(), 2, "{log}");
}

/// zfs keeps its configuration and its symbols there, for others to build with.
#[test]
fn what_a_script_puts_beside_the_modules_stays() {
    let source = Source::hello()
        .conf("POST_BUILD=\"keep.sh $dkms_tree/hello/1.0/$kernelver/$arch\"")
        .script("keep.sh", "#!/bin/sh\necho 'int kept;' >$1/kept.h\n");
    let machine = Machine::new();
    machine.build(&source);
    let kept = named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/kept.h");
    assert_eq!(machine.read(&kept), "int kept;\n");
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    machine.dkms("uninstall hello/1.0 -k KERNEL").exits(0);
    assert!(machine.has(&kept));
    machine.dkms("unbuild hello/1.0 -k KERNEL").exits(0);
    assert!(!machine.has(&kept));
}

#[test]
fn after_adding_it_fails() {
    let machine = Machine::new();
    machine.source(&failing("POST_ADD"));
    machine.dkms("add hello/1.0").exits(9).prints(
        "
        Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0
        Running the post_add script:
        failing
        ",
    );
    machine.dkms("status").prints("hello/1.0: added\n");
}

#[test]
fn before_building_it_fails() {
    let machine = Machine::with_added(&failing("PRE_BUILD"));
    machine.dkms("build hello/1.0 -k KERNEL").exits(9).prints(
        "
        Module signing is disabled by policy, modules won't be signed

        Running the pre_build script...(bad exit status: 9)
        Failed command:
        cd /var/lib/dkms/hello/1.0/build/ && /var/lib/dkms/hello/1.0/build/fail.sh
        Consult /var/lib/dkms/hello/1.0/build/make.log for more information.
        ",
    );
    let log = machine.read("/var/lib/dkms/hello/1.0/build/make.log");
    assert!(log.contains("\nfailing\n\n# exit code: 9\n"), "{log}");
    machine.dkms("status").prints("hello/1.0: added\n");
}

#[test]
fn after_building_it_fails() {
    let machine = Machine::with_added(&failing("POST_BUILD"));
    machine.dkms("build hello/1.0 -k KERNEL").exits(9).prints(
        "
        Module signing is disabled by policy, modules won't be signed

        Building module(s)... done.
        Running the post_build script...(bad exit status: 9)
        Failed command:
        cd /var/lib/dkms/hello/1.0/build/ && /var/lib/dkms/hello/1.0/build/fail.sh
        Consult /var/lib/dkms/hello/1.0/build/make.log for more information.
        ",
    );
}

#[test]
fn before_installing_it_fails() {
    let machine = Machine::new();
    machine.build(&failing("PRE_INSTALL"));
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(101)
        .prints_both(
            "
            Running the pre_install script:
            failing
            ",
            "

            Error! pre_install failed, aborting install.
            You may override by specifying --force.
            ",
        );
    machine.holds("/lib/modules", "KERNEL/\nSECOND/\n");
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: built\n");
    machine
        .dkms("install hello/1.0 -k KERNEL --force")
        .exits(0)
        .prints(
            "
            Running the pre_install script:
            failing
            Installing /lib/modules/KERNEL/updates/dkms/hello.ko
            Running depmod... done.
            ",
        );
}

#[test]
fn after_installing_and_removing_failure_is_no_failure() {
    let machine = Machine::new();
    let source = failing("POST_INSTALL").conf("POST_REMOVE=fail.sh");
    machine.build(&source);
    machine.dkms("install hello/1.0 -k KERNEL").exits(0).prints(
        "
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running the post_install script:
        failing
        Running depmod... done.
        ",
    );
    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(0)
        .prints(
            "
            Module hello/1.0 for kernel KERNEL (ARCH):
            Before uninstall, this module version was ACTIVE on this kernel.
            Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
            Running the post_remove script:
            failing
            Running depmod... done.
            ",
        );
}

#[test]
fn that_cannot_be_run() {
    let machine = Machine::new();
    let source = Source::hello()
        .conf("POST_ADD=plain.sh\nPRE_BUILD=missing.sh\nPRE_INSTALL=\"missing.sh now\"")
        .file("plain.sh", TELLS);
    machine.source(&source);
    machine.dkms("add hello/1.0").exits(0).prints_both(
        "
        Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0

        ",
        "
        Warning: The post_add script is not executable.
        ",
    );
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .prints_both(
            "
            Module signing is disabled by policy, modules won't be signed


            Building module(s)... done.
            ",
            "
            Warning: The pre_build script is not executable.
            ",
        );
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(0)
        .prints_both(
            "

            Installing /lib/modules/KERNEL/updates/dkms/hello.ko
            Running depmod... done.
            ",
            "
            Warning: The pre_install script is not executable.
            ",
        );
}

#[test]
fn of_the_administrator() {
    let machine = Machine::setup()
        .script(
            "/etc/dkms/hello/script.sh",
            "#!/bin/sh\necho \"instead $* in $(pwd)\"\n",
        )
        .start();
    machine.source(&scripted());
    machine.dkms("add hello/1.0").exits(0).prints(
        "
        Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0
        Running the post_add script:
        instead post_add in /etc/dkms/hello
        ",
    );
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
    let log = machine.read(named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log"));
    let expected = named("\ninstead pre_build KERNEL in /etc/dkms/hello\n");
    assert!(log.contains(&expected), "{log}");
    machine.dkms("install hello/1.0 -k KERNEL").exits(0).prints(
        "
        Running the pre_install script:
        instead pre_install in /etc/dkms/hello
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running the post_install script:
        instead post_install in /etc/dkms/hello
        Running depmod... done.
        ",
    );
}

#[test]
fn what_scripts_find_in_their_environment() {
    let tells =
        "#!/bin/sh\necho \"[$kernelver] [$arch] [$module] [$module_version] [$dkms_tree]\"\n";
    let source = Source::hello().conf(SCRIPTS).script("script.sh", tells);
    let machine = Machine::new();
    machine.add(&source);
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(0)
        .says("script:\n[KERNEL] [ARCH] [hello] [1.0] []\n");
    let log = machine.read(named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log"));
    assert!(
        log.contains(&named("\n[KERNEL] [ARCH] [hello] [1.0] []\n")),
        "{log}"
    );
}

/// A machine whose owner wants no scripts, by its settings or by the option that is given.
fn refusing(settings: &str) -> Machine {
    let conf = format!("try_sign_modules=false\nparallel_jobs=1\n{settings}");
    Machine::setup()
        .file("/etc/dkms/framework.conf", conf)
        .start()
}

#[test]
fn none_where_the_owner_wants_none() {
    for (settings, option, reason) in [
        ("", " --no-scripts", "--no-scripts"),
        ("no_scripts=true\n", "", "no_scripts in framework.conf"),
    ] {
        let machine = refusing(settings);
        machine.source(&scripted());
        let not_run = |step: &str| {
            format!(
                "Not running the {step} script ({reason}): \
                 /var/lib/dkms/hello/1.0/source/script.sh {step}\n"
            )
        };
        for (command, steps) in [
            ("add hello/1.0", &["post_add"][..]),
            (
                "install hello/1.0 -k KERNEL",
                &["pre_install", "post_install"],
            ),
            ("uninstall hello/1.0 -k KERNEL", &["post_remove"]),
            ("autoinstall -k KERNEL", &["pre_install", "post_install"]),
            ("remove hello/1.0 --all", &["post_remove"]),
        ] {
            let mut run = machine.dkms(format!("{command}{option}")).exits(0);
            for step in steps {
                run = run.says(&not_run(step)).never_says(&format!("{step} in "));
            }
            let told = run.out.matches("Not running the ").count();
            assert_eq!(told, steps.len(), "{run}");
        }
    }
}

#[test]
fn those_of_a_build_are_run_nevertheless() {
    let machine = refusing("no_scripts=true\n");
    machine.source(&scripted());
    machine.dkms("add hello/1.0").exits(0);
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .says("Running the pre_build script... done.")
        .says("Running the post_build script... done.")
        .never_says("Not running");
}

#[test]
fn a_setting_that_says_no_refuses_nothing() {
    let machine = refusing("no_scripts=false\n");
    machine.source(&scripted());
    machine
        .dkms("add hello/1.0")
        .exits(0)
        .says("Running the post_add script:");
}
