//! The Debian package, by apt and dpkg, with a real package of modules.

use std::{fs, path::Path};

use crate::{
    machine::Machine,
    made::{made, of_corpus},
};

/// A package that excludes kernels without Video4Linux.
const MODULE: &str = "v4l2loopback";

/// A copy of this machine that has the packages at hand.
fn machine() -> Machine {
    Machine::new(&[&made().deb, &of_corpus("v4l2loopback-dkms")])
}

/// The kernels with headers that the module is for, and those that it is not for.
fn kernels() -> (Vec<String>, Vec<String>) {
    let mut kernels: Vec<String> = fs::read_dir("/lib/modules")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|kernel| build(kernel).join("include").exists())
        .collect();
    kernels.sort();
    kernels.into_iter().partition(|kernel| {
        fs::read_to_string(build(kernel).join(".config"))
            .unwrap()
            .contains("\nCONFIG_VIDEO_V4L2")
    })
}

fn build(kernel: &str) -> std::path::PathBuf {
    Path::new("/lib/modules").join(kernel).join("build")
}

fn module(kernel: &str) -> String {
    format!("/lib/modules/{kernel}/updates/dkms/{MODULE}.ko")
}

/// The kernels that dkms says the module is installed for.
fn installed(machine: &Machine) -> Vec<String> {
    machine
        .expect("dkms status")
        .lines()
        .filter(|line| line.starts_with(&format!("{MODULE}/")) && line.contains(": installed"))
        .map(|line| line.split(", ").nth(1).unwrap().to_owned())
        .collect()
}

#[test]
fn modules_come_and_go_with_packages_and_kernels() {
    let (kernels, excluded) = kernels();
    let machine = machine();
    machine.expect("apt purge dkms; rm -rf /var/lib/dkms; listing >/tmp/before");

    let text = machine.expect("apt install /packages/kiln_*.deb /packages/v4l2loopback-dkms_*.deb");
    for kernel in &kernels {
        machine.expect(&format!(
            "modinfo -F vermagic {} | grep -q '^{kernel} '",
            module(kernel)
        ));
    }
    for kernel in &excluded {
        machine.expect(&format!("test ! -e {}", module(kernel)));
    }
    assert_eq!(installed(&machine), kernels, "{text}");
    assert_eq!(machine.expect("dkms --version"), "dkms-3.4.3\n");

    let kernel = &kernels[0];
    for (removed_by, installed_by) in [
        ("/etc/kernel/prerm.d/dkms", "/etc/kernel/postinst.d/dkms"),
        (
            "/etc/kernel/preinst.d/dkms",
            "/etc/kernel/header_postinst.d/dkms",
        ),
        (
            "/usr/lib/kernel/install.d/40-dkms.install remove",
            "/usr/lib/kernel/install.d/40-dkms.install add",
        ),
    ] {
        machine.expect(&format!(
            "{removed_by} {kernel}; test ! -e {}",
            module(kernel)
        ));
        assert_eq!(installed(&machine), kernels[1..], "{removed_by}");
        machine.expect(&format!(
            "{installed_by} {kernel}; test -e {}",
            module(kernel)
        ));
        assert_eq!(installed(&machine), kernels, "{installed_by}");
    }

    let text = machine.expect("apt purge kiln v4l2loopback-dkms");
    let left = machine.expect("listing >/tmp/after; diff /tmp/before /tmp/after || true");
    assert_eq!(left, "", "{text}");
    let left = machine.expect("find /var/cache -maxdepth 1 -name kiln");
    assert_eq!(left, "");
}

#[test]
fn a_kernel_without_headers_is_no_failure_of_its_package() {
    let machine = machine();
    machine.expect("apt install /packages/kiln_*.deb");
    let text = machine.expect("mkdir /lib/modules/9.9.9; /etc/kernel/postinst.d/dkms 9.9.9");
    assert_eq!(
        text,
        "Automatic installation of modules for kernel 9.9.9 was skipped since the kernel headers \
         for this kernel do not seem to be installed.\n"
    );
    machine.expect("/etc/kernel/preinst.d/dkms 9.9.9; /etc/kernel/prerm.d/dkms 9.9.9");
    assert_eq!(machine.run("/usr/lib/dkms/dkms_autoinstaller").0, 2);
    machine.expect("/usr/lib/dkms/dkms_autoinstaller stop");
}

