//! Trees, sources, settings, scripts and tools that others could have changed: a warning, and the end of a
//! command where the machine's owner wants it so.

use super::{
    kernel::named,
    machine::{Machine, Setup},
    modules::Module,
    run::Run,
    source::Source,
};

/// Whether the machine's owner wants an end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Nothing,
    Strict,
}

const SIGNS: &str = "parallel_jobs=1\ntry_sign_modules=true\nsign_file=/etc/dkms/sign\n\
    mok_signing_key=/etc/dkms/key\nmok_certificate=/etc/dkms/cert\nbuild_environment=/home/environment\n";

/// A package with a script of its own and one that the machine's owner has put in the place of another.
fn package() -> Source {
    Source::hello()
        .conf("POST_INSTALL=own.sh\nPRE_INSTALL=replaced.sh")
        .script("own.sh", "#!/bin/sh\n:\n")
}

/// A machine with all that a command may use.
fn setup(wish: Wish) -> Setup {
    let setup = Machine::setup()
        .script(
            "/etc/dkms/sign",
            "#!/bin/sh\necho '~Module signature appended~' >>\"$4\"\n",
        )
        .secret("/etc/dkms/key", "")
        .file("/etc/dkms/cert", "")
        .file("/etc/dkms/framework.conf", SIGNS)
        .file("/etc/dkms/framework.conf.d/more.conf", "verbose=\n")
        .file("/etc/dkms/hello.conf", "# nothing\n")
        .script("/etc/dkms/hello/replaced.sh", "#!/bin/sh\n:\n");
    match wish {
        Wish::Nothing => setup,
        Wish::Strict => setup.file("/etc/kiln/config.toml", "[dkms]\nstrict = true\n"),
    }
}

/// Installs the package after `script` has changed something.
fn install(wish: Wish, script: &str) -> (Machine, Run) {
    let machine = setup(wish).start();
    machine.source(&package());
    machine.shell(script).exits(0);
    machine.dkms("add hello/1.0");
    let run = machine.dkms("install hello/1.0 -k KERNEL");
    (machine, run)
}

/// What is told of a place is told once, and is the end where that is wanted.
#[track_caller]
fn is_told(script: &str, told: &str) {
    let (machine, run) = install(Wish::Nothing, script);
    let run = run.exits(0);
    assert_eq!(run.err.matches("Warning: ").count(), 1, "{run}");
    let warning = format!("Warning: Others could have changed {told}");
    let run = run.says(&warning).says("\nRun: ch");
    let again = machine.dkms("uninstall hello/1.0 -k KERNEL").exits(0);
    assert!(again.err.matches("Warning: ").count() <= 1, "{run}");

    let (machine, run) = install(Wish::Strict, script);
    run.exits(1)
        .says(&format!("Error! Others could have changed {told}"))
        .says("It is not used, for dkms.strict is set.");
    assert!(!machine.has(named("/lib/modules/KERNEL/updates/dkms/hello.ko")));
}

#[test]
fn nothing_is_told_where_nothing_is_wrong() {
    for wish in [Wish::Nothing, Wish::Strict] {
        let (_, run) = install(wish, ":");
        let run = run.exits(0);
        assert_eq!(run.err, "", "{run}");
    }
}

#[test]
fn what_a_user_may_not_look_at_is_not_told_of() {
    let machine = setup(Wish::Nothing)
        .secret("/etc/dkms/keys/key", "")
        .mode("/etc/dkms/keys", 0o700)
        .start();
    machine.dkms_as_user("status").exits(0).prints("");
}

#[test]
fn trees_that_others_may_write_to() {
    for (tree, what) in [
        ("/var/lib/dkms", "the DKMS tree"),
        ("/usr/src", "the source tree"),
        ("/usr/lib/modules", "the install tree"),
    ] {
        is_told(
            &format!("chmod 777 {tree}"),
            &format!("{what}: {tree} may be written by others (mode 0777)"),
        );
    }
}

#[test]
fn a_source_that_belongs_to_somebody_else() {
    for place in ["/usr/src/hello-1.0", "/usr/src/hello-1.0/prebuilt"] {
        is_told(
            &format!("chown -R 65534 {place}"),
            &format!("the source of hello/1.0: {place} belongs to user 65534"),
        );
    }
}

#[test]
fn files_of_a_package_that_others_may_write_to() {
    is_told(
        "chmod 666 /usr/src/hello-1.0/dkms.conf",
        "the source of hello/1.0: /usr/src/hello-1.0/dkms.conf may be written by others (mode 0666)",
    );
}

