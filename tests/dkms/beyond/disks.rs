//! A full disk.

use crate::{machine::Machine, modules::Module, run::text, source::Source};

#[test]
fn a_build_that_finds_no_room_fails() {
    let machine = Machine::new();
    machine.source(&Source::hello());
    machine.shell("mount -t tmpfs -o size=64k none /var/lib/dkms");
    machine.dkms("add hello/1.0").exits(0);
    machine.shell("cat /dev/zero >/var/lib/dkms/fill 2>/dev/null || :");
    let run = machine.dkms("build hello/1.0 -k KERNEL");
    assert_ne!(run.exits_with(), Some(0), "{run}");
    assert!(run.err.to_lowercase().contains("no space left"), "{run}");
    machine.dkms("status").prints("hello/1.0: added\n");
    machine.shell("rm /var/lib/dkms/fill; mount -o remount,size=1m /var/lib/dkms");
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
    machine
        .shell("cmp /var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko /usr/src/hello-1.0/prebuilt/KERNEL/hello.ko")
        .exits(0);
}

#[test]
fn a_replacement_that_finds_no_room_leaves_the_old_module() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    machine.build(&Source::of("hello", "2.0", Module::Two));
    machine.shell(
        "mkdir small; cp -rP /lib/modules/. small/; mount -t tmpfs -o size=128k none /lib/modules
         cp -rP small/. /lib/modules/",
    );
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    machine.shell("cat /dev/zero >/lib/modules/fill 2>/dev/null || :");
    machine
        .dkms("install hello/2.0 -k KERNEL")
        .exits(6)
        .says("No space left on device");
    machine
        .shell("cmp /lib/modules/KERNEL/updates/dkms/hello.ko /var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko; find /lib/modules -name '*kiln*'")
        .exits(0)
        .prints("");
    machine.dkms("status").prints(
        "
        hello/1.0, KERNEL, ARCH: installed
        hello/2.0, KERNEL, ARCH: built
        ",
    );
}

#[test]
fn what_finds_no_room_together_is_installed_as_far_as_it_goes() {
    let machine = Machine::new();
    machine.add(&Source::of("after", "1.0", Module::One));
    machine.add(&Source::failing("bad"));
    machine.add(&Source::of("clean", "1.0", Module::One));
    // Room for one of the modules with the journal, but not for both.
    machine.shell(
        "mkdir small; cp -rP /lib/modules/. small/; mount -t tmpfs -o size=1m none /lib/modules
         cp -rP small/. /lib/modules/; cat /dev/zero >/lib/modules/fill 2>/dev/null || :
         size=$(stat -c %s /usr/src/after-1.0/prebuilt/KERNEL/after.ko)
         truncate -s -$(((size + 4095) / 4096 * 2 * 4096)) /lib/modules/fill",
    );
    let run = machine.dkms("autoinstall -k KERNEL").exits(11);
    assert_eq!(
        run.out,
        text(
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

            Autoinstall on KERNEL succeeded for module(s) after.
            Autoinstall on KERNEL failed for module(s) bad(10) clean(6).
            "
        ),
        "{run}"
    );
    let run = run
        .says("Error! Bad return status for module build on kernel: KERNEL (ARCH)\n")
        .says("No space left on device");
    assert_eq!(run.err.matches("Error! ").count(), 3, "{run}");
    machine.dkms("status").prints(
        "
        after/1.0, KERNEL, ARCH: installed
        bad/1.0: added
        clean/1.0, KERNEL, ARCH: built
        ",
    );
}
