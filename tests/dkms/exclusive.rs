//! BUILD_EXCLUSIVE_*: packages and modules that are not for every kernel.

use super::{
    kernel::{arch, release},
    machine::Machine,
    modules::Module,
    source::Source,
};

const EXCLUDED: &str = "
    Warning: The /var/lib/dkms/hello/1.0/KERNEL/ARCH/dkms.conf
    for module hello/1.0 includes BUILD_EXCLUSIVE directives
    which do not match this kernel/arch/config for any modules.
    This indicates that it should not be built.
    ";

/// Asserts that these directives keep a package from being built.
#[track_caller]
fn excludes(directives: &str) {
    let machine = Machine::with_added(&Source::hello().conf(directives));
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(77)
        .warns(EXCLUDED);
    machine.dkms("status").prints("hello/1.0: added\n");
}

/// Asserts that they do not.
#[track_caller]
fn includes(directives: &str) {
    let machine = Machine::with_added(&Source::hello().conf(directives));
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
}

#[test]
fn by_architecture() {
    excludes("BUILD_EXCLUSIVE_ARCH=none");
    excludes("BUILD_EXCLUSIVE_ARCH=\"^(toaster|kettle)$\"");
    includes(&format!("BUILD_EXCLUSIVE_ARCH={}", arch()));
    includes(&format!("BUILD_EXCLUSIVE_ARCH=\"({}|toaster)\"", arch()));
}

#[test]
fn by_kernel() {
    excludes("BUILD_EXCLUSIVE_KERNEL=\"^(2\\.4|2\\.6)\"");
    includes("BUILD_EXCLUSIVE_KERNEL=\"^[0-9]+\\.[0-9]+\"");
    excludes("BUILD_EXCLUSIVE_KERNEL_MIN=99.0");
    includes("BUILD_EXCLUSIVE_KERNEL_MIN=2.6");
    includes(&format!("BUILD_EXCLUSIVE_KERNEL_MIN={}", release()));
    excludes("BUILD_EXCLUSIVE_KERNEL_MAX=2.6");
    includes("BUILD_EXCLUSIVE_KERNEL_MAX=99.0");
    includes(&format!("BUILD_EXCLUSIVE_KERNEL_MAX={}", release()));
}

#[test]
fn by_what_the_kernel_is_configured_with() {
    excludes("BUILD_EXCLUSIVE_CONFIG=CONFIG_NO_SUCH_THING");
    excludes("BUILD_EXCLUSIVE_CONFIG=\"!CONFIG_MODULES\"");
    excludes("BUILD_EXCLUSIVE_CONFIG=\"CONFIG_MODULES CONFIG_NO_SUCH_THING\"");
    includes("BUILD_EXCLUSIVE_CONFIG=CONFIG_MODULES");
    includes("BUILD_EXCLUSIVE_CONFIG=\"CONFIG_MODULES !CONFIG_NO_SUCH_THING\"");
}

#[test]
fn a_configuration_that_is_given() {
    let machine = Machine::with_added(&Source::hello().conf("BUILD_EXCLUSIVE_CONFIG=CONFIG_OURS"));
    machine.write("/home/config", "CONFIG_OURS=m\n");
    let config = machine.path("/home/config");
    machine
        .dkms(format!(
            "build hello/1.0 -k KERNEL --config {}",
            config.display()
        ))
        .exits(0);
}

#[test]
fn the_configuration_of_a_tree_that_is_given() {
    let machine = Machine::with_added(&Source::hello().conf("BUILD_EXCLUSIVE_CONFIG=CONFIG_OURS"));
    machine.write("/home/tree/.config", "CONFIG_OURS=m\n");
    let tree = machine.path("/home/tree").display().to_string();
    machine
        .dkms(format!("build hello/1.0 -k KERNEL --config {tree}/.config"))
        .exits(0);
    machine.shell("rm /var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko");
    machine
        .dkms("status")
        .exits(0)
        .prints("hello/1.0, KERNEL, ARCH: built\n");
    machine
        .dkms(format!("status --kernelsourcedir {tree}"))
        .exits(0)
        .prints(
            "
            hello/1.0, KERNEL, ARCH: built (Built modules are missing in the kernel modules folder)
            ",
        );
}

#[test]
fn installing_what_is_excluded() {
    let machine = Machine::with_added(&Source::hello().conf("BUILD_EXCLUSIVE_ARCH=none"));
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(77)
        .warns(EXCLUDED);
    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(0)
        .prints("");
    machine
        .dkms("unbuild hello/1.0 -k KERNEL")
        .exits(0)
        .prints("Module hello/1.0 is not built for kernel KERNEL (ARCH). Skipping...\n");
    machine.dkms("remove hello/1.0 -k KERNEL").exits(0).prints(
        "
        Module hello/1.0 is not built for kernel KERNEL (ARCH). Skipping...

        Deleting module hello/1.0 completely from the DKMS tree.
        ",
    );
}

/// Two modules, of which the second is for old kernels only.
fn half() -> Source {
    Source::empty("pair", "1.0")
        .module("new", Module::One)
        .module("old", Module::One)
        .conf("AUTOINSTALL=yes\nBUILD_EXCLUSIVE_KERNEL_MAX[1]=3.99\nBUILD_EXCLUSIVE_KERNEL_MIN[0]=5.0")
}

#[test]
fn one_module_of_two() {
    let machine = Machine::with_added(&half());
    machine.dkms("install pair/1.0 -k KERNEL").exits(0).prints(
        "
        Module signing is disabled by policy, modules won't be signed

        Building module(s)... done.
        Installing /lib/modules/KERNEL/updates/dkms/new.ko
        Running depmod... done.
        ",
    );
    machine
        .dkms("status")
        .prints("pair/1.0, KERNEL, ARCH: installed\n");
    machine.holds(
        &super::kernel::named("/var/lib/dkms/pair/1.0/KERNEL/ARCH/module"),
        "new.ko\n",
    );
    machine
        .dkms("uninstall pair/1.0 -k KERNEL")
        .exits(0)
        .prints(
            "
        Module pair/1.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/new.ko
        Module old.ko was not found within /lib/modules/KERNEL/
        Running depmod... done.
        ",
        );
}

#[test]
fn one_module_of_two_which_need_not_come_out_of_the_build() {
    let source = half().conf("MAKE[0]='cp prebuilt/${kernelver}/new.ko .'");
    let machine = Machine::with_added(&source);
    machine.dkms("build pair/1.0 -k KERNEL").exits(0);
}

#[test]
fn all_modules_one_by_one() {
    let machine =
        Machine::with_added(&half().conf("BUILD_EXCLUSIVE_CONFIG[0]=CONFIG_NO_SUCH_THING"));
    machine
        .dkms("build pair/1.0 -k KERNEL")
        .exits(77)
        .warns(&super::run::text(EXCLUDED).replace("hello", "pair"));
}

#[test]
fn obsolete_means_a_last_kernel() {
    let source = Source::hello().conf("OBSOLETE_BY=2.6.32");
    let machine = Machine::with_added(&source);
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(77)
        .says("includes BUILD_EXCLUSIVE directives");
}
