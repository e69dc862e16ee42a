//! `dkms build`: what it prints and leaves, and how it fails.

use super::{
    kernel,
    machine::Machine,
    modules::{self, Module},
    source::Source,
};

const BUILT: &str = "
    Module signing is disabled by policy, modules won't be signed

    Building module(s)... done.
    ";

/// make.log without its date and times.
fn log(machine: &Machine, path: &str) -> String {
    let log = super::kernel::redacted(&machine.read(super::kernel::named(path)));
    let mut lines: Vec<&str> = log.lines().collect();
    assert!(lines[1].contains(':'), "{log}");
    lines[1] = "DATE";
    for line in &mut lines {
        if let Some(time) = line.strip_prefix("# elapsed time: ") {
            assert_eq!(time.len(), "00:00:00".len(), "{log}");
            *line = "# elapsed time: TIME";
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn once_and_again() {
    let machine = Machine::with_added(&Source::hello());
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .prints(BUILT);
    machine.holds(
        "/var/lib/dkms",
        "
        hello/
        hello/1.0/
        hello/1.0/KERNEL/
        hello/1.0/KERNEL/ARCH/
        hello/1.0/KERNEL/ARCH/log/
        hello/1.0/KERNEL/ARCH/log/make.log
        hello/1.0/KERNEL/ARCH/module/
        hello/1.0/KERNEL/ARCH/module/hello.ko
        hello/1.0/source -> /usr/src/hello-1.0
        ",
    );
    let module = super::kernel::named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko");
    assert_eq!(machine.bytes(&module), Module::One.bytes());
    machine.dkms("build hello/1.0 -k KERNEL").exits(0).prints(
        "
        Module hello/1.0 already built for kernel KERNEL (ARCH), skip. You may override by \
         specifying --force.
        ",
    );
    machine
        .dkms("build hello/1.0 -k KERNEL --force")
        .exits(0)
        .prints(BUILT);
}

#[test]
fn its_log() {
    let machine = Machine::new();
    let source = Source::hello()
        .conf("MAKE[0]='echo some words; echo and more >&2; cp -r prebuilt/${kernelver}/. .'");
    machine.build(&source);
    assert_eq!(
        log(&machine, "/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log"),
        super::run::text(
            "
            DKMS (dkms-3.4.3) make.log for hello/1.0 for kernel KERNEL (ARCH)
            DATE

            Building module(s)
            # command: echo some words; echo and more >&2; cp -r prebuilt/KERNEL/. .
            some words
            and more

            # exit code: 0
            # elapsed time: TIME
            ----------------------------------------------------------------
            "
        )
    );
}

#[test]
fn of_what_is_not_added() {
    let machine = Machine::new();
    machine.source(&Source::hello());
    machine.dkms("build hello/1.0 -k KERNEL").exits(0).prints(
        "
        Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0

        Module signing is disabled by policy, modules won't be signed

        Building module(s)... done.
        ",
    );
    let directory = machine.source_at("from", &Source::of("other", "2.0", Module::Two));
    machine
        .dkms(format!("build {directory} -k KERNEL"))
        .exits(0)
        .prints(
            "
            Creating symlink /var/lib/dkms/other/2.0/source -> /usr/src/other-2.0

            Module signing is disabled by policy, modules won't be signed

            Building module(s)... done.
            ",
        );
    machine.dkms("build third/1.0 -k KERNEL").exits(2).warns(
        "

        Error! Could not find module source directory.
        Directory: /usr/src/third-1.0 does not exist.
        ",
    );
}

#[test]
fn by_kbuild() {
    let machine = Machine::with_added(&Source::compiled(
        "hello",
        "1.0",
        "MODULE_VERSION(\"1.0\");",
    ));
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .prints(BUILT);
    machine.holds(
        "/var/lib/dkms/hello/1.0",
        "
        KERNEL/
        KERNEL/ARCH/
        KERNEL/ARCH/log/
        KERNEL/ARCH/log/make.log
        KERNEL/ARCH/module/
        KERNEL/ARCH/module/Module.symvers
        KERNEL/ARCH/module/hello.ko
        source -> /usr/src/hello-1.0
        ",
    );
    let log = log(&machine, "/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log");
    let command = "# command: make -j1 KERNELRELEASE=KERNEL -C /lib/modules/KERNEL/build \
                   M=/var/lib/dkms/hello/1.0/build\n";
    assert!(log.contains(command), "{log}");
    assert!(log.contains("hello.o"), "{log}");
    machine
        .shell("modinfo -F vermagic /var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko")
        .says("KERNEL SMP");
}

#[test]
fn that_fails() {
    let machine = Machine::with_added(&Source::failing("hello"));
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(10)
        .prints_both(
            "
        Module signing is disabled by policy, modules won't be signed

        Building module(s)...(bad exit status: 2)
        Failed command:
        make -j1 KERNELRELEASE=KERNEL fail
        ",
            "

        Error! Bad return status for module build on kernel: KERNEL (ARCH)
        Consult /var/lib/dkms/hello/1.0/build/make.log for more information.
        ",
        );
    let log = log(&machine, "/var/lib/dkms/hello/1.0/build/make.log");
    assert!(log.contains("it does not compile\n"), "{log}");
    assert!(log.contains("\n# exit code: 2\n"), "{log}");
    machine.dkms("status").prints("hello/1.0: added\n");
}

#[test]
fn that_fails_for_one_of_two_kernels() {
    let source = Source::hello()
        .conf("MAKE[0]='test ${kernelver} != KERNEL && cp -r prebuilt/${kernelver}/. .'");
    let source = source.conf(&super::kernel::named(
        "MAKE[0]='test ${kernelver} != KERNEL && cp -r prebuilt/${kernelver}/. .'",
    ));
    let machine = Machine::with_added(&source);
    machine
        .dkms("build hello/1.0 -k KERNEL -k SECOND")
        .exits(0)
        .says("(bad exit status: 1)")
        .says("Building module(s)... done.");
    machine
        .dkms("status")
        .prints("hello/1.0, SECOND, ARCH: built\n");
    machine
        .dkms("build hello/1.0 -k SECOND -k KERNEL")
        .exits(10)
        .says("already built");
}

#[test]
fn that_makes_no_module() {
    let machine = Machine::with_added(&Source::hello().conf("MAKE[0]='true'"));
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(7)
        .prints_both(
            BUILT,
            "

        Error! Build of hello.ko failed for: KERNEL (ARCH)
        Make sure the name and location of the generated module are correct,
        or consult /var/lib/dkms/hello/1.0/build/make.log for more information.
        ",
        );
    machine.dkms("status").prints("hello/1.0: added\n");
}

#[test]
fn that_makes_no_module_and_hides_what_make_says() {
    let machine =
        Machine::with_added(&Source::hello().conf("MAKE[0]='make no-such-target 2>&1 | cat'"));
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(7)
        .says("Error! Build of hello.ko failed for: KERNEL (ARCH)\n");
}

#[test]
fn that_puts_modules_where_a_path_leads() {
    for (said, place) in [
        ("/kernel/../misc/", "misc"),
        ("/kernel//drivers/./x", "kernel/drivers/x"),
        ("/extra/a/../../b", "b"),
    ] {
        // Where no distribution has a place of its own for modules.
        let machine = Machine::setup().distribution("ID=gentoo\n").start();
        machine.install(&Source::hello().conf(&format!("DEST_MODULE_LOCATION[0]='{said}'")));
        assert_eq!(
            machine.installed(&format!("{place}/hello.ko")),
            Module::One.bytes()
        );
        machine
            .dkms("status")
            .prints("hello/1.0, KERNEL, ARCH: installed\n");
        machine.dkms("remove hello/1.0 --all").exits(0);
        assert!(!machine.has(kernel::named(&format!(
            "/lib/modules/KERNEL/{place}/hello.ko"
        ))));
    }
}

#[test]
fn against_the_tree_of_another_kernel_by_a_link() {
    let machine = Machine::new();
    machine.source(&Source::compiled("hello", "1.0", ""));
    // make goes there, and so finds what it is told to make it with.
    machine
        .dkms("build hello/1.0 -k 9.9.9 --kernelsourcedir /lib/modules/KERNEL/build")
        .exits(0);
    machine
        .dkms("status")
        .prints("hello/1.0, 9.9.9, ARCH: built\n");
}

#[test]
fn without_headers() {
    let machine = Machine::with_added(&Source::hello());
    for kernel in ["9.9.9", "RUNNING"] {
        machine
            .dkms(format!("build hello/1.0 -k {kernel}"))
            .exits(21)
            .warns(&format!(
                "\nError! Your kernel headers for kernel {kernel} cannot be found at \
                 /lib/modules/{kernel}/build or /lib/modules/{kernel}/source.\n\
                 Please install your distribution's kernel headers package matching {kernel}, or \
                 use the --kernelsourcedir option to tell DKMS where it's located.\n"
            ));
    }
    machine.dkms("status").prints("hello/1.0: added\n");
}

#[test]
fn with_headers_elsewhere() {
    let machine = Machine::with_added(&Source::hello());
    let headers = std::fs::canonicalize(super::kernel::tree(super::kernel::release())).unwrap();
    machine.shell("mkdir /lib/modules/9.9.9");
    machine.shell("cp -r /usr/src/hello-1.0/prebuilt/KERNEL /usr/src/hello-1.0/prebuilt/9.9.9");
    machine
        .dkms(format!(
            "build hello/1.0 -k 9.9.9 --kernelsourcedir {}",
            headers.display()
        ))
        .exits(0)
        .prints(BUILT);
    machine
        .dkms("status")
        .prints("hello/1.0, 9.9.9, ARCH: built\n");
}

#[test]
fn from_a_source_that_is_nearly_empty() {
    let machine = Machine::new();
    machine.add(
        &Source::empty("hello", "1.0").conf("BUILT_MODULE_NAME=hello\nDEST_MODULE_LOCATION=/extra"),
    );
    machine.dkms("build hello/1.0 -k KERNEL").exits(8).warns(
        "

        Error! The directory /var/lib/dkms/hello/1.0/source does not appear to have module \
         source located within it.
        Build halted.
        ",
    );
}

#[test]
fn strips_what_it_may() {
    let source = |strip: &str| {
        let mut source = Source::hello().conf(strip);
        for release in super::kernel::releases() {
            source = source.file(
                &format!("prebuilt/{release}/hello.ko"),
                modules::unstripped(),
            );
        }
        source
    };
    let built = |source: &Source| {
        let machine = Machine::new();
        machine.build(source);
        machine.bytes(super::kernel::named(
            "/var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko",
        ))
    };
    assert_eq!(built(&source("")), Module::One.bytes());
    assert_eq!(built(&source("STRIP[0]=yes")), Module::One.bytes());
    assert_eq!(built(&source("STRIP[0]=no")), modules::unstripped());
    assert_eq!(built(&source("STRIP=Nope")), modules::unstripped());
}

#[test]
fn modules_at_other_places_and_with_other_names() {
    let source = Source::empty("pair", "1.0")
        .module("first", Module::One)
        .module("second", Module::Two)
        .conf("MAKE[0]='mkdir -p sub/dir; cp prebuilt/${kernelver}/first.ko sub/dir/; cp prebuilt/${kernelver}/second.ko .'")
        .conf("BUILT_MODULE_LOCATION[0]=sub/dir\nDEST_MODULE_NAME[1]=renamed");
    let machine = Machine::new();
    machine.install(&source);
    machine.holds(
        "/var/lib/dkms/pair/1.0",
        "
        KERNEL/
        KERNEL/ARCH/
        KERNEL/ARCH/log/
        KERNEL/ARCH/log/make.log
        KERNEL/ARCH/module/
        KERNEL/ARCH/module/first.ko
        KERNEL/ARCH/module/renamed.ko
        source -> /usr/src/pair-1.0
        ",
    );
    assert_eq!(
        machine.installed("updates/dkms/first.ko"),
        Module::One.bytes()
    );
    assert_eq!(
        machine.installed("updates/dkms/renamed.ko"),
        Module::Two.bytes()
    );
}

#[test]
fn sees_the_kernel_it_is_for() {
    let source = Source::hello().conf(
        "MAKE[0]='echo [$kernelver] [$kernel_source_dir] [$dkms_tree] [$source_tree] [$module] [$module_version] [$arch]; cp -r prebuilt/${kernelver}/. .'",
    );
    let machine = Machine::new();
    machine.build(&source);
    let log = log(&machine, "/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log");
    let expected = "\n[KERNEL] [/lib/modules/KERNEL/build] [/var/lib/dkms] [/usr/src] [hello] \
                    [1.0] [ARCH]\n";
    assert!(log.contains(expected), "{log}");
}

#[test]
fn leaves_the_source_as_it_was() {
    let machine = Machine::with_added(
        &Source::hello()
            .conf("PRE_BUILD=clean.sh")
            .script("clean.sh", "#!/bin/sh\nrm -f spare\necho x >made\n")
            .file("spare", ""),
    );
    let before = machine.tree("/usr/src");
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
    assert_eq!(machine.tree("/usr/src"), before);
}

#[test]
fn a_build_leaves_nothing_in_the_cache_but_what_it_made() {
    let machine = Machine::with_added(&Source::compiled("hello", "1.0", ""));
    machine
        .shell(
            "mkdir /usr/src/cache; KILN_CACHE=/usr/src/cache dkms build hello/1.0 -k KERNEL >/dev/null
             ls /usr/src/cache/tmp | grep -v 'lock$' || :",
        )
        .exits(0)
        .prints("");
}
