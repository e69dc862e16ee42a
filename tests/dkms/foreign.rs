//! What somebody else could have written is not obeyed, whether or not the machine's owner wants an end: it would have
//! root write, rename or remove files anywhere.

use super::{
    kernel::named,
    machine::{Machine, Setup},
    modules::Module,
    source::Source,
};

/// A user of the machine.
const OTHER: &str = "65534";

/// A machine with `hello` 2.0 in the place of a module of the kernel's own.
fn with_an_original() -> Machine {
    let machine = Machine::new();
    let own = named("/lib/modules/KERNEL/kernel/hello.ko");
    machine.write(own, Module::One.bytes());
    machine.install(&Source::of("hello", "2.0", Module::Two));
    machine
}

const ORIGINAL: &str = "/var/lib/dkms/hello/original_module/KERNEL/ARCH/hello.ko";

#[test]
fn a_noted_place_is_below_the_kernel_s_directory() {
    for said in [
        "/lib/modules/KERNEL/../../../etc/evil",
        "/lib/modules/KERNEL/kernel/../../SECOND/evil.ko",
        "/lib/modules/KERNEL/build/evil.ko",
        "/lib/modules/KERNEL/away/evil.ko",
        "/lib/modules/KERNEL",
    ] {
        let machine = with_an_original();
        machine
            .shell(&format!(
                "ln -s /var/lib/dkms/away /lib/modules/KERNEL/away; mkdir /var/lib/dkms/away
                 echo {said} >{ORIGINAL}.origin"
            ))
            .exits(0);
        let run = machine
            .dkms("uninstall hello/2.0 -k KERNEL")
            .exits(0)
            .says(&format!("Bad original location '{said}'"));
        let found = machine.shell(
            "find /var/lib/dkms /etc /lib/modules/ -name 'evil*'; find /usr/src/ -name evil.ko",
        );
        assert_eq!(found.out, "", "{run}");
        // As one that nothing is noted of.
        assert_eq!(
            machine.installed("kernel/extra/hello.ko"),
            Module::One.bytes()
        );
    }
}

#[test]
fn an_original_of_somebody_else_does_not_go_back() {
    for (script, told) in [
        (
            format!("chown {OTHER} {ORIGINAL}"),
            "hello.ko belongs to user 65534",
        ),
        (
            format!("chown {OTHER} {ORIGINAL}.origin"),
            "hello.ko.origin belongs to user 65534",
        ),
        (
            format!("chmod 666 {ORIGINAL}"),
            "hello.ko may be written by others (mode 0666)",
        ),
        (
            format!("rm {ORIGINAL}.origin; chown {OTHER} {ORIGINAL}"),
            "hello.ko belongs to user 65534",
        ),
    ] {
        let machine = with_an_original();
        machine.shell(&script).exits(0);
        machine
            .dkms("uninstall hello/2.0 -k KERNEL")
            .exits(0)
            .says("An archived original module is not restored, for others could have changed it:")
            .says(told)
            .says("It stays in /var/lib/dkms/hello/original_module/KERNEL/ARCH.");
        let found = machine.shell("find /lib/modules/KERNEL/ -name hello.ko");
        assert_eq!(found.out, "", "{script}");
        assert_eq!(machine.bytes(named(ORIGINAL)), Module::One.bytes());
    }
}

#[test]
fn originals_behind_a_link_are_left_alone() {
    let machine = with_an_original();
    machine
        .shell("mv /var/lib/dkms/hello/original_module /var/lib/dkms/away; ln -s ../away /var/lib/dkms/hello/original_module")
        .exits(0);
    machine
        .dkms("uninstall hello/2.0 -k KERNEL")
        .exits(0)
        .says("No original module is restored: /var/lib/dkms/hello/original_module is a link.");
    let kept = named("/var/lib/dkms/away/KERNEL/ARCH/hello.ko");
    assert_eq!(machine.bytes(kept), Module::One.bytes());
}

/// Leaves the journal of an installation of `hello` that stopped when it was decided.
fn interrupted() -> Machine {
    let machine = Machine::new();
    machine.build(&Source::hello());
    let plan = r#"{"made":[],"puts":[],"removals":[],"emptied":["/lib/modules/KERNEL/gone"]}"#;
    journal(&machine, plan);
    machine
}

/// Writes a journal with a plan as kiln does.
fn journal(machine: &Machine, plan: &str) {
    let kernel = machine.shell("readlink -f /lib/modules/KERNEL").out;
    let plan = plan.replace("/lib/modules/KERNEL", kernel.trim());
    let plan = named(&plan);
    let digest = kiln_cache::ObjectDigest::of(plan.as_bytes());
    machine.shell("mkdir -m 700 /lib/modules/KERNEL/.kiln; mkdir /lib/modules/KERNEL/gone");
    machine.write(
        named("/lib/modules/KERNEL/.kiln/commit"),
        format!("kiln-transaction 1 {digest}\n{plan}"),
    );
}

