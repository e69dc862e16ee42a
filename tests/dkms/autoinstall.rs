//! `dkms autoinstall`: which packages, which versions, in which order, and its summary.

use super::{kernel::named, machine::Machine, modules::Module, source::Source};

const ONE: &str = "
    Module signing is disabled by policy, modules won't be signed

    Autoinstall of module hello/1.0 for kernel KERNEL (ARCH)
    Building module(s)... done.
    Installing /lib/modules/KERNEL/updates/dkms/hello.ko
    Running depmod... done.

    Autoinstall on KERNEL succeeded for module(s) hello.
    ";

#[test]
fn nothing() {
    let machine = Machine::new();
    machine.dkms("autoinstall -k KERNEL").exits(0).prints("");
    machine.dkms("autoinstall -k 9.9.9").exits(0).prints("");
}

#[test]
fn one_package_and_again() {
    let machine = Machine::with_added(&Source::hello());
    machine.dkms("autoinstall -k KERNEL").exits(0).prints(ONE);
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: installed\n");
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
    machine.dkms("autoinstall -k KERNEL").exits(0).prints("");
}

#[test]
fn a_package_that_is_built_already() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    machine.dkms("autoinstall -k KERNEL").exits(0).prints(
        "
        Autoinstall of module hello/1.0 for kernel KERNEL (ARCH)
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.

        Autoinstall on KERNEL succeeded for module(s) hello.
        ",
    );
}

#[test]
fn a_package_that_is_installed_already_and_another() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.add(&Source::of("another", "1.0", Module::One));
    machine.dkms("autoinstall -k KERNEL").exits(0).prints(
        "
        Module signing is disabled by policy, modules won't be signed

        Autoinstall of module another/1.0 for kernel KERNEL (ARCH)
        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/another.ko
        Running depmod... done.

        Autoinstall on KERNEL succeeded for module(s) hello another.
        ",
    );
}

#[test]
fn three_packages() {
    let machine = Machine::new();
    for name in ["one", "three", "two"] {
        machine.add(&Source::of(name, "1.0", Module::One));
    }
    machine.dkms("autoinstall -k KERNEL").exits(0).prints(
        "
        Module signing is disabled by policy, modules won't be signed

        Autoinstall of module one/1.0 for kernel KERNEL (ARCH)
        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/one.ko
        Running depmod... done.

        Autoinstall of module three/1.0 for kernel KERNEL (ARCH)
        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/three.ko
        Running depmod... done.

        Autoinstall of module two/1.0 for kernel KERNEL (ARCH)
        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/two.ko
        Running depmod... done.

        Autoinstall on KERNEL succeeded for module(s) one three two.
        ",
    );
    assert_eq!(machine.tree("/lib/modules").matches(".ko").count(), 3);
}

#[test]
fn the_newest_version() {
    let machine = Machine::new();
    for (version, module) in [
        ("1.9", Module::One),
        ("1.10", Module::Two),
        ("1.2", Module::One),
    ] {
        machine.add(&Source::of("hello", version, module));
    }
    machine.dkms("autoinstall -k KERNEL").exits(0);
    machine.dkms("status").prints(
        "
        hello/1.10, KERNEL, ARCH: installed
        hello/1.2: added
        hello/1.9: added
        ",
    );
}

#[test]
fn a_newer_version_replaces_an_installed_one() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.add(&Source::of("hello", "2.0", Module::Two));
    machine.dkms("autoinstall -k KERNEL").exits(0);
    machine.dkms("status").prints(
        "
        hello/1.0, KERNEL, ARCH: built
        hello/2.0, KERNEL, ARCH: installed
        ",
    );
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::Two.bytes()
    );
}

#[test]
fn packages_that_do_not_want_to_be_installed() {
    let machine = Machine::new();
    let source = |name, autoinstall: &str| {
        Source::empty(name, "1.0")
            .module(name, Module::One)
            .conf(autoinstall)
    };
    machine.add(&source("absent", ""));
    machine.add(&source("empty", "AUTOINSTALL=\"\""));
    machine.add(&source("no", "AUTOINSTALL=no"));
    machine.add(&source("yes", "AUTOINSTALL=YES"));
    machine
        .dkms("autoinstall -k KERNEL")
        .exits(0)
        .says("Autoinstall on KERNEL succeeded for module(s) yes.")
        .never_says("module absent/1.0")
        .never_says("module empty/1.0")
        .never_says("module no/1.0");
    machine.dkms("install no/1.0 -k KERNEL").exits(0);
    machine.dkms("autoinstall -k KERNEL").exits(0).prints("");
}

#[test]
fn is_switched_off() {
    let machine = Machine::with_added(&Source::hello());
    machine.write("/etc/dkms/no-autoinstall", "");
    for action in ["autoinstall", "kernel_postinst"] {
        machine
            .dkms(format!("{action} -k KERNEL"))
            .exits(0)
            .prints("Automatic installation of modules has been disabled.\n");
    }
    machine.dkms("status").prints("hello/1.0: added\n");
}

#[test]
fn without_headers() {
    let machine = Machine::with_added(&Source::hello());
    machine.dkms("autoinstall -k 9.9.9").exits(21).warns(
        "

        Error! Your kernel headers for kernel 9.9.9 cannot be found at /lib/modules/9.9.9/build \
         or /lib/modules/9.9.9/source.
        Please install your distribution's kernel headers package matching 9.9.9, or use the \
         --kernelsourcedir option to tell DKMS where it's located.
        ",
    );
}

