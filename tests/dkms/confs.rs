//! dkms.conf: what is refused, what is warned of, what is taken in silence.

use super::{kernel::named, machine::Machine, modules::Module, source::Source};

/// Asserts that a dkms.conf is refused, with these complaints.
#[track_caller]
fn refused(source: &Source, complaints: &str) {
    let machine = Machine::new();
    machine.source(source);
    let complaints = super::run::text(complaints);
    machine.dkms("add hello/1.0").exits(8).warns(&format!(
        "{complaints}\nError! Bad conf file.\nFile: /usr/src/hello-1.0/dkms.conf does not \
         represent a valid dkms.conf file.\n"
    ));
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn empty() {
    let machine = Machine::new();
    machine.write("/usr/src/hello-1.0/dkms.conf", "");
    machine.dkms("add hello/1.0").exits(8).warns(
        "
        dkms.conf: Error! No 'PACKAGE_NAME' directive specified.
        dkms.conf: Error! No 'PACKAGE_VERSION' directive specified.

        Error! Bad conf file.
        File: /usr/src/hello-1.0/dkms.conf does not represent a valid dkms.conf file.
        ",
    );
}

#[test]
fn with_much_that_is_wrong() {
    refused(
        &Source::empty("hello", "1.0").conf(
            "DEST_MODULE_NAME[0]=bar.ko\nDEST_MODULE_LOCATION=/wrong\nBUILT_MODULE_NAME[1]=bar.o\n\
             DEST_MODULE_NAME[1]=foo\nAUTOINSTALL=maybe",
        ),
        "
        dkms.conf: Error! No 'BUILT_MODULE_NAME' directive specified for record #0.
        dkms.conf: Error! 'DEST_MODULE_NAME' directive ends in '.o' or '.ko' in record #0.
        dkms.conf: Error! Directive 'DEST_MODULE_LOCATION' does not begin with
        '/kernel', '/updates', or '/extra' in record #0.
        dkms.conf: Error! 'BUILT_MODULE_NAME' directive ends in '.o' or '.ko' in record #1.
        dkms.conf: Error! No 'DEST_MODULE_LOCATION' directive specified for record #1.
        dkms.conf: Error! Unsupported AUTOINSTALL value 'maybe'
        ",
    );
}

#[test]
fn with_words_that_are_neither_yes_nor_no() {
    refused(
        &Source::hello().conf("AUTOINSTALL=y\nBUILD_DEPENDS_REBUILD=true\nNO_WEAK_MODULES=1"),
        "
        dkms.conf: Error! Unsupported AUTOINSTALL value 'y'
        dkms.conf: Error! Unsupported BUILD_DEPENDS_REBUILD value 'true'
        dkms.conf: Error! Unsupported NO_WEAK_MODULES value '1'
        ",
    );
}

#[test]
fn with_records_missing() {
    refused(
        &Source::empty("hello", "1.0").conf(
            "BUILT_MODULE_NAME[1]=one\nDEST_MODULE_LOCATION[1]=/kernel/extra\n\
             BUILT_MODULE_NAME[3]=three\nDEST_MODULE_LOCATION[3]=/kernel/extra\n\
             DEST_MODULE_LOCATION[4]=/oops",
        ),
        "
        dkms.conf: Error! No 'BUILT_MODULE_NAME' directive specified for record #0.
        dkms.conf: Error! No 'DEST_MODULE_LOCATION' directive specified for record #0.
        dkms.conf: Error! No 'BUILT_MODULE_NAME' directive specified for record #2.
        dkms.conf: Error! No 'DEST_MODULE_LOCATION' directive specified for record #2.
        dkms.conf: Error! No 'BUILT_MODULE_NAME' directive specified for record #4.
        dkms.conf: Error! Directive 'DEST_MODULE_LOCATION' does not begin with
        '/kernel', '/updates', or '/extra' in record #4.
        ",
    );
}

#[test]
fn with_a_module_twice() {
    let twice = Source::hello().module("hello", Module::One);
    refused(
        &twice,
        "
        dkms.conf: Error! Duplicate module 'hello' in 'BUILT_MODULE_NAME[1]'.
        dkms.conf: Error! Duplicate module 'hello' in 'DEST_MODULE_NAME[1]'.
        ",
    );
    refused(
        &twice.conf("DEST_MODULE_NAME[1]=other"),
        "
        dkms.conf: Error! Duplicate module 'hello' in 'BUILT_MODULE_NAME[1]'.
        ",
    );
    refused(
        &Source::hello()
            .module("other", Module::One)
            .conf("DEST_MODULE_NAME[1]=hello"),
        "
        dkms.conf: Error! Duplicate module 'hello' in 'DEST_MODULE_NAME[1]'.
        ",
    );
}

#[test]
fn with_a_module_twice_after_it_was_added() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.source(&Source::hello().module("hello", Module::One));
    machine.dkms("build hello/1.0 -k SECOND").exits(8).warns(
        "
        dkms.conf: Error! Duplicate module 'hello' in 'BUILT_MODULE_NAME[1]'.
        dkms.conf: Error! Duplicate module 'hello' in 'DEST_MODULE_NAME[1]'.

        Error! Bad conf file.
        File:  does not represent a valid dkms.conf file.
        ",
    );
    machine.dkms("uninstall hello/1.0 -k KERNEL").exits(0);
    machine.dkms("remove hello/1.0 --all").exits(0);
}