#[test]
fn the_journal_of_somebody_else_is_not_obeyed() {
    let machine = interrupted();
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    assert!(!machine.has(named("/lib/modules/KERNEL/gone")));
    for (script, told) in [
        (format!("chown {OTHER} J"), "belongs to user 65534"),
        (
            format!("chown {OTHER} J/commit"),
            "commit belongs to user 65534",
        ),
        (
            "chmod 666 J/commit".to_owned(),
            "commit may be written by others (mode 0666)",
        ),
        (
            "chmod 777 J".to_owned(),
            "may be written by others (mode 0777)",
        ),
        (
            "mv J /var/lib/dkms/j; ln -s /var/lib/dkms/j J".to_owned(),
            "it is a link",
        ),
    ] {
        let machine = interrupted();
        let script = script.replace('J', "/lib/modules/KERNEL/.kiln");
        machine.shell(&script).exits(0);
        for line in ["install hello/1.0 -k KERNEL", "autoinstall -k KERNEL"] {
            let run = machine.dkms(line);
            assert_ne!(run.exits_with(), Some(0), "{run}");
            run.says("is not finished, for others could have written it; look at it and remove it")
                .says(told);
        }
        assert!(machine.has(named("/lib/modules/KERNEL/gone")), "{script}");
    }
}

#[test]
fn a_journal_is_about_the_kernel_and_the_dkms_tree() {
    for stray in [
        "/etc/gone",
        "/lib/modules/KERNEL/../SECOND/gone",
        "/lib/modules/KERNEL/away/gone",
    ] {
        let machine = Machine::new();
        machine.build(&Source::hello());
        machine
            .shell("mkdir -p /etc/gone /lib/modules/SECOND/gone; ln -s ../SECOND /lib/modules/KERNEL/away")
            .exits(0);
        let plan = format!(r#"{{"made":[],"puts":[],"removals":[],"emptied":["{stray}"]}}"#);
        journal(&machine, &plan);
        machine
            .dkms("install hello/1.0 -k KERNEL")
            .exits(6)
            .says("is not finished, for it names ");
        machine
            .shell("ls -d /etc/gone /lib/modules/SECOND/gone")
            .exits(0);
    }
}

#[test]
fn no_module_goes_through_a_link_out_of_the_kernel_s_directory() {
    let gentoo = || Machine::setup().distribution("ID=gentoo\n");
    let machine = gentoo().start();
    machine.source(&Source::hello().conf("DEST_MODULE_LOCATION[0]=/extra/../build/evil"));
    machine.dkms("add hello/1.0");
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .says("DEST_MODULE_LOCATION");
    machine
        .shell("test ! -e /lib/modules/KERNEL/build/evil")
        .exits(0);

    let machine = Machine::new();
    machine.build(&Source::hello());
    machine
        .shell("mkdir -p /var/lib/dkms/away /lib/modules/KERNEL/updates; ln -s /var/lib/dkms/away /lib/modules/KERNEL/updates/dkms")
        .exits(0);
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(6)
        .says("/lib/modules/KERNEL/updates/dkms leads out of /lib/modules/KERNEL.");
    machine
        .shell("test -z \"$(ls /var/lib/dkms/away)\"")
        .exits(0);
    // One that stays in it is the owner's affair.
    machine
        .shell("rm /lib/modules/KERNEL/updates/dkms; mkdir /lib/modules/KERNEL/ours; ln -s ../ours /lib/modules/KERNEL/updates/dkms")
        .exits(0);
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    assert_eq!(machine.installed("ours/hello.ko"), Module::One.bytes());
}

#[test]
fn nothing_is_removed_through_a_link() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    machine
        .shell(
            "mv /var/lib/dkms/hello/1.0 /var/lib/dkms/away; ln -s ../away /var/lib/dkms/hello/1.0
             mkdir -p /var/lib/dkms/away/.tmp_mine /var/lib/dkms/away/sub/.tmp_mine /var/lib/dkms/away/empty",
        )
        .exits(0);
    let before = machine.tree("/var/lib/dkms/away");
    machine
        .dkms("unbuild hello/1.0 -k KERNEL")
        .says("cannot remove ")
        .says("/var/lib/dkms/hello/1.0 is a link");
    machine.dkms("remove hello/1.0 --all");
    assert_eq!(machine.tree("/var/lib/dkms/away"), before);
    // Those of a package, by its own name, too.
    machine
        .shell("rm -rf /var/lib/dkms/hello; ln -s away /var/lib/dkms/hello")
        .exits(0);
    machine.dkms("add hello/1.0");
    machine.dkms("remove hello/1.0 --all");
    machine.shell("ls -d /var/lib/dkms/away/.tmp_mine").exits(0);
}