#[test]
fn what_the_owner_has_in_etc_dkms() {
    for file in [
        "framework.conf",
        "framework.conf.d/more.conf",
        "hello.conf",
        "hello/replaced.sh",
        "sign",
        "cert",
    ] {
        is_told(
            &format!("chmod 777 /etc/dkms/{file}"),
            &format!("/etc/dkms: /etc/dkms/{file} may be written by others (mode 0777)"),
        );
    }
}

#[test]
fn what_is_elsewhere_and_only_named_there() {
    let told = |what: &str, file: &str| {
        let script = format!(
            "mv /etc/dkms/{file} /usr/src/moved-{file}; \
             ln -s /usr/src/moved-{file} /etc/dkms/{file}; chmod 777 /usr/src/moved-{file}"
        );
        is_told(
            &script,
            &format!("{what}: /usr/src/moved-{file} may be written by others (mode 0777)"),
        );
    };
    told("framework.conf", "framework.conf");
    told("/etc/dkms", "hello.conf");
    told("/etc/dkms", "sign");
    told("/etc/dkms", "cert");
}

#[test]
fn an_automatic_installation_tells_of_it_once_too() {
    for all in ["-k KERNEL", "--all-kernels"] {
        let machine = setup(Wish::Nothing).start();
        machine.add(&package());
        machine
            .shell("chmod 666 /usr/src/hello-1.0/dkms.conf")
            .exits(0);
        let run = machine.dkms(format!("autoinstall {all}")).exits(0);
        assert_eq!(run.err.matches("Warning: Others ").count(), 1, "{run}");
        assert!(machine.has(named("/lib/modules/KERNEL/updates/dkms/hello.ko")));
    }
    let machine = setup(Wish::Strict).start();
    machine.add(&package());
    machine
        .shell("chmod 666 /usr/src/hello-1.0/dkms.conf")
        .exits(0);
    machine
        .dkms("autoinstall -k KERNEL")
        .exits(1)
        .says("Error! Others could have changed the source of hello/1.0");
    assert!(!machine.has(named("/lib/modules/KERNEL/updates")));
}

#[test]
fn a_key_in_a_tree_that_others_may_write_to_signs_nevertheless() {
    let machine = setup(Wish::Nothing)
        .file(
            "/etc/dkms/framework.conf",
            "try_sign_modules=true\nsign_file=/etc/dkms/sign\n",
        )
        .start();
    machine.build(&Source::hello());
    machine.shell("chmod 777 /var/lib/dkms").exits(0);
    let run = machine
        .dkms("build hello/1.0 -k KERNEL --force")
        .exits(0)
        .says("Signing module");
    assert_eq!(run.err.matches("Warning: ").count(), 1, "{run}");
}

#[test]
fn settings_that_others_may_write_to_are_not_executed_where_that_is_not_wanted() {
    let executed = |wish: Wish| {
        let machine = setup(wish)
            .file("/etc/dkms/framework.conf", ": >/var/lib/dkms/executed\n")
            .mode("/etc/dkms/framework.conf", 0o666)
            .start();
        let run = machine.dkms("status");
        (run.exits_with(), machine.has("/var/lib/dkms/executed"))
    };
    assert_eq!(executed(Wish::Nothing), (Some(0), true));
    assert_eq!(executed(Wish::Strict), (Some(1), false));
}

#[test]
fn what_was_built_and_could_have_been_changed_since() {
    for (wish, code) in [(Wish::Nothing, 0), (Wish::Strict, 1)] {
        let machine = setup(wish).start();
        machine.source(&package());
        machine.dkms("add hello/1.0").exits(0);
        machine.dkms("build hello/1.0 -k KERNEL").exits(0);
        machine
            .shell("chmod 666 /var/lib/dkms/hello/1.0/*/*/module/hello.ko*")
            .exits(0);
        machine
            .dkms("install hello/1.0 -k KERNEL")
            .exits(code)
            .says("Others could have changed what was built: ");
        assert_eq!(machine.has(named("/lib/modules/KERNEL/updates")), code == 0);
    }
}

