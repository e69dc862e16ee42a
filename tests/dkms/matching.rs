//! `dkms match`.

use super::{machine::Machine, modules::Module, source::Source};

fn machine() -> Machine {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.install(&Source::of("other", "2.0", Module::Two));
    machine.build(&Source::of("third", "1.0", Module::One));
    machine
}

#[test]
fn everything() {
    let machine = machine();
    machine
        .dkms("match --templatekernel KERNEL -k SECOND")
        .exits(0)
        .prints(
            "

            Matching modules in kernel: SECOND (ARCH)
            to the configuration of kernel: KERNEL (ARCH)
            Module:  hello
            Version: 1.0
            Module signing is disabled by policy, modules won't be signed

            Building module(s)... done.
            Installing /lib/modules/SECOND/updates/dkms/hello.ko
            Running depmod... done.
            Module:  other
            Version: 2.0
            Module signing is disabled by policy, modules won't be signed

            Building module(s)... done.
            Installing /lib/modules/SECOND/updates/dkms/other.ko
            Running depmod... done.
            ",
        );
    machine.dkms("status -k SECOND").prints(
        "
        hello/1.0, SECOND, ARCH: installed
        other/2.0, SECOND, ARCH: installed
        third/1.0: added
        ",
    );
    machine
        .dkms("match --templatekernel=KERNEL -k SECOND hello")
        .exits(0)
        .prints(
            "

            Matching modules in kernel: SECOND (ARCH)
            to the configuration of kernel: KERNEL (ARCH)
            Module:  hello
            Version: 1.0
            Module hello/1.0 already built for kernel SECOND (ARCH), skip. You may override by \
             specifying --force.
            Module hello/1.0 already installed on kernel SECOND (ARCH), skip. You may override by \
             specifying --force.
            ",
        );
}

#[test]
fn one_package() {
    let machine = machine();
    machine
        .dkms("match --templatekernel KERNEL -k SECOND other")
        .exits(0)
        .never_says("hello");
    machine.dkms("status -k SECOND").prints(
        "
        hello/1.0: added
        other/2.0, SECOND, ARCH: installed
        third/1.0: added
        ",
    );
}

#[test]
fn nothing() {
    let machine = machine();
    let nothing = "

        Matching modules in kernel: KERNEL (ARCH)
        to the configuration of kernel: 9.9.9 (ARCH)

        There is nothing to be done for this match.
        ";
    machine
        .dkms("match --templatekernel 9.9.9 -k KERNEL")
        .exits(0)
        .prints(nothing);
    machine
        .dkms("match --templatekernel 9.9.9 -k KERNEL hello")
        .exits(0)
        .prints(nothing);
}

#[test]
fn what_it_refuses() {
    let machine = machine();
    machine.dkms("match -k KERNEL").exits(1).warns(
        "

        Error! Invalid number of parameters passed.
        Usage: match --templatekernel=<kernel-version> -k <kernel-version>
           or: match --templatekernel=<kernel-version> -k <kernel-version> <module>
        ",
    );
    machine
        .dkms("match --templatekernel KERNEL -k KERNEL")
        .exits(2)
        .warns(
            "

            Error! The templatekernel and the specified kernel version are the same.
            ",
        );
    machine
        .dkms("match --templatekernel KERNEL -k SECOND nothing")
        .exits(3)
        .warns(
            "

            Error! The module: nothing is not located in the DKMS tree.
            ",
        );
    machine
        .dkms("match --templatekernel KERNEL -k 9.9.9")
        .exits(21)
        .says("Error! Your kernel headers for kernel 9.9.9 cannot be found");
}
