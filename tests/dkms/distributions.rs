//! What depends on the distribution: where modules go, what an architecture is called,
//! where the command to sign with is, and which key it takes.

use super::{
    kernel::{self, named},
    machine::{Machine, Setup},
    modules::Module,
    source::Source,
};

/// Asserts where a module goes that asks for `/kernel/extra`, and that it goes again.
#[track_caller]
fn goes_to(place: &str, os_release: &str) {
    let machine = Machine::setup()
        .distribution(os_release)
        .program("rpm", "#!/bin/sh\nexit 1\n")
        .start();
    machine.build(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(0)
        .prints(&format!(
            "Installing /lib/modules/KERNEL/{place}/hello.ko\nRunning depmod... done.\n"
        ));
    assert_eq!(
        machine.installed(&format!("{place}/hello.ko")),
        Module::One.bytes()
    );
    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(0)
        .says(&format!("Deleting /lib/modules/KERNEL/{place}/hello.ko\n"));
    machine.holds("/lib/modules", "KERNEL/\nSECOND/\n");
}

#[test]
fn debian() {
    goes_to("updates/dkms", "ID=debian\n");
    goes_to("updates/dkms", "ID=raspbian\nID_LIKE=debian\n");
}

#[test]
fn ubuntu() {
    goes_to("updates/dkms", "NAME=Ubuntu\nID=ubuntu\nID_LIKE=debian\n");
    goes_to("updates/dkms", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n");
}

#[test]
fn fedora() {
    goes_to("extra", "ID=fedora\n");
}

#[test]
fn redhat() {
    let weak = |os_release| {
        let machine = Machine::setup()
            .distribution(os_release)
            .program("rpm", "#!/bin/sh\nexit 1\n")
            .script("/usr/sbin/weak-modules", "#!/bin/sh\ncat >/dev/null\n")
            .start();
        machine.build(&Source::hello());
        machine
            .dkms("install hello/1.0 -k KERNEL")
            .exits(0)
            .says("Installing /lib/modules/KERNEL/extra/hello.ko\n");
    };
    weak("ID=\"rhel\"\nID_LIKE=\"fedora\"\n");
    weak("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n");
    weak("ID='centos'\nID_LIKE='rhel fedora'\n");
}

#[test]
fn arch_linux() {
    goes_to("updates/dkms", "ID=arch\n");
    goes_to("updates/dkms", "ID=manjaro\nID_LIKE=arch\n");
}

#[test]
fn distributions_that_leave_the_place_alone() {
    goes_to("kernel/extra", "ID=alpine\n");
    goes_to("kernel/extra", "ID=gentoo\n");
    goes_to("kernel/extra", "ID=something-new\n");
}

#[test]
fn a_place_that_the_system_sets() {
    for os_release in ["ID=debian\n", "ID=alpine\n"] {
        let machine = Machine::setup()
            .distribution(os_release)
            .file(
                "/etc/sysconfig/module-init-tools",
                "ADDON_MODULES_DIR=addon\n",
            )
            .start();
        machine.build(&Source::hello());
        machine
            .dkms("install hello/1.0 -k KERNEL")
            .exits(0)
            .says("Installing /lib/modules/KERNEL/addon/hello.ko\n");
    }
}

#[test]
fn a_system_that_says_nothing_about_itself() {
    let machine = Machine::setup()
        .file("/usr/lib/os-release", "ID=alpine\n")
        .start();
    machine.shell("rm -f /etc/os-release");
    machine.build(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(0)
        .says("Installing /lib/modules/KERNEL/kernel/extra/hello.ko\n");
    machine.shell("rm -f /usr/lib/os-release");
    machine
        .dkms("uninstall hello/1.0 -k KERNEL")
        .exits(4)
        .warns("\nError! System is missing os-release file.\n");
}

/// rpm that knows one kernel's package, of an architecture of its own.
const RPM: &str = "#!/bin/sh
case \"$*\" in
\"-qf /lib/modules/\"*) echo kernel-core-1 ;;
\"-q --queryformat %{ARCH} kernel-core-1\") printf toaster ;;
*) exit 1 ;;
esac
";

#[test]
fn the_architecture_of_the_package_of_a_kernel() {
    let machine = Machine::setup()
        .distribution("ID=fedora\n")
        .program("rpm", RPM)
        .start();
    machine.add(&Source::hello());
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, toaster: installed\n");
    machine.dkms("build hello/1.0 -k SECOND -a kettle").exits(0);
    machine.dkms("kernel_prerm -k KERNEL").exits(0);
    machine
        .dkms("status")
        .prints("hello/1.0, SECOND, kettle: built\n");
}

#[test]
fn debian_asks_no_rpm() {
    let machine = Machine::setup().program("rpm", RPM).start();
    machine.build(&Source::hello());
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: built\n");
}

#[test]
fn directories_of_rpm_packages_stay() {
    let machine = Machine::setup()
        .distribution("ID=fedora\n")
        .program("rpm", "#!/bin/sh\n[ \"$*\" = '-qf extra' ]\n")
        .start();
    machine.install(&Source::hello());
    machine.dkms("uninstall hello/1.0 -k KERNEL").exits(0);
    machine.holds("/lib/modules", "KERNEL/\nKERNEL/extra/\nSECOND/\n");
}

/// A machine that signs as its distribution does, with nothing there to sign with unless
/// the test puts it there.
fn signing(os_release: &str) -> Setup {
    Machine::setup()
        .file("/etc/dkms/framework.conf", "try_sign_modules=true\n")
        .distribution(os_release)
        .program("rpm", "#!/bin/sh\nexit 1\n")
}

/// What a build prints about signing.
fn prologue(machine: &Machine) -> String {
    machine.add(&Source::hello());
    let run = machine.dkms("build hello/1.0 -k KERNEL").exits(0);
    run.out.split_once("\nBuilding").unwrap().0.to_owned()
}

const SIGN: &str = "#!/bin/sh\necho '~Module signature appended~' >>\"$4\"\n";

#[test]
fn debian_signs_with_what_the_build_tools_bring() {
    let machine = signing("ID=debian\n").start();
    let (series, _) = kernel::release().rsplit_once('.').unwrap();
    let command = format!("/usr/lib/linux-kbuild-{series}/scripts/sign-file");
    let command = if std::path::Path::new(&command).exists() {
        command
    } else {
        "/lib/modules/KERNEL/build/scripts/sign-file".to_owned()
    };
    machine.shell("umask 077; : >/var/lib/dkms/mok.key; : >/var/lib/dkms/mok.pub");
    assert_eq!(
        prologue(&machine),
        format!(
            "Sign command: {command}\nSigning key: /var/lib/dkms/mok.key\n\
             Public certificate (MOK): /var/lib/dkms/mok.pub\n"
        )
    );
}

#[test]
fn others_sign_with_what_the_headers_bring() {
    for os_release in ["ID=fedora\n", "ID=alpine\n", "ID=arch\n"] {
        let machine = signing(os_release).start();
        machine.shell("umask 077; : >/var/lib/dkms/mok.key; : >/var/lib/dkms/mok.pub");
        let prologue = prologue(&machine);
        assert!(
            prologue.starts_with("Sign command: /lib/modules/KERNEL/build/scripts/sign-file\n"),
            "{prologue}"
        );
    }
}

#[test]
fn ubuntu_signs_with_kmodsign_and_the_key_of_the_machine() {
    let machine = signing("ID=ubuntu\n")
        .program("kmodsign", SIGN)
        .secret("/var/lib/shim-signed/mok/MOK.priv", "")
        .file("/var/lib/shim-signed/mok/MOK.der", "")
        .start();
    let kmodsign = machine.path("/bin/kmodsign");
    assert_eq!(
        prologue(&machine),
        format!(
            "Sign command: {}\nSigning key: /var/lib/shim-signed/mok/MOK.priv\n\
             Public certificate (MOK): /var/lib/shim-signed/mok/MOK.der\n",
            kmodsign.display()
        )
    );
}

#[test]
fn ubuntu_without_a_key_of_the_machine() {
    let machine = signing("ID=ubuntu\n").program("kmodsign", SIGN).start();
    let kmodsign = machine.path("/bin/kmodsign");
    assert_eq!(
        prologue(&machine),
        format!(
            "Sign command: {}\nBinary update-secureboot-policy not found, modules won't be signed\n",
            kmodsign.display()
        )
    );
}

#[test]
fn ubuntu_has_a_key_of_the_machine_made() {
    let make = "#!/bin/sh
echo \"$SHIM_NOTRIGGER $*\" >>$TMPDIR/policy
[ \"$1\" != --new-key ] || { umask 077; mkdir -p /var/lib/shim-signed/mok; touch /var/lib/shim-signed/mok/MOK.priv /var/lib/shim-signed/mok/MOK.der; }
";
    let machine = signing("ID=ubuntu\n")
        .program("kmodsign", SIGN)
        .program("update-secureboot-policy", make)
        .file("/var/lib/shim-signed/note", "")
        .start();
    let kmodsign = machine.path("/bin/kmodsign");
    assert_eq!(
        prologue(&machine),
        format!(
            "Sign command: {}\nCertificate or key are missing, generating them using \
             update-secureboot-policy...\nSigning key: /var/lib/shim-signed/mok/MOK.priv\n\
             Public certificate (MOK): /var/lib/shim-signed/mok/MOK.der\n",
            kmodsign.display()
        )
    );
    assert_eq!(machine.read("/tmp/policy"), "y --new-key\n --enroll-key\n");
}

#[test]
fn gentoo_signs_as_portage_is_told() {
    let machine = signing("ID=gentoo\n")
        .script(&named("/usr/src/linux-KERNEL/scripts/sign-file"), SIGN)
        .file(
            "/etc/portage/make.conf",
            "CFLAGS=x\nMODULES_SIGN_KEY=\"/etc/portage/key.pem\"\nMODULES_SIGN_CERT=/etc/portage/cert.pem\n",
        )
        .secret("/etc/portage/key.pem", "")
        .file("/etc/portage/cert.pem", "")
        .start();
    assert_eq!(
        prologue(&machine),
        "Sign command: /usr/src/linux-KERNEL/scripts/sign-file\n\
         Signing key: /etc/portage/key.pem\nPublic certificate (MOK): /etc/portage/cert.pem\n"
    );
}

#[test]
fn gentoo_signs_as_the_environment_tells() {
    let machine = signing("ID=gentoo\n")
        .script(&named("/usr/src/linux-KERNEL/scripts/sign-file"), SIGN)
        .secret("/etc/portage/key.pem", "")
        .start();
    machine.add(&Source::hello());
    machine
        .shell(
            "MODULES_SIGN_KEY=/etc/portage/key.pem MODULES_SIGN_CERT=/etc/portage/key.pem \
             dkms build hello/1.0 -k KERNEL",
        )
        .exits(0)
        .says(
            "\nSigning key: /etc/portage/key.pem\nPublic certificate (MOK): /etc/portage/key.pem\n",
        );
}

#[test]
fn gentoo_signs_as_the_kernel_was() {
    let machine = signing("ID=gentoo\n")
        .script(&named("/usr/src/linux-KERNEL/scripts/sign-file"), SIGN)
        .start();
    machine.add(&Source::hello());
    machine.write(
        "/home/config",
        "CONFIG_MODULE_SIG_HASH=\"sha256\"\nCONFIG_MODULE_SIG_KEY=\"Makefile\"\n",
    );
    let config = machine.path("/home/config");
    let key = std::fs::canonicalize(kernel::tree(kernel::release())).unwrap();
    machine
        .dkms(format!(
            "build hello/1.0 -k KERNEL --config {}",
            config.display()
        ))
        .exits(0)
        .says(&kernel::redacted(&format!(
            "\nSigning key: {0}/Makefile\nPublic certificate (MOK): {0}/Makefile\n",
            key.display()
        )));
}