#[test]
fn where_modules_go() {
    is_told(
        "mkdir -p /lib/modules/KERNEL/updates/dkms; chmod 777 /lib/modules/KERNEL/updates/dkms",
        "the install tree: /usr/lib/modules/KERNEL/updates/dkms may be written by others (mode 0777)",
    );
    // Where there is nothing yet, whoever may make it decides what it is.
    is_told(
        "mkdir /lib/modules/KERNEL/updates; chmod 777 /lib/modules/KERNEL/updates",
        "the install tree: /usr/lib/modules/KERNEL/updates may be written by others (mode 0777)",
    );
    // Nothing is installed through a link out of the kernel's directory, whoever owns what it leads to.
    let script = "mkdir -p /usr/src/x/u; chown 65534 /usr/src/x/u; mkdir /lib/modules/KERNEL/updates; \
        ln -s /usr/src/x/u /lib/modules/KERNEL/updates/dkms";
    for (wish, code) in [(Wish::Nothing, 6), (Wish::Strict, 1)] {
        let (machine, run) = install(wish, script);
        run.exits(code)
            .says("Others could have changed the install tree: /usr/src/x/u belongs to user 65534");
        assert!(!machine.has("/usr/src/x/u/hello.ko"));
    }
}

/// What becomes of a command after `script`, with the owner's two wishes; `left` is what is there only if it was done.
#[track_caller]
fn is_refused(setup: fn(Wish) -> Setup, script: &str, line: &str, told: &str, left: &str) {
    for (wish, code) in [(Wish::Nothing, 0), (Wish::Strict, 1)] {
        let machine = setup(wish).file("/usr/src/x/file", "").start();
        machine.source(&package());
        machine.shell(script).exits(0);
        let run = machine.dkms(line).exits(code);
        let run = run.says(&format!("Others could have changed {told}"));
        assert_eq!(machine.has(named(left)), code == 0, "{run}");
    }
}

#[test]
fn an_original_that_others_could_have_changed_does_not_go_back() {
    let place = named("/lib/modules/KERNEL/kernel/hello.ko");
    for changed in ["original_module/KERNEL/ARCH/hello.ko", "kernel-KERNEL-ARCH"] {
        for (wish, code) in [(Wish::Nothing, 0), (Wish::Strict, 1)] {
            let machine = setup(wish).start();
            machine.write(&place, Module::One.bytes());
            machine.install(&Source::of("hello", "2.0", Module::Two));
            let changed = format!("/var/lib/dkms/hello/{changed}");
            machine.shell(&format!("chown -h 65534 {changed}")).exits(0);
            let run = machine
                .dkms("uninstall hello/2.0 -k KERNEL")
                .exits(code)
                .says(&format!(
                    "changed the DKMS tree: {changed} belongs to user 65534"
                ));
            // What others could have changed themselves stays away in any case.
            let goes_back = code == 0 && changed.ends_with("kernel-KERNEL-ARCH");
            assert_eq!(machine.has(&place), goes_back, "{run}");
        }
    }
}

#[test]
fn a_script_is_judged_before_anything_else_is_done() {
    let setup = |wish| {
        setup(wish).script(
            "/etc/dkms/hello/replaced.sh",
            "#!/bin/sh\n: >/var/lib/dkms/ran\n",
        )
    };
    is_refused(
        setup,
        "dkms add hello/1.0; chmod 777 /usr/src/hello-1.0/own.sh",
        "install hello/1.0 -k KERNEL",
        "the source of hello/1.0: /usr/src/hello-1.0/own.sh may be written by others",
        "/var/lib/dkms/ran",
    );
}

#[test]
fn the_command_after_a_transaction() {
    let setup = |wish| {
        let post = "parallel_jobs=1\npost_transaction='/usr/src/x/after.sh $kernelver'\n";
        setup(wish)
            .file("/etc/dkms/framework.conf", post)
            .script("/usr/src/x/after.sh", "#!/bin/sh\n: >/var/lib/dkms/ran\n")
    };
    is_refused(
        setup,
        "chmod 777 /usr/src/x/after.sh; dkms add hello/1.0 || :",
        "autoinstall -k KERNEL",
        "post_transaction: /usr/src/x/after.sh may be written by others (mode 0777)",
        "/var/lib/dkms/ran",
    );
}

#[test]
fn an_archive_that_others_may_write_to() {
    is_refused(
        setup,
        "tar -C /usr/src -czf /usr/src/x/hello.tar.gz hello-1.0; rm -r /usr/src/hello-1.0; chmod 666 /usr/src/x/hello.tar.gz",
        "ldtarball /usr/src/x/hello.tar.gz",
        "the archive: /usr/src/x/hello.tar.gz may be written by others (mode 0666)",
        "/var/lib/dkms/hello/1.0/source",
    );
}