#[test]
fn one_fails_and_others_do_not() {
    let machine = Machine::new();
    machine.add(&Source::of("after", "1.0", Module::One));
    machine.add(&Source::failing("bad"));
    machine.add(&Source::of("clean", "1.0", Module::One));
    machine.dkms("autoinstall -k KERNEL").exits(11).prints_both(
        "
        Module signing is disabled by policy, modules won't be signed

        Autoinstall of module after/1.0 for kernel KERNEL (ARCH)
        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/after.ko
        Running depmod... done.

        Autoinstall of module bad/1.0 for kernel KERNEL (ARCH)
        Building module(s)...(bad exit status: 2)
        Failed command:
        make -j1 KERNELRELEASE=KERNEL fail

        Autoinstall of module clean/1.0 for kernel KERNEL (ARCH)
        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/clean.ko
        Running depmod... done.

        Autoinstall on KERNEL succeeded for module(s) after clean.
        Autoinstall on KERNEL failed for module(s) bad(10).
        ",
        "

        Error! Bad return status for module build on kernel: KERNEL (ARCH)
        Consult /var/lib/dkms/bad/1.0/build/make.log for more information.

        Error! One or more modules failed to install during autoinstall.
        Refer to previous errors for more information.
        ",
    );
    machine.dkms("status").prints(
        "
        after/1.0, KERNEL, ARCH: installed
        bad/1.0: added
        clean/1.0, KERNEL, ARCH: installed
        ",
    );
}

#[test]
fn one_fails_to_install() {
    let machine = Machine::new();
    machine.write(
        named("/lib/modules/KERNEL/kernel/hello.ko"),
        Module::Two.bytes(),
    );
    machine.add(&Source::hello());
    machine.dkms("autoinstall -k KERNEL").exits(11).prints_both(
        "
        Module signing is disabled by policy, modules won't be signed

        Autoinstall of module hello/1.0 for kernel KERNEL (ARCH)
        Building module(s)... done.

        Autoinstall on KERNEL failed for module(s) hello(6).
        ",
        "

        Error! Module version 1.0 for hello.ko
        is not newer than what is already found in kernel KERNEL (2.0).
        You may override by specifying --force.

        Error! Installation aborted.

        Error! One or more modules failed to install during autoinstall.
        Refer to previous errors for more information.
        ",
    );
}

#[test]
fn one_is_excluded() {
    let machine = Machine::new();
    machine.add(&Source::of("never", "1.0", Module::One).conf("BUILD_EXCLUSIVE_ARCH=none"));
    machine.dkms("autoinstall -k KERNEL").exits(0).prints_both(
        "
        Module signing is disabled by policy, modules won't be signed

        Autoinstall of module never/1.0 for kernel KERNEL (ARCH)

        Autoinstall on KERNEL was skipped for module(s) never.
        ",
        "
        Warning: The /var/lib/dkms/never/1.0/KERNEL/ARCH/dkms.conf
        for module never/1.0 includes BUILD_EXCLUSIVE directives
        which do not match this kernel/arch/config for any modules.
        This indicates that it should not be built.
        ",
    );
    machine.add(&Source::hello());
    machine.add(&Source::failing("bad"));
    machine
        .dkms("autoinstall -k KERNEL")
        .exits(11)
        .says("Autoinstall on KERNEL succeeded for module(s) hello.\nAutoinstall on KERNEL was skipped for module(s) never.\nAutoinstall on KERNEL failed for module(s) bad(10).\n");
}

#[test]
fn one_is_broken() {
    let machine = Machine::with_added(&Source::hello());
    machine.add(&Source::of("other", "1.0", Module::One));
    machine.shell("rm /var/lib/dkms/other/1.0/source");
    machine.dkms("autoinstall -k KERNEL").exits(0).prints_both(
        ONE,
        "

            Error! other/1.0 is broken! Missing the source directory or the symbolic link \
             pointing to it.
            Manual intervention is required!
            ",
    );
}

#[test]
fn one_has_a_bad_conf() {
    let machine = Machine::with_added(&Source::hello());
    machine.add(&Source::of("other", "1.0", Module::One));
    machine.write("/usr/src/other-1.0/dkms.conf", "PACKAGE_NAME=other\n");
    machine.dkms("autoinstall -k KERNEL").exits(8).warns(
        "
        dkms.conf: Error! No 'PACKAGE_VERSION' directive specified.

        Error! Bad conf file.
        File: /var/lib/dkms/other/1.0/source/dkms.conf does not represent a valid dkms.conf file.
        ",
    );
}

#[test]
fn for_the_kernel_that_runs() {
    let machine = Machine::setup().running_kernel().start();
    machine.add(&Source::hello());
    machine
        .dkms("autoinstall")
        .exits(0)
        .says("Autoinstall on RUNNING succeeded for module(s) hello.");
}

#[test]
fn not_what_is_installed_for_another_kernel() {
    let machine = Machine::with_added(&Source::hello());
    machine.dkms("install hello/1.0 -k SECOND").exits(0);
    machine.dkms("autoinstall -k KERNEL").exits(0).prints(ONE);
    machine.dkms("status").prints(
        "
        hello/1.0, KERNEL, ARCH: installed
        hello/1.0, SECOND, ARCH: installed
        ",
    );
}
