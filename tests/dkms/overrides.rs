//! What changes a dkms.conf from outside: files in /etc/dkms, `--directive`, `-c`.

use super::{kernel::named, machine::Machine, modules::Module, source::Source};

/// A package whose log tells the value of a variable.
fn telling() -> Source {
    Source::hello().conf("MAKE[0]='cp -r prebuilt/${kernelver}/. .'")
}

fn command(machine: &Machine, kernel: &str) -> String {
    let path = format!("/var/lib/dkms/hello/1.0/{kernel}/ARCH/log/make.log");
    let log = super::kernel::redacted(&machine.read(named(&path)));
    let line = log.lines().find(|line| line.starts_with("# command: "));
    line.unwrap().to_owned()
}

const FILES: [&str; 6] = [
    "hello.conf",
    "hello-1.0.conf",
    "hello-1.0-KERNEL.conf",
    "hello-1.0-KERNEL-ARCH.conf",
    "hello--KERNEL.conf",
    "hello--KERNEL-ARCH.conf",
];

#[test]
fn files_in_their_order() {
    let machine = Machine::with_added(&telling());
    for name in FILES {
        machine.write(
            named(&format!("/etc/dkms/{name}")),
            format!("MAKE[0]='true {name}; cp -r prebuilt/${{kernelver}}/. .'\n"),
        );
        machine.dkms("build hello/1.0 -k KERNEL --force").exits(0);
        assert_eq!(
            command(&machine, "KERNEL"),
            format!("# command: true {name}; cp -r prebuilt/KERNEL/. .")
        );
    }
    machine.dkms("build hello/1.0 -k SECOND").exits(0);
    assert_eq!(
        command(&machine, "SECOND"),
        "# command: true hello-1.0.conf; cp -r prebuilt/SECOND/. ."
    );
}

#[test]
fn a_file_changes_where_modules_go() {
    let machine = Machine::setup().distribution("ID=none\n").start();
    machine.add(&telling());
    machine.write(
        "/etc/dkms/hello.conf",
        "DEST_MODULE_LOCATION[0]=/extra/ours\n",
    );
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(0)
        .says("Installing /lib/modules/KERNEL/extra/ours/hello.ko\n");
}

#[test]
fn a_file_keeps_from_automatic_installation() {
    let machine = Machine::with_added(&telling());
    machine.write("/etc/dkms/hello.conf", "AUTOINSTALL=no\n");
    machine.dkms("autoinstall -k KERNEL").exits(0).prints("");
}

#[test]
fn files_of_other_packages_and_versions() {
    let machine = Machine::with_added(&telling());
    for name in [
        "other.conf",
        "hello-2.0.conf",
        "hello-1.0-9.9.conf",
        "hello1.conf",
    ] {
        machine.write(format!("/etc/dkms/{name}"), "MAKE[0]=false\n");
    }
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
}

#[test]
fn a_file_that_is_wrong() {
    let machine = Machine::with_added(&telling());
    machine.write("/etc/dkms/hello.conf", "AUTOINSTALL=perhaps\n");
    machine.dkms("build hello/1.0 -k KERNEL").exits(8).warns(
        "
        dkms.conf: Error! Unsupported AUTOINSTALL value 'perhaps'

        Error! Bad conf file.
        File:  does not represent a valid dkms.conf file.
        ",
    );
}

#[test]
fn directives() {
    let machine = Machine::with_added(&telling());
    machine
        .dkms_words(&named_words(&[
            "build",
            "hello/1.0",
            "-k",
            "KERNEL",
            "--directive",
            "MAKE=touch directed; cp -r prebuilt/KERNEL/. .",
            "--directive=STRIP=no",
        ]))
        .exits(0)
        .prints(
            "
            DIRECTIVE: MAKE=\"touch directed; cp -r prebuilt/KERNEL/. .\"
            DIRECTIVE: STRIP=\"no\"
            Module signing is disabled by policy, modules won't be signed

            Building module(s)... done.
            ",
        );
    assert_eq!(
        command(&machine, "KERNEL"),
        "# command: touch directed; cp -r prebuilt/KERNEL/. ."
    );
}

#[test]
fn directives_when_adding_and_installing() {
    let machine = Machine::new();
    machine.source(&telling());
    machine
        .dkms("install hello/1.0 -k KERNEL --directive POST_INSTALL=nothing.sh")
        .exits(0)
        .prints_both(
            "
            DIRECTIVE: POST_INSTALL=\"nothing.sh\"
            Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0

            Module signing is disabled by policy, modules won't be signed

            Building module(s)... done.
            Installing /lib/modules/KERNEL/updates/dkms/hello.ko

            Running depmod... done.
            ",
            "
            Warning: The post_install script is not executable.
            ",
        );
}

#[test]
fn directives_of_a_conf() {
    // The variables of a kernel's configuration are not listed to find these.
    let source = telling().conf(". $kernel_source_dir/.config; CONFIG_MODULES=y");
    let source = source.conf("DKMS_DIRECTIVE_STRIP=\"STRIP=no\"");
    let mut source = source.conf("DKMS_DIRECTIVE_ONE=\"POST_BUILD=after.sh\"");
    for release in super::kernel::releases() {
        source = source.file(
            &format!("prebuilt/{release}/hello.ko"),
            super::modules::unstripped(),
        );
    }
    let machine = Machine::with_added(&source);
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .says("Warning: The post_build script is not executable.");
    let module = named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko");
    assert_eq!(machine.bytes(module), super::modules::unstripped());
}

#[test]
fn a_conf_elsewhere() {
    let machine = Machine::with_added(&telling());
    machine.write(
        "/home/elsewhere.conf",
        "PACKAGE_NAME=hello\nPACKAGE_VERSION=1.0\nBUILT_MODULE_NAME=one\nDEST_MODULE_NAME=renamed\n\
         DEST_MODULE_LOCATION=/extra\nMAKE='cp prebuilt/${kernelver}/hello.ko one.ko'\n",
    );
    let conf = machine.path("/home/elsewhere.conf");
    let line = format!("install hello/1.0 -k KERNEL -c {}", conf.display());
    machine
        .dkms(line)
        .exits(0)
        .says("Installing /lib/modules/KERNEL/updates/dkms/renamed.ko\n");
    assert_eq!(
        machine.installed("updates/dkms/renamed.ko"),
        Module::One.bytes()
    );
}

/// Words in which kernels are given by the names that the output is redacted to.
fn named_words<'a>(words: &[&'a str]) -> Vec<&'a str> {
    words
        .iter()
        .map(|word| &*Box::leak(named(word).into_boxed_str()))
        .collect()
}
