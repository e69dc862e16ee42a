//! Modules that a kernel had before dkms put its own in their place: kept, and given back.

use super::{kernel::named, machine::Machine, modules::Module, source::Source};

/// A machine with modules called `hello` at these places, with `hello` 2.0 built.
fn machine_with(places: &[&str]) -> Machine {
    let machine = Machine::new();
    for place in places {
        let path = named(&format!("/lib/modules/KERNEL/{place}/hello.ko"));
        machine.write(path, Module::One.bytes());
    }
    machine.build(&Source::of("hello", "2.0", Module::Two));
    machine
}

#[test]
fn uninstalling_gives_it_back() {
    let machine = machine_with(&["kernel/drivers/net"]);
    machine.dkms("install hello/2.0 -k KERNEL").exits(0);
    machine
        .dkms("uninstall hello/2.0 -k KERNEL")
        .exits(0)
        .prints(
            "
        Module hello/2.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
        Restoring archived original module /lib/modules/KERNEL/kernel/drivers/net/hello.ko
        Running depmod... done.
        ",
        );
    assert_eq!(
        machine.installed("kernel/drivers/net/hello.ko"),
        Module::One.bytes()
    );
    machine.holds(
        "/lib/modules",
        "
        KERNEL/
        KERNEL/kernel/
        KERNEL/kernel/drivers/
        KERNEL/kernel/drivers/net/
        KERNEL/kernel/drivers/net/hello.ko
        SECOND/
        ",
    );
    assert!(!machine.has("/var/lib/dkms/hello/original_module"));
}

#[test]
fn installing_again_keeps_the_first() {
    let machine = machine_with(&["kernel/drivers"]);
    machine.dkms("install hello/2.0 -k KERNEL").exits(0);
    machine.build(&Source::of("hello", "3.0", Module::Three));
    machine.dkms("install hello/3.0 -k KERNEL").exits(0).prints(
        "
        An original module was already stored during a previous install
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.
        ",
    );
    machine
        .dkms("uninstall hello/2.0 -k KERNEL")
        .exits(0)
        .prints(
            "
        Module hello/2.0 is not installed for kernel KERNEL (ARCH). Skipping...
        ",
        );
    machine.dkms("remove hello/3.0 --all").exits(0).prints(
        "
        Module hello/3.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
        Restoring archived original module /lib/modules/KERNEL/kernel/drivers/hello.ko
        Running depmod... done.

        Deleting module hello/3.0 completely from the DKMS tree.
        ",
    );
    assert_eq!(
        machine.installed("kernel/drivers/hello.ko"),
        Module::One.bytes()
    );
}

#[test]
fn at_the_place_where_the_new_one_goes() {
    let machine = machine_with(&["updates/dkms"]);
    machine.dkms("install hello/2.0 -k KERNEL").exits(0).prints(
        "
        Found pre-existing /lib/modules/KERNEL/updates/dkms/hello.ko, archiving for \
         uninstallation
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.
        ",
    );
    machine
        .dkms("uninstall hello/2.0 -k KERNEL")
        .exits(0)
        .prints(
            "
        Module hello/2.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
        Restoring archived original module /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.
        ",
        );
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
}

#[test]
fn every_file_in_the_way_is_kept_and_given_back() {
    let machine = machine_with(&["extra", "updates/dkms"]);
    let other = named("/lib/modules/KERNEL/updates/dkms/hello.ko.xz");
    machine.write(&other, "the owner's");
    machine.dkms("install hello/2.0 -k KERNEL").exits(0).prints(
        "
        Found pre-existing /lib/modules/KERNEL/extra/hello.ko, archiving for uninstallation
        Found pre-existing /lib/modules/KERNEL/updates/dkms/hello.ko, archiving for \
         uninstallation
        Found pre-existing /lib/modules/KERNEL/updates/dkms/hello.ko.xz, archiving for \
         uninstallation
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.
        ",
    );
    machine.dkms("remove hello/2.0 --all").exits(0);
    for place in ["extra/hello.ko", "updates/dkms/hello.ko"] {
        assert_eq!(machine.installed(place), Module::One.bytes(), "{place}");
    }
    assert_eq!(
        machine.installed("updates/dkms/hello.ko.xz"),
        b"the owner's"
    );
}

#[test]
fn a_file_that_came_later_stays() {
    let machine = machine_with(&[]);
    machine.dkms("install hello/2.0 -k KERNEL").exits(0);
    let other = named("/lib/modules/KERNEL/updates/dkms/hello.ko.xz");
    machine.write(&other, "the owner's");
    machine
        .dkms("uninstall hello/2.0 -k KERNEL")
        .exits(0)
        .says("Keeping");
    assert_eq!(
        machine.installed("updates/dkms/hello.ko.xz"),
        b"the owner's"
    );
    assert!(!machine.has(named("/lib/modules/KERNEL/updates/dkms/hello.ko")));
}

