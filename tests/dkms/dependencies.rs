//! BUILD_DEPENDS: the order of builds, what is missing, and what goes in circles.

use super::{machine::Machine, modules::Module, source::Source};

#[test]
fn a_dependency_comes_first() {
    let machine = Machine::with_added(&Source::dependent("above"));
    machine.add(&Source::hello());
    machine.dkms("autoinstall -k KERNEL").exits(0).prints(
        "
        Module signing is disabled by policy, modules won't be signed

        Autoinstall of module hello/1.0 for kernel KERNEL (ARCH)
        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.

        Autoinstall of module above/1.0 for kernel KERNEL (ARCH)
        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/above.ko
        Running depmod... done.

        Autoinstall on KERNEL succeeded for module(s) hello above.
        ",
    );
    machine.dkms("unbuild above/1.0 -k KERNEL").exits(0);
    machine.dkms("autoinstall -k KERNEL").exits(0).prints(
        "
        Module signing is disabled by policy, modules won't be signed

        Autoinstall of module above/1.0 for kernel KERNEL (ARCH)
        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/above.ko
        Running depmod... done.

        Autoinstall on KERNEL succeeded for module(s) hello above.
        ",
    );
}

#[test]
fn a_chain_of_four() {
    let machine = Machine::new();
    let names = ["d", "b", "c", "a"];
    for (name, needs) in names.iter().zip(["a b", "a", "b", ""]) {
        let source = Source::of(name, "1.0", Module::One);
        machine.add(&source.conf(&format!("BUILD_DEPENDS=({needs})")));
    }
    machine
        .dkms("autoinstall -k KERNEL")
        .exits(0)
        .says("Autoinstall on KERNEL succeeded for module(s) a b c d.");
}

#[test]
fn building_without_it() {
    let machine = Machine::with_added(&Source::dependent("above"));
    for action in ["build", "install"] {
        machine
            .dkms(format!("{action} above/1.0 -k KERNEL"))
            .exits(13)
            .prints_both(
                "
                Module signing is disabled by policy, modules won't be signed

                ",
                "

                Error! Aborting build of module above/1.0 for kernel KERNEL (ARCH) due to \
                 missing BUILD_DEPENDS: hello.
                You may override by specifying --force.
                ",
            );
    }
    machine.dkms("status").prints("above/1.0: added\n");
    machine
        .dkms("build above/1.0 -k KERNEL --force")
        .exits(0)
        .prints_both(
            "
            Module signing is disabled by policy, modules won't be signed

            Building module(s)... done.
            ",
            "
            Warning: Trying to build module above/1.0 for kernel KERNEL (ARCH) despite of missing \
             BUILD_DEPENDS: hello.
            ",
        );
    machine.dkms("install above/1.0 -k KERNEL").exits(0);
}

#[test]
fn a_dependency_has_to_be_installed_for_the_same_kernel() {
    let machine = Machine::with_added(&Source::dependent("above"));
    machine.build(&Source::hello());
    machine.dkms("install hello/1.0 -k SECOND").exits(0);
    machine.dkms("build above/1.0 -k KERNEL").exits(13);
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    machine.dkms("build above/1.0 -k KERNEL").exits(0);
}

#[test]
fn several_that_are_missing() {
    let source = Source::of("above", "1.0", Module::One)
        .conf("BUILD_DEPENDS[0]=one\nBUILD_DEPENDS[1]=hello\nBUILD_DEPENDS[2]=two");
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.add(&source);
    machine
        .dkms("build above/1.0 -k KERNEL")
        .exits(13)
        .says("due to missing BUILD_DEPENDS: one two.\n");
}

#[test]
fn one_that_dkms_does_not_know_is_waited_for() {
    let machine = Machine::with_added(&Source::dependent("above"));
    machine.dkms("autoinstall -k KERNEL").exits(0).prints(
        "
        above/1.0 autoinstall deferred: BUILD_DEPENDS not registered with DKMS: hello.
        Autoinstall on KERNEL deferred module(s) above/1.0 due to BUILD_DEPENDS not yet \
         registered with DKMS.
        These may be provided externally or by a package not yet configured; autoinstall will \
         retry on the next trigger.
        ",
    );
    machine.dkms("status").prints("above/1.0: added\n");
    machine.add(&Source::hello());
    machine
        .dkms("autoinstall -k KERNEL")
        .exits(0)
        .says("succeeded for module(s) hello above.");
}

