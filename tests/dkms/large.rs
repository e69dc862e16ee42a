//! Files that are larger than any of their kind: nothing is filled with them, and each is named.

use super::{kernel::named, machine::Machine, modules::Module, source::Source};

const TREE: &str = "/var/lib/dkms/hello/1.0/KERNEL/ARCH/module";

#[test]
fn symbols_that_a_package_makes() {
    let source = Source::empty("hello", "1.0")
        .conf("BUILT_MODULE_NAME=hello\nDEST_MODULE_LOCATION=/extra")
        .conf("MAKE=\"cp one.ko hello.ko; truncate -s 100M Module.symvers\"")
        .file("one.ko", Module::One.bytes());
    let machine = Machine::with_added(&source);
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(10)
        .says("results cannot be taken over: Module.symvers has more than 16777216 bytes");
    assert!(!machine.has(named(TREE)));
}

#[test]
fn symbols_of_an_installed_dependency() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    machine.add(&Source::dependent("above"));
    let symbols = format!("{TREE}/Module.symvers");
    machine
        .shell(&format!("truncate -s 1500M {symbols}"))
        .exits(0);
    let run = machine.dkms("build above/1.0 -k KERNEL");
    assert_ne!(run.exits_with(), Some(0), "{run}");
    run.says(&format!(
        "cannot read {symbols}: it has more than 16777216 bytes"
    ));
}

#[test]
fn a_note_of_where_an_original_was() {
    let machine = Machine::new();
    machine.write(
        named("/lib/modules/KERNEL/kernel/hello.ko"),
        Module::One.bytes(),
    );
    machine.install(&Source::of("hello", "2.0", Module::Two));
    let archived = "/var/lib/dkms/hello/original_module/KERNEL/ARCH/hello.ko";
    machine
        .shell(&format!("truncate -s 2G {archived}.origin"))
        .exits(0);
    machine
        .dkms("uninstall hello/2.0 -k KERNEL")
        .exits(0)
        .says(&format!(
            "cannot read {archived}.origin: it has more than 65536 bytes"
        ));
    // It goes where its package says, as one without a note.
    assert_eq!(
        machine.installed("kernel/extra/hello.ko"),
        Module::One.bytes()
    );
}

#[test]
fn a_journal() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    machine
        .shell("mkdir -m 700 /lib/modules/KERNEL/.kiln; truncate -s 500M /lib/modules/KERNEL/.kiln/commit")
        .exits(0);
    let run = machine.dkms("install hello/1.0 -k KERNEL");
    assert_ne!(run.exits_with(), Some(0), "{run}");
    run.says("/lib/modules/KERNEL/.kiln/commit: it has more than 67108864 bytes");
}

#[test]
fn a_module() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    machine
        .shell(&format!("truncate -s 100G {TREE}/hello.ko"))
        .exits(0);
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(6)
        .says(&format!("Copying '{TREE}/hello.ko' failed"))
        .says("hello.ko: it has more than 2147483648 bytes");
    machine
        .shell(&format!(
            "truncate -s 1G {TREE}/hello.ko; cp -rP /lib/modules/KERNEL /usr/src/kept
             mount -t tmpfs -o size=64m none /lib/modules/KERNEL; cp -rP /usr/src/kept/. /lib/modules/KERNEL"
        ))
        .exits(0);
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(6)
        .says("No space left on device");
}

#[test]
fn modules_are_compared_piece_by_piece() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    let installed = "/lib/modules/KERNEL/updates/dkms/hello.ko";
    machine
        .shell(&format!("truncate -s 1G {TREE}/hello.ko {installed}"))
        .exits(0);
    machine
        .shell("export MALLOC_ARENA_MAX=1; ulimit -v 1000000; dkms uninstall hello/1.0 -k KERNEL")
        .exits(0)
        .says(&format!("Deleting {installed}"));
    assert!(!machine.has(named(installed)));
}

#[test]
fn a_source_is_copied_piece_by_piece() {
    let machine = Machine::with_added(&Source::hello());
    machine
        // One arena: each thread's own takes 64 MiB of what there may be.
        .shell(
            "truncate -s 1G /usr/src/hello-1.0/large; export MALLOC_ARENA_MAX=1; ulimit -v 1000000
             dkms build hello/1.0 -k KERNEL",
        )
        .exits(0);
    assert!(machine.has(named(&format!("{TREE}/hello.ko"))));
}