#[test]
fn a_source_of_somebody_else_is_copied_as_root_s_own() {
    let script = "mv /usr/src/hello-1.0 /usr/src/x/hello; chmod 4777 /usr/src/x/hello/own.sh; chown -R 65534 /usr/src/x/hello";
    is_refused(
        setup,
        script,
        "add /usr/src/x/hello",
        "the source that is added: /usr/src/x/hello belongs to user 65534",
        "/usr/src/hello-1.0/dkms.conf",
    );
    let machine = setup(Wish::Nothing).file("/usr/src/x/file", "").start();
    machine.source(&package());
    machine.shell(script).exits(0);
    machine.dkms("add /usr/src/x/hello").exits(0);
    machine
        .shell("find /usr/src/hello-1.0 ! -user 0 -o -perm /7022 ! -type l")
        .exits(0)
        .prints("");
    let run = machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    assert_eq!(run.err, "", "{run}");
}

#[test]
fn a_kernel_that_somebody_else_built() {
    let script = "rm /lib/modules/KERNEL/build; mkdir /usr/src/x; cp -r /usr/src/linux-headers-KERNEL /usr/src/x/tree; \
        chown 65534 /usr/src/x/tree/Makefile; ln -s /usr/src/x/tree /lib/modules/KERNEL/build";
    let (_, run) = install(Wish::Nothing, script);
    let run = run.exits(0);
    assert_eq!(run.err, "", "{run}");
    let (_, run) = install(Wish::Strict, script);
    run.exits(1)
        .says("Others could have changed the kernel's build tree: /usr/src/x/tree/Makefile belongs to user 65534");
}

#[test]
fn where_it_cannot_be_told_whether_strictness_is_wanted_it_is() {
    let script = "chmod 777 /usr/src";
    for (settings, mode, reason) in [
        (
            "[dkms]\nstrict = false\n",
            0o666,
            "/etc/kiln/config.toml may be written by others (mode 0666)",
        ),
        (
            "",
            0o666,
            "/etc/kiln/config.toml may be written by others (mode 0666)",
        ),
        (
            "[dkms]\nstrict = \"yes\"\n",
            0o644,
            "/etc/kiln/config.toml:2:10: dkms.strict expects true or false",
        ),
        (
            "[dmks]\nstrict = true\n",
            0o644,
            "/etc/kiln/config.toml:1:2: there is no table [dmks]",
        ),
        (
            "[dkms]\nstrickt = true\n",
            0o644,
            "/etc/kiln/config.toml:2:1: there is no setting",
        ),
        (
            "[dkms\nstrict = true\n",
            0o644,
            "/etc/kiln/config.toml:1:6: ",
        ),
        (
            "dkms = true\n",
            0o644,
            "/etc/kiln/config.toml:1:1: dkms is a table",
        ),
    ] {
        let machine = setup(Wish::Nothing)
            .file("/etc/kiln/config.toml", settings)
            .start();
        machine.source(&package());
        let permitted = format!("chmod {mode:o} /etc/kiln/config.toml");
        machine.shell(&permitted).exits(0);
        machine.dkms("add hello/1.0").exits(0);
        machine.shell(script).exits(0);
        machine
            .dkms("build hello/1.0 -k KERNEL")
            .exits(1)
            .says("It is not used, for dkms.strict may be set, which cannot be told: ")
            .says(reason);
        machine
            .shell("KILN_DKMS_STRICT=false dkms build hello/1.0 -k KERNEL")
            .exits(0);
    }
    // What is wrong elsewhere hides nothing.
    let machine = setup(Wish::Nothing)
        .file(
            "/etc/kiln/config.toml",
            "[cache]\nmax_size = 'much'\n[dkms]\nstrict = false\n",
        )
        .start();
    machine.source(&package());
    machine.shell(script).exits(0);
    machine.dkms("add hello/1.0").exits(0);
    // A pipe is no file of settings.
    let machine = setup(Wish::Nothing).start();
    machine.source(&package());
    machine
        .shell(&format!(
            "{script}; mkdir -p /etc/kiln; mkfifo /etc/kiln/config.toml"
        ))
        .exits(0);
    machine
        .dkms("add hello/1.0")
        .exits(1)
        .says("which cannot be told: cannot read /etc/kiln/config.toml");
}

#[test]
fn settings_that_are_there_and_lead_nowhere_are_not_missing() {
    for place in [
        "mkdir /etc/kiln; ln -s nowhere /etc/kiln/config.toml",
        "mkdir /etc/kiln; ln -s config.toml /etc/kiln/config.toml",
        "mkdir /etc/kiln; ln -s /etc/passwd/x /etc/kiln/config.toml",
        "ln -s nowhere /etc/kiln",
        "ln -s kiln /etc/kiln",
        ": >/etc/kiln",
    ] {
        let machine = setup(Wish::Nothing).start();
        machine.source(&package());
        machine
            .shell(&format!("chmod 777 /usr/src; {place}"))
            .exits(0);
        machine
            .dkms("add hello/1.0")
            .exits(1)
            .says("which cannot be told: cannot read /etc/kiln/config.toml");
    }
    for place in [":", "mkdir /etc/kiln", "mkdir /etc/x; ln -s x /etc/kiln"] {
        let machine = setup(Wish::Nothing).start();
        machine.source(&package());
        machine
            .shell(&format!("chmod 777 /usr/src; {place}"))
            .exits(0);
        machine.dkms("add hello/1.0").exits(0);
    }
}