/// A machine that signs, with keys in a directory that is there but has none.
fn keyless() -> Setup {
    Machine::setup()
        .script(
            "/etc/dkms/sign",
            "#!/bin/sh\necho '~Module signature appended~' >>\"$4\"\n",
        )
        .file("/etc/dkms/keys/readme", "")
        .file(
            "/etc/dkms/framework.conf",
            "parallel_jobs=1\ntry_sign_modules=true\nsign_file=/etc/dkms/sign\n\
             mok_signing_key=/etc/dkms/keys/key\nmok_certificate=/etc/dkms/keys/cert\n",
        )
        .program("openssl", "#!/bin/sh\necho ran >>/var/lib/dkms/ran\n")
}

#[test]
fn no_key_is_made_where_others_may_write() {
    for (script, told) in [
        (
            "chown 65534 /etc/dkms/keys",
            "/etc/dkms/keys belongs to user 65534: chown root /etc/dkms/keys",
        ),
        (
            "chmod 1777 /etc/dkms/keys",
            "/etc/dkms/keys may be written by others (mode 1777)",
        ),
    ] {
        let machine = keyless().start();
        machine.add(&Source::hello());
        machine.shell(script).exits(0);
        machine
            .dkms("build hello/1.0 -k KERNEL")
            .exits(0)
            .says(&format!(
                "/etc/dkms/keys/key is not made, modules won't be signed: {told}"
            ));
        assert!(!machine.has("/var/lib/dkms/ran"));
    }
    let machine = keyless().start();
    machine.add(&Source::hello());
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
    assert!(machine.has("/var/lib/dkms/ran"));
}

#[test]
fn the_log_of_a_build_is_not_written_through_a_link() {
    // The date is in it: whoever is asked for it can see what is in its place by then.
    let date = "#!/bin/sh\nlog=$(echo /var/lib/dkms/hello/1.0/*/*/log)\n\
                [ ! -d \"$log\" ] || ln -sf /var/lib/dkms/precious \"$log/make.log\"\necho now\n";
    let machine = Machine::setup().program("date", date).start();
    machine.build(&Source::hello());
    assert!(!machine.has("/var/lib/dkms/precious"));
    let log = machine.read(named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log"));
    let mut lines = log.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .contains("make.log for hello/1.0 for kernel"),
        "{log}"
    );
    assert_eq!(lines.next(), Some("now"), "{log}");
    assert!(!lines.next().unwrap().starts_with("kiln "), "{log}");
    assert!(
        log.contains("# command: make -j1 KERNELRELEASE=") || !log.contains("# command: make -j"),
        "{log}"
    );
}

#[test]
fn what_is_no_file_in_the_place_of_one_is_not_waited_for() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine
        .shell("cd /var/lib/dkms/hello/1.0/KERNEL/ARCH/module; rm hello.ko; mkfifo hello.ko")
        .exits(0);
    machine
        .dkms("status")
        .exits(0)
        .says("hello/1.0, KERNEL, ARCH: installed (Built modules are missing");
    machine
        .shell("cd /lib/modules/KERNEL/updates/dkms; rm hello.ko; mkfifo hello.ko")
        .exits(0);
    machine.dkms("status").exits(0);

    let machine = Machine::with_added(&Source::hello().conf("MAKE[0]='false'"));
    let log = "/var/lib/dkms/hello/1.0/build/make.log";
    for (script, own) in [
        ("mkfifo", false),
        ("truncate -s 3G", false),
        ("ln -s /etc/passwd", true),
    ] {
        machine
            .shell(&format!(
                "rm -f {log}; mkdir -p $(dirname {log}); {script} {log}"
            ))
            .exits(0);
        machine.dkms("build hello/1.0 -k KERNEL").exits(10);
        if !own {
            continue;
        }
        let text = machine.read(log);
        assert!(text.starts_with("DKMS ("), "{text}");
        assert!(!text.contains("root:"), "{text}");
    }
}

/// More than a build that fails may cost, in KiB.
const ROOM: u64 = 300 << 10;

#[test]
fn a_long_log_costs_no_memory() {
    let machine = Machine::new();
    // No end of a line, and no text.
    let noise = "#!/bin/sh\ntr '\\0' '\\377' </dev/zero | head -c 60000000\nexit 1\n";
    machine.add(
        &Source::hello()
            .conf("MAKE[0]=\"sh noise\"")
            .script("noise", noise),
    );
    let peak = "import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=2).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)";
    machine.write("/home/peak.py", peak);
    let peak = machine.path("/home/peak.py");
    let line = format!("python3 {} dkms build hello/1.0 -k KERNEL", peak.display());
    let run = machine.shell(&line).exits(10);
    let kib: u64 = run.out.lines().last().unwrap().parse().unwrap();
    assert!(kib < ROOM, "{kib} KiB");
    let log = machine.path("/var/lib/dkms/hello/1.0/build/make.log");
    assert!(log.metadata().unwrap().len() > 60_000_000);
}