#[test]
fn what_dkms_has_built_is_taken_over_with_its_settings() {
    let (kernels, _) = kernels();
    let machine = machine();
    machine.expect("apt install /packages/v4l2loopback-dkms_*.deb");
    let sums = format!("sha256sum /lib/modules/*/updates/dkms/{MODULE}.ko");
    let built_by_dkms = machine.expect(&sums);
    machine.expect("echo parallel_jobs=1 >>/etc/dkms/framework.conf");

    machine.expect("apt -o Dpkg::Options::=--force-confold install /packages/kiln_*.deb");
    assert_eq!(machine.expect(&sums), built_by_dkms);
    assert_eq!(installed(&machine), kernels);
    let dpkg =
        machine.expect("dpkg-query -W -f '${binary:Package} ${db:Status-Status}\\n' dkms kiln");
    assert_eq!(dpkg, "dkms config-files\nkiln installed\n");

    // What both call theirs must survive that one of them goes.
    machine.expect("dpkg --purge dkms");
    machine.expect("tail -n 1 /etc/dkms/framework.conf | grep -qx parallel_jobs=1");
    machine.expect("test -x /etc/kernel/postinst.d/dkms -a -x /etc/kernel/prerm.d/dkms");
    assert_eq!(installed(&machine), kernels);
}

#[test]
fn what_somebody_has_added_by_hand_survives_a_purge_but_keys_do_not() {
    let machine = machine();
    machine.expect(
        "apt purge dkms; rm -rf /var/lib/dkms; apt install /packages/kiln_*.deb
         mkdir /usr/src/own-1.0; cd /usr/src/own-1.0
         printf '%s\\n' PACKAGE_NAME=own PACKAGE_VERSION=1.0 BUILT_MODULE_NAME=own \
             DEST_MODULE_LOCATION=/updates >dkms.conf
         dkms add own/1.0
         touch /var/lib/dkms/mok.key /var/lib/dkms/mok.pub",
    );
    let text = machine.expect("apt purge kiln");
    assert!(
        text.contains("still registered in /var/lib/dkms: own/1.0"),
        "{text}"
    );
    assert_eq!(machine.expect("ls /var/lib/dkms"), "own\n");
}

#[test]
fn a_module_that_does_not_build_is_the_failure_of_its_package() {
    let (kernels, _) = kernels();
    let machine = machine();
    let (code, text) = machine.run(
        "dpkg-deb -R /packages/v4l2loopback-dkms_*.deb /tmp/broken
         echo '#error broken' >>/tmp/broken/usr/src/v4l2loopback-0.12.7/v4l2loopback.c
         dpkg-deb -b /tmp/broken /tmp/broken.deb
         apt install /packages/kiln_*.deb /tmp/broken.deb",
    );
    assert_ne!(code, 0, "{text}");
    let failed = format!(
        "Builds for the following kernel(s) failed: {}\n",
        kernels.join(" ")
    );
    assert!(text.contains(&failed), "{text}");
    assert_eq!(installed(&machine), [""; 0]);
}

#[test]
fn what_does_not_want_to_be_installed_unasked_is_only_added() {
    let machine = machine();
    let text = machine.expect(
        "apt install /packages/kiln_*.deb
         echo 'AUTOINSTALL=' >/etc/dkms/v4l2loopback.conf
         apt install /packages/v4l2loopback-dkms_*.deb",
    );
    assert!(
        text.contains("Not building the v4l2loopback module"),
        "{text}"
    );
    assert_eq!(
        machine.expect("dkms status"),
        "v4l2loopback/0.12.7: added\n"
    );

    let text = machine.expect(
        "apt remove v4l2loopback-dkms
         touch /etc/dkms/no-autoinstall
         apt install /packages/v4l2loopback-dkms_*.deb",
    );
    assert!(text.contains("has been disabled"), "{text}");
    assert_eq!(machine.expect("dkms status"), "");
}