#[test]
fn directories_are_looked_at_in_their_order() {
    let machine = machine_with(&["updates", "extra", "kernel/drivers"]);
    machine.dkms("install hello/2.0 -k KERNEL").exits(0).prints(
        "
            Found pre-existing /lib/modules/KERNEL/extra/hello.ko, archiving for uninstallation
            Installing /lib/modules/KERNEL/updates/dkms/hello.ko
            Running depmod... done.
            ",
    );
    assert_eq!(machine.installed("updates/hello.ko"), Module::One.bytes());
    assert_eq!(
        machine.installed("kernel/drivers/hello.ko"),
        Module::One.bytes()
    );
}

#[test]
fn only_one_of_two_in_unusual_directories() {
    let machine = machine_with(&["kernel/a", "kernel/b"]);
    let before = machine.tree("/lib/modules");
    machine
        .dkms("install hello/2.0 -k KERNEL")
        .exits(0)
        .says("archiving for uninstallation");
    let left = machine.tree("/lib/modules");
    assert_eq!(left.matches("/hello.ko\n").count(), 2, "{left}");
    machine.dkms("uninstall hello/2.0 -k KERNEL").exits(0);
    assert_eq!(machine.tree("/lib/modules"), before);
}

#[test]
fn several_modules_of_a_package() {
    let machine = Machine::new();
    for (place, module) in [
        ("kernel/a/first", Module::Unversioned),
        ("kernel/b/second", Module::One),
    ] {
        machine.write(
            named(&format!("/lib/modules/KERNEL/{place}.ko")),
            module.bytes(),
        );
    }
    let source = Source::empty("pair", "1.0")
        .module("first", Module::Two)
        .module("second", Module::Two);
    machine.add(&source);
    let before = machine.tree("/lib/modules");
    machine.dkms("install pair/1.0 -k KERNEL").exits(0);
    machine.holds(
        "/var/lib/dkms/pair/original_module",
        "
        KERNEL/
        KERNEL/ARCH/
        KERNEL/ARCH/first.ko
        KERNEL/ARCH/first.ko.origin
        KERNEL/ARCH/second.ko
        KERNEL/ARCH/second.ko.origin
        ",
    );
    machine
        .dkms("uninstall pair/1.0 -k KERNEL")
        .exits(0)
        .prints(
            "
        Module pair/1.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/first.ko
        Restoring archived original module /lib/modules/KERNEL/kernel/a/first.ko
        Deleting /lib/modules/KERNEL/updates/dkms/second.ko
        Restoring archived original module /lib/modules/KERNEL/kernel/b/second.ko
        Running depmod... done.
        ",
        );
    assert_eq!(machine.tree("/lib/modules"), before);
    assert_eq!(
        machine.installed("kernel/a/first.ko"),
        Module::Unversioned.bytes()
    );
}

#[test]
fn archived_by_an_older_dkms_without_its_origin() {
    let machine = machine_with(&["kernel/drivers"]);
    machine.dkms("install hello/2.0 -k KERNEL").exits(0);
    machine.shell("rm /var/lib/dkms/hello/original_module/KERNEL/ARCH/hello.ko.origin");
    machine
        .dkms("uninstall hello/2.0 -k KERNEL")
        .exits(0)
        .prints(
            "
        Module hello/2.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
        Restoring archived original module
        Running depmod... done.
        Removing original module(s) from DKMS tree for kernel KERNEL (ARCH)
        ",
        );
    assert_eq!(
        machine.installed("kernel/extra/hello.ko"),
        Module::One.bytes()
    );
}

#[test]
fn archived_without_its_origin_does_not_replace_a_link_that_leads_nowhere() {
    let machine = machine_with(&["kernel/drivers"]);
    machine.dkms("install hello/2.0 -k KERNEL").exits(0);
    machine.shell(
        "rm /var/lib/dkms/hello/original_module/KERNEL/ARCH/hello.ko.origin
         mkdir -p /lib/modules/KERNEL/kernel/extra
         ln -s /mnt/later/hello.ko /lib/modules/KERNEL/kernel/extra/hello.ko",
    );
    let run = machine.dkms("uninstall hello/2.0 -k KERNEL").exits(0);
    assert!(
        run.out.contains("stays") || run.err.contains("stays"),
        "{run}"
    );
    let link = machine.shell("readlink /lib/modules/KERNEL/kernel/extra/hello.ko");
    assert_eq!(link.out, "/mnt/later/hello.ko\n");
    let kept =
        machine.shell("cat /var/lib/dkms/hello/.superseded_module/KERNEL/ARCH/hello.ko | wc -c");
    assert_ne!(kept.out.trim(), "0");
}