#[test]
fn what_is_not_there_yet_is_whoevers_may_make_it() {
    let machine = setup(Wish::Strict).start();
    machine.shell("mkdir -m 1777 /usr/src/open").exits(0);
    machine
        .dkms("add hello/1.0 --dkmstree /usr/src/open/tree")
        .exits(1)
        .says("Error! Others could have changed the DKMS tree: /usr/src/open may be written by others (mode 1777)");
    machine
        .shell("ln -s /usr/src/open/none /etc/dkms/other.conf")
        .exits(0);
    machine
        .dkms("status")
        .exits(1)
        .says("Error! Others could have changed /etc/dkms: /usr/src/open may be written by others (mode 1777)");
    let machine = setup(Wish::Nothing).start();
    machine.source(&package());
    machine
        .shell("mkdir -p /etc/kiln; chown 65534 /etc/kiln; chmod 777 /usr/src")
        .exits(0);
    machine
        .dkms("add hello/1.0")
        .exits(1)
        .says("which cannot be told: /etc/kiln belongs to user 65534");
}

#[test]
fn a_source_by_a_link_of_somebody_else() {
    is_refused(
        setup,
        "mv /usr/src/hello-1.0 /usr/src/x/hello; ln -s hello /usr/src/x/link; chown -h 65534 /usr/src/x/link",
        "add /usr/src/x/link",
        "the source that is added: /usr/src/x/link belongs to user 65534",
        "/usr/src/hello-1.0/dkms.conf",
    );
}

#[test]
fn what_the_tree_has_of_a_package() {
    for (verb, left) in [
        ("remove hello/1.0 --all", "/var/lib/dkms/removed"),
        (
            "mktarball hello/1.0 -k KERNEL",
            "/var/lib/dkms/hello/1.0/tarball",
        ),
    ] {
        for (wish, code) in [(Wish::Nothing, 0), (Wish::Strict, 1)] {
            let machine = setup(wish).start();
            machine.build(&package());
            machine.shell("chown 65534 /var/lib/dkms/hello").exits(0);
            let run = machine.dkms(verb).exits(code);
            let run = run.says("Others could have changed the DKMS tree: /var/lib/dkms/hello belongs to user 65534");
            if left.ends_with("removed") {
                assert_eq!(machine.has("/var/lib/dkms/hello"), code != 0, "{run}");
            } else {
                assert_eq!(machine.has(left), code == 0, "{run}");
            }
        }
    }
}

#[test]
fn other_things_that_are_used() {
    for (script, line, told) in [
        (
            "cp /usr/src/linux-headers-KERNEL/.config /usr/src/x/config; chown 65534 /usr/src/x/config",
            "build hello/1.0 -k KERNEL --config /usr/src/x/config",
            "the kernel's configuration: /usr/src/x/config belongs to user 65534",
        ),
        (
            "mkdir -p /usr/src/x/scripts; chown 65534 /usr/src/x/scripts; ln -s /usr/src/x/scripts /etc/dkms/hello/more",
            "build hello/1.0 -k KERNEL",
            "/etc/dkms: /usr/src/x/scripts belongs to user 65534",
        ),
    ] {
        for (wish, code) in [(Wish::Nothing, 0), (Wish::Strict, 1)] {
            let machine = setup(wish).file("/usr/src/x/file", "").start();
            machine.add(&package());
            machine.shell(script).exits(0);
            machine
                .dkms(line)
                .exits(code)
                .says(&format!("Others could have changed {told}"));
        }
    }
}

#[test]
fn a_cache_that_others_may_write_is_what_is_wrong() {
    let machine = Machine::with_added(&Source::hello());
    machine
        .shell(
            "mkdir -m 777 /var/lib/dkms/cache
             KILN_CACHE=/var/lib/dkms/cache dkms build hello/1.0 -k KERNEL",
        )
        .exits(10)
        .says("nothing can be built: ")
        .says("/var/lib/dkms/cache")
        .never_says("headers cannot be used");
}