#[test]
fn one_that_fails() {
    let machine = Machine::with_added(&Source::dependent("above"));
    machine.add(&Source::failing("hello"));
    machine.dkms("autoinstall -k KERNEL").exits(11).prints_both(
        "
        Module signing is disabled by policy, modules won't be signed

        Autoinstall of module hello/1.0 for kernel KERNEL (ARCH)
        Building module(s)...(bad exit status: 2)
        Failed command:
        make -j1 KERNELRELEASE=KERNEL fail

        Autoinstall on KERNEL failed for module(s) hello(10).
        above/1.0 autoinstall failed due to missing dependencies: hello.
        ",
        "

        Error! Bad return status for module build on kernel: KERNEL (ARCH)
        Consult /var/lib/dkms/hello/1.0/build/make.log for more information.

        Error! One or more modules failed to install during autoinstall.
        Refer to previous errors for more information.
        ",
    );
}

#[test]
fn one_that_is_not_installed_automatically() {
    let machine = Machine::with_added(&Source::dependent("above"));
    machine.add(&Source::hello().conf("AUTOINSTALL=\"\""));
    machine.dkms("autoinstall -k KERNEL").exits(11).prints_both(
        "
        above/1.0 autoinstall failed due to missing dependencies: hello.
        ",
        "

        Error! One or more modules failed to install during autoinstall.
        Refer to previous errors for more information.
        ",
    );
}

#[test]
fn one_that_is_excluded_counts_as_there() {
    let machine = Machine::new();
    machine.add(&Source::dependent("above").conf("BUILD_EXCLUSIVE_ARCH=none"));
    machine.add(&Source::hello().conf("BUILD_EXCLUSIVE_ARCH=none"));
    machine
        .dkms("autoinstall -k KERNEL")
        .exits(0)
        .says("Autoinstall on KERNEL was skipped for module(s) hello above.\n");
}

#[test]
fn one_that_is_excluded_and_needed_after_all() {
    let machine = Machine::with_added(&Source::dependent("above"));
    machine.add(&Source::hello().conf("BUILD_EXCLUSIVE_ARCH=none"));
    machine
        .dkms("autoinstall -k KERNEL")
        .exits(11)
        .says("due to missing BUILD_DEPENDS: hello.")
        .says("Autoinstall on KERNEL failed for module(s) above(13).");
}

#[test]
fn itself() {
    let source = Source::of("circle", "1.0", Module::One).conf("BUILD_DEPENDS=circle");
    let machine = Machine::with_added(&source);
    machine.dkms("autoinstall -k KERNEL").exits(11).prints_both(
        "
        circle/1.0 autoinstall failed due to missing dependencies: circle.
        ",
        "

        Error! One or more modules failed to install during autoinstall.
        Refer to previous errors for more information.
        ",
    );
    machine.dkms("build circle/1.0 -k KERNEL").exits(13);
    machine.dkms("build circle/1.0 -k KERNEL --force").exits(0);
    machine.dkms("autoinstall -k KERNEL").exits(11);
}

#[test]
fn two_that_need_each_other() {
    let machine = Machine::new();
    for (name, needs) in [("one", "two"), ("two", "one")] {
        let source = Source::of(name, "1.0", Module::One);
        machine.add(&source.conf(&format!("BUILD_DEPENDS={needs}")));
    }
    machine.add(&Source::hello());
    machine
        .dkms("autoinstall -k KERNEL")
        .exits(11)
        .says("Autoinstall on KERNEL succeeded for module(s) hello.\n")
        .says("one/1.0 autoinstall failed due to missing dependencies: two.\n")
        .says("two/1.0 autoinstall failed due to missing dependencies: one.\n");
}

#[test]
fn one_known_and_one_not() {
    let source = Source::of("above", "1.0", Module::One).conf("BUILD_DEPENDS=(known unknown)");
    let machine = Machine::with_added(&source);
    machine.add(&Source::failing("known"));
    machine
        .dkms("autoinstall -k KERNEL")
        .exits(11)
        .says("above/1.0 autoinstall failed due to missing dependencies: known.\n")
        .never_says("deferred");
}

#[test]
fn symbols_of_a_dependency() {
    let machine = Machine::new();
    machine.add(&Source::compiled(
        "below",
        "1.0",
        "int below(void);\nint below(void) { return 1; }\nEXPORT_SYMBOL_GPL(below);",
    ));
    let above = Source::compiled("above", "1.0", "int below(void);\nint above(void);\nint above(void) { return below(); }")
        .conf("BUILD_DEPENDS=below")
        .file(
            "Makefile",
            "obj-m := above.o\nKBUILD_EXTRA_SYMBOLS := /var/lib/dkms/below/1.0/$(KERNELRELEASE)/$(shell uname -m)/module/Module.symvers\n",
        );
    machine.add(&above);
    machine
        .dkms("autoinstall -k KERNEL")
        .exits(0)
        .says("succeeded for module(s) below above.");
    machine
        .shell("modinfo -F depends /lib/modules/KERNEL/updates/dkms/above.ko")
        .prints("below\n");
}
