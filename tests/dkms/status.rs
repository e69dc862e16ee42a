//! `dkms status`: its lines, its remarks, and which lines it is asked for.

use super::{kernel::named, machine::Machine, modules::Module, source::Source};

const NOTHING: &str = "";

/// A machine on which `hello` is installed and `other` built, each for one kernel, `hello`
/// 2.0 for both, and `third` only added.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.add(&Source::of("hello", "2.0", Module::Two));
    machine
        .dkms("build hello/2.0 -k KERNEL/ARCH -k SECOND/toaster")
        .exits(0);
    machine.add(&Source::of("other", "0.1-2", Module::One));
    machine.dkms("build other/0.1-2 -k SECOND").exits(0);
    machine.add(&Source::of("third", "1.0", Module::One));
    machine
}

#[test]
fn nothing() {
    let machine = Machine::new();
    for line in ["", "-k KERNEL", "hello", "hello/1.0", "--all"] {
        machine
            .dkms(format!("status {line}"))
            .exits(0)
            .prints(NOTHING);
    }
}

#[test]
fn everything_and_parts_of_it() {
    let machine = machine();
    let hello = "
        hello/1.0, KERNEL, ARCH: installed
        hello/2.0, KERNEL, ARCH: built
        hello/2.0, SECOND, toaster: built
        ";
    for (line, expected) in [
        (
            "",
            "
            hello/1.0, KERNEL, ARCH: installed
            hello/2.0, KERNEL, ARCH: built
            hello/2.0, SECOND, toaster: built
            other/0.1-2, SECOND, ARCH: built
            third/1.0: added
            ",
        ),
        ("hello", hello),
        ("-m hello", hello),
        ("hello/1.0", "hello/1.0, KERNEL, ARCH: installed\n"),
        ("-m hello -v 1.0", "hello/1.0, KERNEL, ARCH: installed\n"),
        (
            "-v 1.0",
            "hello/1.0, KERNEL, ARCH: installed\nthird/1.0: added\n",
        ),
        ("hello/3.0", NOTHING),
        ("none", NOTHING),
        (
            "-k KERNEL",
            "
            hello/1.0, KERNEL, ARCH: installed
            hello/2.0, KERNEL, ARCH: built
            other/0.1-2: added
            third/1.0: added
            ",
        ),
        (
            "-k SECOND",
            "
            hello/1.0: added
            hello/2.0, SECOND, toaster: built
            other/0.1-2, SECOND, ARCH: built
            third/1.0: added
            ",
        ),
        (
            "-k SECOND -a toaster",
            "
            hello/1.0: added
            hello/2.0, SECOND, toaster: built
            other/0.1-2: added
            third/1.0: added
            ",
        ),
        (
            "hello/2.0 -k KERNEL/ARCH -k SECOND/toaster",
            "
            hello/2.0, KERNEL, ARCH: built
            hello/2.0, SECOND, toaster: built
            ",
        ),
        (
            "hello/2.0 -k KERNEL -k SECOND -a toaster",
            "
            hello/2.0: added
            hello/2.0, SECOND, toaster: built
            ",
        ),
        (
            "hello/2.0 -a toaster",
            "
            hello/2.0, SECOND, toaster: built
            ",
        ),
        ("hello/1.0 -k 9.9.9", "hello/1.0: added\n"),
    ] {
        machine
            .dkms(format!("status {line}"))
            .exits(0)
            .prints(expected);
    }
}

#[test]
fn patterns() {
    let machine = machine();
    machine
        .dkms("status -m h*")
        .exits(0)
        .says("hello/2.0, SECOND, toaster: built")
        .never_says("other");
    machine
        .dkms("status hello/*.0 -k *")
        .exits(0)
        .says("hello/1.0, KERNEL, ARCH: installed")
        .says("hello/2.0, SECOND, toaster: built");
}

#[test]
fn a_built_module_that_is_missing() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    machine.shell("rm /var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko");
    machine.dkms("status").exits(0).prints(
        "
        hello/1.0, KERNEL, ARCH: built (Built modules are missing in the kernel modules folder)
        ",
    );
}

#[test]
fn an_installed_module_that_differs() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    let differs = "
        hello/1.0, KERNEL, ARCH: installed (Differences between built and installed modules)
        ";
    let module = named("/lib/modules/KERNEL/updates/dkms/hello.ko");
    machine.write(&module, Module::OneAgain.bytes());
    machine.dkms("status").exits(0).prints(differs);
    machine.write(&module, Module::Two.bytes());
    machine.dkms("status").exits(0).prints(differs);
    machine.write(&module, "no module at all");
    machine
        .dkms("status")
        .exits(0)
        .says("(Differences between built and installed modules)");
    machine.shell("rm -r /lib/modules/KERNEL");
    machine.dkms("status").exits(0).prints(differs);
}

#[test]
fn original_modules() {
    let machine = Machine::new();
    let original = named("/lib/modules/KERNEL/kernel/hello.ko");
    machine.write(original, Module::Unversioned.bytes());
    machine.install(&Source::hello());
    machine
        .dkms("status")
        .exits(0)
        .prints("hello/1.0, KERNEL, ARCH: installed (Original modules exist)\n");
    machine.write(
        named("/lib/modules/KERNEL/updates/dkms/hello.ko"),
        Module::Two.bytes(),
    );
    machine.dkms("status").exits(0).prints(
        "
        hello/1.0, KERNEL, ARCH: installed (Original modules exist) (Differences between built \
         and installed modules)
        ",
    );
}

#[test]
fn a_package_without_its_source() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.add(&Source::of("other", "1.0", Module::One));
    machine.shell("rm -r /usr/src/hello-1.0");
    machine.dkms("status").exits(0).prints_both(
        "
        hello/1.0: broken
        other/1.0: added
        ",
        "

        Error! hello/1.0: Missing the module source directory or the symbolic link pointing to it.
        Manual intervention is required!
        ",
    );
}

#[test]
fn a_package_without_its_conf() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.shell("rm /usr/src/hello-1.0/dkms.conf");
    machine.dkms("status").exits(0).prints_both(
        "
        hello/1.0, KERNEL, ARCH: installed
        ",
        "

        Error! Could not locate dkms.conf file.
        File: /var/lib/dkms/hello/1.0/source/dkms.conf does not exist.
        ",
    );
}

#[test]
fn other_things_in_the_tree() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.shell(
        "cd /var/lib/dkms; : >mok.key; : >mok.pub; mkdir -p lost+found hello/1.0/tarball \
         empty/1.0 hello/.hidden; : >hello/file; : >hello/1.0/KERNEL/file; ln -s nowhere hello/link",
    );
    machine
        .dkms("status")
        .exits(0)
        .prints("hello/1.0, KERNEL, ARCH: installed\n");
}

#[test]
fn an_entry_of_an_older_active_version() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.shell("ln -sfn 0.9/KERNEL/ARCH /var/lib/dkms/hello/kernel-KERNEL-ARCH");
    machine
        .dkms("status")
        .exits(0)
        .prints("hello/1.0, KERNEL, ARCH: built\n");
}

#[test]
fn words_that_cannot_be_written() {
    let machine = machine();
    machine
        .shell("dkms status > /dev/full")
        .exits(1)
        .says("standard output is not whole");
    // What is done is done, whatever could be said of it.
    machine
        .shell("dkms remove hello/1.0 --all > /dev/full")
        .exits(0)
        .says("standard output is not whole");
    machine.dkms("status hello/1.0").exits(0).prints("");
    machine.shell("dkms status | true").exits(0);
}
