//! Modules that the kernel would not load are not installed.

use crate::{kernel::named, machine::Machine, modules::Module, source::Source};

/// A package that always brings the module of one kernel.
fn of_second(name: &str) -> Source {
    Source::of(name, "1.0", Module::One).conf(&named("MAKE[0]='cp -r prebuilt/SECOND/. .'"))
}

#[test]
fn a_module_of_another_kernel_is_refused() {
    let machine = Machine::with_added(&of_second("hello"));
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(10)
        .says("Error! Bad return status for module build on kernel: KERNEL (ARCH)\n")
        .says("What was built cannot be used: hello.ko was built for kernel SECOND, not for KERNEL")
        .never_says("Installing");
    machine.holds("/lib/modules", "KERNEL/\nSECOND/\n");
    machine.dkms("status").prints("hello/1.0: added\n");
    machine.dkms("install hello/1.0 -k SECOND").exits(0);
}

#[test]
fn a_module_of_another_kernel_leaves_the_others_and_its_own_former_version() {
    let machine = Machine::new();
    machine.install(&Source::of("hello", "0.9", Module::Two));
    machine.add(&of_second("hello"));
    machine.add(&Source::of("other", "1.0", Module::One));
    machine
        .dkms("autoinstall -k KERNEL")
        .exits(11)
        .says("Autoinstall on KERNEL succeeded for module(s) other.\n")
        .says("Autoinstall on KERNEL failed for module(s) hello(10).\n");
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::Two.bytes()
    );
}