#[test]
fn that_bash_cannot_read() {
    let machine = Machine::new();
    machine.source(&Source::hello().conf("if"));
    machine.dkms("add hello/1.0").exits(0).says("syntax error");
}

#[test]
fn without_a_module() {
    let machine = Machine::new();
    machine.source(&Source::empty("hello", "1.0"));
    machine.dkms("add hello/1.0").exits(0).prints_both(
        "
        Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0
        ",
        "
        dkms.conf: Warning! Zero modules specified.
        ",
    );
    machine.dkms("build hello/1.0 -k KERNEL").exits(8).warns(
        "
        dkms.conf: Warning! Zero modules specified.

        Error! The directory /var/lib/dkms/hello/1.0/source does not appear to have module \
         source located within it.
        Build halted.
        ",
    );
}

#[test]
fn with_the_name_of_the_module_left_out() {
    let source = Source::empty("hello", "1.0").conf("DEST_MODULE_LOCATION[0]=/updates-of-ours");
    let source = source
        .conf("MAKE=\"cp one.ko hello.ko\"")
        .file("one.ko", Module::One.bytes());
    let machine = Machine::new();
    machine.install(&source);
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
}

#[test]
fn without_indices() {
    let source = Source::empty("hello", "1.0")
        .conf("BUILT_MODULE_NAME=hello\nDEST_MODULE_LOCATION=/kernel/extra\nMAKE=\"cp one.ko hello.ko\"")
        .file("one.ko", Module::One.bytes());
    let machine = Machine::new();
    machine.install(&source);
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
}

