//! Patches: of the package, for some kernels only, of the administrator; and bad ones.

use super::{kernel::named, machine::Machine, source::Source};

/// A patch that changes one line of `text` to another.
fn patch(from: &str, to: &str) -> String {
    format!("--- a/text\n+++ b/text\n@@ -1 +1 @@\n-{from}\n+{to}\n")
}

/// A package whose log tells what is in `text` when it is built.
fn patched(conf: &str) -> Source {
    Source::hello()
        .conf("MAKE[0]='cat text; cp -r prebuilt/${kernelver}/. .'")
        .conf(conf)
        .file("text", "zero\n")
        .file("patches/one.patch", patch("zero", "one"))
        .file("patches/sub/two.patch", patch("one", "two"))
        .file("patches/bad.patch", patch("nothing", "at all"))
}

fn log(machine: &Machine, path: &str) -> String {
    super::kernel::redacted(&machine.read(named(path)))
}

const LOG: &str = "/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log";

#[test]
fn in_their_order() {
    let machine = Machine::with_added(&patched("PATCH=(one.patch sub/two.patch)"));
    machine.dkms("build hello/1.0 -k KERNEL").exits(0).prints(
        "
        Module signing is disabled by policy, modules won't be signed

        Applying patch one.patch... done.
        Applying patch sub/two.patch... done.
        Building module(s)... done.
        ",
    );
    let log = log(&machine, LOG);
    assert!(log.contains("\nApplying patch one.patch\n# command: patch -p1 < ./patches/one.patch\npatching file text\n\n# exit code: 0\n"), "{log}");
    assert!(log.contains("\ntwo\n"), "{log}");
    assert_eq!(machine.read("/usr/src/hello-1.0/text"), "zero\n");
}

#[test]
fn for_kernels_that_match() {
    let conf = named(
        "PATCH[0]=one.patch\nPATCH[1]=sub/two.patch\nPATCH[2]=bad.patch\nPATCH_MATCH[0]=\"^[0-9]\"\nPATCH_MATCH[2]=\"^9\\.9\"",
    );
    let machine = Machine::with_added(&patched(&conf));
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .says("Applying patch one.patch... done.\nApplying patch sub/two.patch... done.\nBuilding");
}

#[test]
fn that_does_not_apply() {
    let machine = Machine::with_added(&patched("PATCH=(one.patch bad.patch)"));
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(6)
        .prints_both(
            "
            Module signing is disabled by policy, modules won't be signed

            Applying patch one.patch... done.
            Applying patch bad.patch...(bad exit status: 1)
            Failed command:
            patch -p1 < ./patches/bad.patch
            ",
            "

            Error! Application of patch bad.patch failed.
            Consult /var/lib/dkms/hello/1.0/build/make.log for more information.
            ",
        );
    let log = log(&machine, "/var/lib/dkms/hello/1.0/build/make.log");
    assert!(log.contains("Hunk #1 FAILED at 1."), "{log}");
    machine.dkms("status").prints("hello/1.0: added\n");
}

#[test]
fn that_is_missing() {
    let machine = Machine::with_added(&patched("PATCH=missing.patch"));
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(5)
        .prints_both(
            "
            Module signing is disabled by policy, modules won't be signed

            ",
            "

            Error! Patch missing.patch as specified in dkms.conf cannot be
            found in /var/lib/dkms/hello/1.0/build/patches/.
            ",
        );
}

#[test]
fn that_lies_outside() {
    for path in ["../text", "sub/../one.patch"] {
        let machine = Machine::with_added(&patched(&format!("PATCH={path}")));
        machine
            .dkms("build hello/1.0 -k KERNEL")
            .exits(5)
            .prints_both(
                "
                Module signing is disabled by policy, modules won't be signed

                ",
                &format!(
                    "\nError! Patch {path} as specified in dkms.conf contains '..' path component.\n"
                ),
            );
    }
}

#[test]
fn of_the_administrator() {
    let machine = Machine::with_added(&patched("PATCH=(one.patch extra.patch)"));
    machine.write(
        "/etc/dkms/hello/patches/one.patch",
        patch("zero", "their own"),
    );
    machine.write(
        "/etc/dkms/hello/patches/extra.patch",
        patch("their own", "and more"),
    );
    machine.dkms("build hello/1.0 -k KERNEL").exits(0).prints(
        "
        Module signing is disabled by policy, modules won't be signed

        Applying patch one.patch... done.
        Applying patch extra.patch... done.
        Building module(s)... done.
        ",
    );
    assert!(log(&machine, LOG).contains("\nand more\n"));
    assert!(!machine.has("/usr/src/hello-1.0/patches/extra.patch"));
    machine.dkms("remove hello/1.0 --all").exits(0);
    assert!(machine.has("/etc/dkms/hello/patches/one.patch"));
}

#[test]
fn that_the_administrator_changes_between_builds() {
    let machine = Machine::with_added(&patched("PATCH=one.patch"));
    for word in ["first", "second"] {
        machine.write("/etc/dkms/hello/patches/one.patch", patch("zero", word));
        machine.dkms("build hello/1.0 -k KERNEL --force").exits(0);
        assert!(log(&machine, LOG).contains(&format!("\n{word}\n")));
    }
}