#[test]
fn whose_origin_lies_elsewhere() {
    let machine = machine_with(&["kernel/drivers"]);
    machine.dkms("install hello/2.0 -k KERNEL").exits(0);
    let origin = named("/var/lib/dkms/hello/original_module/KERNEL/ARCH/hello.ko.origin");
    machine.shell(&format!("echo /elsewhere/hello.ko >{origin}"));
    machine
        .dkms("uninstall hello/2.0 -k KERNEL")
        .exits(0)
        .prints_both(
            "
            Module hello/2.0 for kernel KERNEL (ARCH):
            Before uninstall, this module version was ACTIVE on this kernel.
            Deleting /lib/modules/KERNEL/updates/dkms/hello.ko
            Restoring archived original module
            Running depmod... done.
            Removing original module(s) from DKMS tree for kernel KERNEL (ARCH)
            ",
            "
            Warning: Bad original location '/elsewhere/hello.ko' in /var/lib/dkms/hello/\
             original_module/KERNEL/ARCH/hello.ko.origin
            ",
        );
}

#[test]
fn of_each_kernel_its_own() {
    let machine = machine_with(&["kernel/drivers"]);
    machine.write(
        named("/lib/modules/SECOND/kernel/hello.ko"),
        Module::Unversioned.bytes(),
    );
    let before = machine.tree("/lib/modules");
    machine
        .dkms("install hello/2.0 -k KERNEL -k SECOND")
        .exits(0);
    machine.dkms("status").prints(
        "
        hello/2.0, KERNEL, ARCH: installed (Original modules exist)
        hello/2.0, SECOND, ARCH: installed (Original modules exist)
        ",
    );
    machine.dkms("uninstall hello/2.0 -k KERNEL").exits(0);
    machine.dkms("status").prints(
        "
        hello/2.0, KERNEL, ARCH: built
        hello/2.0, SECOND, ARCH: installed (Original modules exist)
        ",
    );
    machine.dkms("remove hello/2.0 --all").exits(0);
    assert_eq!(machine.tree("/lib/modules"), before);
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn a_newer_module_of_the_kernel_is_not_replaced_by_the_archived_one() {
    for command in ["uninstall hello/2.0 -k KERNEL", "remove hello/2.0 --all"] {
        let machine = machine_with(&["kernel/drivers"]);
        machine.dkms("install hello/2.0 -k KERNEL").exits(0);
        // As an update of the kernel's package does.
        machine.write(
            named("/lib/modules/KERNEL/kernel/drivers/hello.ko"),
            Module::Unversioned.bytes(),
        );
        machine
            .dkms(command)
            .exits(0)
            .says("/lib/modules/KERNEL/kernel/drivers/hello.ko has come since");
        assert_eq!(
            machine.installed("kernel/drivers/hello.ko"),
            Module::Unversioned.bytes()
        );
        let kept = named("/var/lib/dkms/hello/.superseded_module/KERNEL/ARCH/hello.ko");
        assert_eq!(machine.bytes(kept), Module::One.bytes());
    }
}

#[test]
fn what_the_owner_put_in_the_place_of_a_version_outlives_the_next() {
    let machine = machine_with(&[]);
    machine.add(&Source::of("hello", "1.0", Module::One));
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    let place = "updates/dkms/hello.ko";
    machine.write(
        named(&format!("/lib/modules/KERNEL/{place}")),
        Module::Unversioned.bytes(),
    );
    machine
        .dkms("install hello/2.0 -k KERNEL")
        .exits(0)
        .says("Found pre-existing /lib/modules/KERNEL/updates/dkms/hello.ko");
    machine.dkms("uninstall hello/2.0 -k KERNEL").exits(0);
    assert_eq!(machine.installed(place), Module::Unversioned.bytes());
}

#[test]
fn a_link_that_leads_nowhere_comes_back() {
    let machine = machine_with(&[]);
    let link = named("/lib/modules/KERNEL/updates/dkms/hello.ko");
    machine.shell(&format!(
        "mkdir -p $(dirname {link}); ln -s /opt/vendor/hello.ko {link}"
    ));
    machine.dkms("install hello/2.0 -k KERNEL").exits(0);
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::Two.bytes()
    );
    machine.dkms("remove hello/2.0 --all").exits(0);
    assert_eq!(machine.link(link), "/opt/vendor/hello.ko");
}

#[test]
fn a_built_module_that_is_taken_away_by_pre_install() {
    let machine = machine_with(&["updates/dkms"]);
    let source = Source::of("other", "1.0", Module::One)
        .conf("PRE_INSTALL=away")
        .script(
            "away",
            "#!/bin/sh\nrm -r /var/lib/dkms/other/1.0/*/*/module\n",
        );
    let own = named("/lib/modules/KERNEL/updates/dkms/other.ko");
    machine.add(&source);
    machine.dkms("build other/1.0 -k KERNEL").exits(0);
    machine.write(&own, "the owner's");
    machine
        .dkms("install other/1.0 -k KERNEL")
        .exits(6)
        .says("Missing module other");
    assert_eq!(machine.bytes(&own), b"the owner's");
}