#[test]
fn with_carriage_returns() {
    let machine = Machine::new();
    machine.write(
        "/usr/src/hello-1.0/dkms.conf",
        "PACKAGE_NAME=\"hello\"\r\nPACKAGE_VERSION=\"1.0\"\r\nBUILT_MODULE_NAME[0]=\"hello\"\r\n\
         DEST_MODULE_LOCATION[0]=\"/kernel/extra\"\r\nAUTOINSTALL=\"yes\"\r\n\
         MAKE[0]=\"cp one.ko hello.ko\"\r\n",
    );
    machine.write("/usr/src/hello-1.0/one.ko", Module::One.bytes());
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
fn with_directives_that_have_gone() {
    let source = Source::hello().conf(
        "CLEAN=\"make clean\"\nREMAKE_INITRD=yes\nMODULES_CONF[0]=\"options a b\"\n\
         MODULES_CONF_OBSOLETES[0]=a\nMODULES_CONF_ALIAS_TYPE[0]=scsi\n\
         MODULES_CONF_OBSOLETE_ONLY[0]=a\nOBSOLETE_BY=99.0",
    );
    let deprecated = |file: &str| {
        [
            "CLEAN",
            "REMAKE_INITRD",
            "MODULES_CONF",
            "MODULES_CONF_OBSOLETES",
            "MODULES_CONF_ALIAS_TYPE",
            "MODULES_CONF_OBSOLETE_ONLY",
        ]
        .map(|name| format!("Deprecated feature: {name} ({file})\n"))
        .concat()
            + &format!(
                "Deprecated feature: OBSOLETE_BY ({file}): use BUILD_EXCLUSIVE_KERNEL_MAX instead\n"
            )
    };
    let machine = Machine::new();
    machine.source(&source);
    machine.dkms("add hello/1.0").exits(0).prints_both(
        "
        Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0
        ",
        &deprecated("/usr/src/hello-1.0/dkms.conf"),
    );
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .prints_both(
            "
            Module signing is disabled by policy, modules won't be signed

            Building module(s)... done.
            ",
            &deprecated("/var/lib/dkms/hello/1.0/source/dkms.conf"),
        );
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: built\n");
}

#[test]
fn with_a_clean_that_does_nothing() {
    for clean in ["true", "/bin/true", "/usr/bin/true"] {
        let machine = Machine::new();
        machine.source(&Source::hello().conf(&format!("CLEAN=\"{clean}\"")));
        machine.dkms("add hello/1.0").exits(0).prints(
            "
            Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0
            ",
        );
    }
}

#[test]
fn with_a_command_for_some_kernels() {
    let source = Source::hello().conf(&named(
        "MAKE[1]='echo special; cp -r prebuilt/${kernelver}/. .'\nMAKE_MATCH[1]=\"^KERNEL$\"",
    ));
    let machine = Machine::with_added(&source);
    machine.dkms("build hello/1.0 -k KERNEL -k SECOND").exits(0);
    let log = |kernel: &str| {
        machine.read(named(&format!(
            "/var/lib/dkms/hello/1.0/{kernel}/ARCH/log/make.log"
        )))
    };
    assert!(log("KERNEL").contains("\nspecial\n"), "{}", log("KERNEL"));
    assert!(!log("SECOND").contains("\nspecial\n"), "{}", log("SECOND"));
}

#[test]
fn that_uses_bash() {
    let source = Source::hello().conf(
        "version=$(echo 1.0)\nfor i in 1 2; do COUNT=\"$COUNT$i\"; done\n\
         if [[ $kernelver == [0-9]* ]]; then\n\
         MAKE[0]=\"echo counted $COUNT with $version on ${kernelver%%.*}; cp -r prebuilt/${kernelver}/. .\"\nfi",
    );
    let machine = Machine::new();
    machine.build(&source);
    let log = machine.read(named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log"));
    let first = super::kernel::release().split('.').next().unwrap();
    assert!(
        log.contains(&format!("\ncounted 12 with 1.0 on {first}\n")),
        "{log}"
    );
}

#[test]
fn whose_files_are_touched_meanwhile() {
    let source = Source::hello().conf(
        "sleep 1\nif [ -r /etc/default/hello ]; then . /etc/default/hello; fi\n\
         MAKE[0]=\"echo flags $FLAGS; cp -r prebuilt/${kernelver}/. .\"",
    );
    let machine = Machine::setup()
        .file("/etc/default/hello", "FLAGS=before\n")
        .start();
    machine.source(&source);
    let script = "dkms add hello/1.0 & sleep 0.5; echo FLAGS=after >/etc/default/hello; wait $!";
    machine.shell(script).exits(0);
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
    let log = machine.read(named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log"));
    assert!(log.contains("\nflags after\n"), "{log}");
}

#[test]
fn that_prints() {
    let machine = Machine::new();
    machine.source(&Source::hello().conf("echo some words\necho and others >&2"));
    machine.dkms("add hello/1.0").exits(0).prints_both(
        "
        Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0
        ",
        "and others\n",
    );
}

#[test]
fn with_another_name_than_its_directory() {
    let machine = Machine::new();
    let directory = machine.source(&Source::hello());
    machine.shell(&format!("mv {directory} /usr/src/other-2.0"));
    machine.dkms("install other/2.0 -k KERNEL").exits(0).prints(
        "
        Creating symlink /var/lib/dkms/other/2.0/source -> /usr/src/other-2.0

        Module signing is disabled by policy, modules won't be signed

        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.
        ",
    );
    machine
        .dkms("status")
        .prints("other/2.0, KERNEL, ARCH: installed\n");
}

/// Builds anew, and asserts that the build says these flags.
#[track_caller]
fn built_with(machine: &Machine, flags: &str) {
    machine.dkms("build hello/1.0 -k KERNEL --force").exits(0);
    let log = machine.read(named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log"));
    assert!(log.contains(&format!("\nflags {flags}\n")), "{log}");
}

#[test]
fn that_follows_a_link_out_of_its_source() {
    let machine = Machine::setup()
        .file("/usr/share/hello-flags", "FLAGS=first\n")
        .start();
    let source = Source::hello()
        .conf(". ./flags\nMAKE[0]=\"echo flags $FLAGS; cp -r prebuilt/${kernelver}/. .\"");
    let directory = machine.source(&source);
    machine.shell(&format!("ln -s /usr/share/hello-flags {directory}/flags"));
    built_with(&machine, "first");
    machine.shell("echo FLAGS=second >/usr/share/hello-flags");
    built_with(&machine, "second");
}

#[test]
fn whose_override_is_a_link_to_a_file_of_the_system() {
    let make = |flags: &str| {
        format!("MAKE[0]=\"echo flags {flags}; cp -r prebuilt/${{kernelver}}/. .\"\n")
    };
    let machine = Machine::setup()
        .file("/usr/share/hello-make", make("first"))
        .start();
    // Bash has to be asked, so that there is an answer to keep.
    machine.source(&Source::hello().conf("test -d /"));
    machine.shell("ln -s /usr/share/hello-make /etc/dkms/hello.conf");
    built_with(&machine, "first");
    machine.shell("sed -i s/first/second/ /usr/share/hello-make");
    built_with(&machine, "second");
}

#[test]
fn that_reads_what_everybody_may_read() {
    let machine = Machine::setup()
        .file("/etc/hello.conf", "FLAGS=first\n")
        .file("/root/hello.conf", "FLAGS=secret\n")
        .start();
    let conf = |file: &str| {
        Source::hello().conf(&format!(
            "[ ! -e {file} ] || . {file}\n\
             MAKE[0]=\"echo flags $FLAGS; cp -r prebuilt/${{kernelver}}/. .\""
        ))
    };
    machine.source(&conf("/etc/hello.conf"));
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
    let log = machine.read(named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log"));
    assert!(log.contains("\nflags first\n"), "{log}");
    machine.shell("chmod 700 /root; rm -r /usr/src/hello-1.0");
    machine.source(&conf("/root/hello.conf"));
    machine
        .dkms("build hello/1.0 -k KERNEL --force")
        .exits(8)
        .says("looks for /root/hello.conf");
}

#[test]
fn with_places_and_names_that_are_kiln_s_own() {
    let own = "begins with .kiln";
    let control = "contains a control character";
    for (directive, value, shown, complaint) in [
        (
            "DEST_MODULE_LOCATION",
            "/kernel/../.kiln",
            "/kernel/../.kiln",
            own,
        ),
        (
            "DEST_MODULE_LOCATION",
            "/updates/.kiln-x",
            "/updates/.kiln-x",
            own,
        ),
        ("DEST_MODULE_NAME", ".kiln-x", ".kiln-x", own),
        ("BUILT_MODULE_NAME", ".kiln-x", ".kiln-x", own),
        (
            "DEST_MODULE_LOCATION",
            r"$'/updates/a\x01b'",
            r"/updates/a\u{1}b",
            control,
        ),
        // What a value has after it was evaluated twice.
        (
            "DEST_MODULE_LOCATION",
            "'/updates/a${IFS:2:1}b'",
            r"/updates/a\nb",
            control,
        ),
        ("DEST_MODULE_NAME", r"$'a\x01b'", r"a\u{1}b", control),
        ("BUILT_MODULE_NAME", r"$'a\x01b'", r"a\u{1}b", control),
    ] {
        let machine = Machine::setup().distribution("ID=void\n").start();
        machine.source(&Source::hello().conf(&format!("{directive}[0]={value}")));
        machine
            .dkms("add hello/1.0")
            .exits(8)
            .says(&format!(
                "dkms.conf: Error! {directive}[0]=\"{shown}\" has a name that {complaint}"
            ))
            .says("Bad conf file");
        machine.holds("/var/lib/dkms", "");
    }
    // What is already there of such a package is not installed.
    let machine = Machine::setup().distribution("ID=void\n").start();
    machine.build(&Source::hello());
    machine
        .shell("echo 'DEST_MODULE_LOCATION[0]=/kernel/../.kiln' >>/usr/src/hello-1.0/dkms.conf")
        .exits(0);
    machine.dkms("install hello/1.0 -k KERNEL").exits(8);
    assert!(!machine.has(named("/lib/modules/KERNEL/.kiln")));
}
