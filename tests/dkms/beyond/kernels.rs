//! `dkms autoinstall --all-kernels` and `dkms preflight`; each kernel with its own tools.

use crate::{machine::Machine, modules::Module, source::Source};

#[test]
fn all_kernels_that_have_headers() {
    let machine = Machine::with_added(&Source::hello());
    machine.add(&Source::of("other", "1.0", Module::One));
    machine.shell("mkdir /lib/modules/9.9.9-without-headers");
    machine.dkms("install other/1.0 -k SECOND").exits(0);
    machine
        .dkms("autoinstall --all-kernels")
        .exits(0)
        .says("Autoinstall on KERNEL succeeded for module(s) hello other.\n")
        .says("Autoinstall on SECOND succeeded for module(s) other hello.\n")
        .never_says("9.9.9");
    machine.dkms("status").prints(
        "
        hello/1.0, KERNEL, ARCH: installed
        hello/1.0, SECOND, ARCH: installed
        other/1.0, KERNEL, ARCH: installed
        other/1.0, SECOND, ARCH: installed
        ",
    );
    machine
        .dkms("autoinstall --all-kernels")
        .exits(0)
        .prints("");
}

#[test]
fn all_kernels_although_one_fails() {
    let source = Source::hello().conf(&crate::kernel::named(
        "MAKE[0]='test ${kernelver} != KERNEL && cp -r prebuilt/${kernelver}/. .'",
    ));
    let machine = Machine::with_added(&source);
    machine
        .dkms("autoinstall --all-kernels")
        .exits(11)
        .says("Autoinstall on KERNEL failed for module(s) hello(10).\n")
        .says("Autoinstall on SECOND succeeded for module(s) hello.\n");
    machine
        .dkms("status")
        .prints("hello/1.0, SECOND, ARCH: installed\n");
}

#[test]
fn preflight_tells_and_changes_nothing() {
    let machine = Machine::with_added(&Source::hello());
    machine.add(&Source::failing("bad"));
    machine.add(&Source::of("never", "1.0", Module::One).conf("BUILD_EXCLUSIVE_ARCH=none"));
    let before = (
        machine.tree("/var/lib/dkms"),
        machine.tree("/lib/modules"),
        machine.tree("/usr/src"),
    );
    let run = machine.dkms("preflight -k KERNEL").exits(11);
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines.len(), 3, "{run}");
    assert!(
        lines[0].starts_with("bad/1.0, KERNEL, ARCH: would fail: "),
        "{run}"
    );
    assert_eq!(lines[1], "hello/1.0, KERNEL, ARCH: would install");
    assert_eq!(
        lines[2],
        "never/1.0, KERNEL, ARCH: would be skipped: BUILD_EXCLUSIVE_ARCH=none"
    );
    let after = (
        machine.tree("/var/lib/dkms"),
        machine.tree("/lib/modules"),
        machine.tree("/usr/src"),
    );
    assert_eq!(before, after);
}

#[test]
fn preflight_of_what_works() {
    let machine = Machine::with_added(&Source::hello());
    machine
        .dkms("preflight -k KERNEL -k SECOND")
        .exits(0)
        .prints(
            "
        hello/1.0, KERNEL, ARCH: would install
        hello/1.0, SECOND, ARCH: would install
        ",
        );
    machine.add(&Source::of("hello", "2.0", Module::Two));
    machine
        .dkms("preflight -k KERNEL hello/1.0")
        .exits(0)
        .prints("hello/1.0, KERNEL, ARCH: would install\n");
    machine
        .dkms("preflight -k KERNEL")
        .exits(0)
        .prints("hello/2.0, KERNEL, ARCH: would install\n");
    machine.dkms("preflight -k 9.9.9").exits(21);
}

#[test]
fn preflight_chooses_what_autoinstall_chooses() {
    let machine = Machine::with_added(&Source::hello());
    // An odd order, but dkms's.
    machine.add(&Source::of("hello", "1.0~rc1", Module::Two));
    let only_second = &crate::kernel::named("[[ $kernelver == SECOND ]] && AUTOINSTALL=yes");
    machine.add(
        &Source::empty("other", "1.0")
            .module("other", Module::One)
            .conf(only_second),
    );
    machine.add(&Source::of("gone", "1.0", Module::One));
    machine.shell("rm /var/lib/dkms/gone/1.0/source");
    let broken = "

        Error! gone/1.0 is broken! Missing the source directory or the symbolic link pointing to it.
        Manual intervention is required!
        ";
    machine.dkms("preflight -k SECOND").exits(0).prints_both(
        "
        hello/1.0~rc1, SECOND, ARCH: would install
        other/1.0, SECOND, ARCH: would install
        ",
        broken,
    );
    machine.dkms("preflight -k KERNEL").exits(0).prints_both(
        "
        hello/1.0~rc1, KERNEL, ARCH: would install
        ",
        broken,
    );
    machine.dkms("autoinstall -k KERNEL").exits(0);
    machine
        .dkms("status")
        .exits(0)
        .says("hello/1.0~rc1, KERNEL, ARCH: installed\n")
        .says("hello/1.0: added\n")
        .says("other/1.0: added\n");
}

#[test]
fn what_preflight_built_need_not_be_built_again() {
    let stamp = "MAKE[0]='date +%s%N >stamp; cat stamp; cp -r prebuilt/${kernelver}/. .'";
    let machine = Machine::with_added(&Source::hello().conf(stamp));
    machine.dkms("preflight -k KERNEL").exits(0);
    let log = |machine: &Machine| {
        let path = crate::kernel::named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log");
        let log = machine.read(path);
        let stamp = |line: &&str| line.len() > 15 && line.bytes().all(|b| b.is_ascii_digit());
        log.lines().find(stamp).unwrap().to_owned()
    };
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
    let first = log(&machine);
    machine.dkms("unbuild hello/1.0 -k KERNEL").exits(0);
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
    assert_eq!(log(&machine), first, "it was built again");
}

#[test]
fn each_kernel_signs_with_its_own_program() {
    let machine = Machine::setup()
        .distribution("ID=alpine\n")
        .file("/etc/dkms/framework.conf", "try_sign_modules=true\n")
        .start();
    machine.add(&Source::hello());
    machine
        .dkms("build hello/1.0 -k KERNEL -k SECOND")
        .says("Sign command: /lib/modules/KERNEL/build/scripts/sign-file\n")
        .says("Sign command: /lib/modules/SECOND/build/scripts/sign-file\n");
}
