//! A module is compressed if the kernel's own modules are.

use super::{kernel::named, machine::Machine, modules::Module, source::Source};

/// A machine whose kernel has a compressed module.
fn machine(ending: &str) -> Machine {
    let machine = Machine::new();
    machine.write(
        named(&format!("/lib/modules/KERNEL/kernel/theirs.ko{ending}")),
        "",
    );
    machine
}

/// Asserts that modules are built, compared, installed and removed compressed.
#[track_caller]
fn compresses(ending: &str, program: &str) {
    let machine = machine(ending);
    machine.add(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(0)
        .prints(&format!(
            "Module signing is disabled by policy, modules won't be signed\n\n\
         Building module(s)... done.\n\
         Installing /lib/modules/KERNEL/updates/dkms/hello.ko{ending}\nRunning depmod... done.\n"
        ));
    machine.holds(
        &named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/module"),
        &format!("hello.ko{ending}\n"),
    );
    machine
        .shell(&format!(
            "cd /lib/modules/KERNEL/updates/dkms; cmp hello.ko{ending} /var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko{ending}
             {program} -dc hello.ko{ending} >$TMPDIR/plain.ko"
        ))
        .exits(0);
    assert_eq!(machine.bytes("/tmp/plain.ko"), Module::One.bytes());
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: installed\n");

    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(0)
        .says(&format!(
            "Deleting /lib/modules/KERNEL/updates/dkms/hello.ko{ending}\n"
        ));
    machine.holds(
        "/lib/modules",
        &format!("KERNEL/\nKERNEL/kernel/\nKERNEL/kernel/theirs.ko{ending}\nSECOND/\n"),
    );
}

/// Asserts that versions of compressed modules are compared. Not every kmod reads every
/// kind: what asks `modinfo` cannot.
#[track_caller]
fn compares(ending: &str) {
    let machine = machine(ending);
    machine.build(&Source::hello());
    machine.add(&Source::of("hello", "2.0", Module::Two));
    machine.dkms("install hello/2.0 -k KERNEL").exits(0);
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(6)
        .warns(&format!(
            "\nError! Module version 1.0 for hello.ko{ending}\nis not newer than what is already \
             found in kernel KERNEL (2.0).\nYou may override by specifying --force.\n\n\
             Error! Installation aborted.\n"
        ));
}

#[test]
fn with_gzip() {
    compresses(".gz", "gzip");
}

#[test]
fn with_xz() {
    compresses(".xz", "xz");
    compares(".xz");
}

#[test]
fn with_zstd() {
    compresses(".zst", "zstd");
    compares(".zst");
}

#[test]
fn not_where_modules_are_plain() {
    let machine = machine("");
    machine.install(&Source::hello());
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
}

#[test]
fn each_kernel_as_it_likes() {
    let machine = machine(".xz");
    machine.add(&Source::hello());
    machine.dkms("install hello/1.0 -k SECOND").exits(0);
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    machine.dkms("status").prints(
        "
        hello/1.0, KERNEL, ARCH: installed
        hello/1.0, SECOND, ARCH: installed
        ",
    );
    machine.holds(
        "/lib/modules",
        "
        KERNEL/
        KERNEL/kernel/
        KERNEL/kernel/theirs.ko.xz
        KERNEL/updates/
        KERNEL/updates/dkms/
        KERNEL/updates/dkms/hello.ko.xz
        SECOND/
        SECOND/updates/
        SECOND/updates/dkms/
        SECOND/updates/dkms/hello.ko
        ",
    );
}

#[test]
fn an_original_that_is_compressed_is_kept_and_given_back() {
    let machine = machine(".xz");
    std::fs::write(machine.path("/home/hello.ko"), Module::Unversioned.bytes()).unwrap();
    machine.shell("xz --check=crc32 hello.ko; cp hello.ko.xz /lib/modules/KERNEL/kernel/");
    let before = machine.tree("/lib/modules");
    machine.build(&Source::hello());
    machine.dkms("install hello/1.0 -k KERNEL").exits(0).prints(
        "
        Found pre-existing /lib/modules/KERNEL/kernel/hello.ko.xz, archiving for uninstallation
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko.xz
        Running depmod... done.
        ",
    );
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: installed (Original modules exist)\n");
    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(0)
        .prints(
            "
        Module hello/1.0 for kernel KERNEL (ARCH):
        Before uninstall, this module version was ACTIVE on this kernel.
        Deleting /lib/modules/KERNEL/updates/dkms/hello.ko.xz
        Restoring archived original module /lib/modules/KERNEL/kernel/hello.ko.xz
        Running depmod... done.
        ",
        );
    assert_eq!(machine.tree("/lib/modules"), before);
    machine
        .shell("cmp hello.ko.xz /lib/modules/KERNEL/kernel/hello.ko.xz")
        .exits(0);
}

#[test]
fn options_of_the_compressors() {
    for (ending, variable, option, level) in [
        (".gz", "compress_gzip_opts", "-1", "gzip -1"),
        (
            ".xz",
            "compress_xz_opts",
            "--check=crc32 -0",
            "xz --check=crc32 -0",
        ),
        (".zst", "compress_zstd_opts", "-q --rm -1", "zstd -q -1"),
    ] {
        let machine = machine(ending);
        machine.write(
            "/etc/dkms/framework.conf.d/ours.conf",
            format!("{variable}=\"{option}\"\n"),
        );
        machine.build(&Source::hello());
        std::fs::write(machine.path("/home/hello.ko"), Module::One.bytes()).unwrap();
        let sizes = machine.shell(&format!(
            "{level} -c hello.ko | wc -c
             cat /var/lib/dkms/hello/1.0/KERNEL/*/module/hello.ko{ending} | wc -c"
        ));
        let sizes: Vec<i64> = sizes
            .out
            .lines()
            .map(|line| line.trim().parse().unwrap())
            .collect();
        assert!((sizes[0] - sizes[1]).abs() < 40, "{variable}: {sizes:?}");
    }
}

#[test]
fn a_signed_module_is_compressed_after_that() {
    let machine = Machine::setup()
        .script("/etc/dkms/sign", "#!/bin/sh\necho '~Module signature appended~' >>\"$4\"\n")
        .secret("/etc/dkms/key", "")
        .file(
            "/etc/dkms/framework.conf",
            "try_sign_modules=true\nsign_file=/etc/dkms/sign\nmok_signing_key=/etc/dkms/key\nmok_certificate=/etc/dkms/key\n",
        )
        .start();
    machine.write(named("/lib/modules/KERNEL/kernel/theirs.ko.gz"), "");
    machine.install(&Source::hello());
    machine
        .shell("gzip -dc /lib/modules/KERNEL/updates/dkms/hello.ko.gz | tail -n 1")
        .says("~Module signature appended~");
}
