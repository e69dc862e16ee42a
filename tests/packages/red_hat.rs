//! The RPM package, by rpm itself.

use std::{fs, path::Path};

use crate::{
    machine::Machine,
    made::{made, make},
};

/// A copy of this machine that has the package at hand, and no dkms.
fn machine() -> Machine {
    let machine = Machine::new(&[&made().rpm]);
    machine.expect(
        "command -v rpm >/dev/null || { echo 'rpm is not here; `make test` installs it'; false; }",
    );
    machine.expect("apt purge dkms; rm -rf /var/lib/dkms");
    machine
}

#[test]
fn rpm_reads_what_it_is_and_stands_in_for() {
    let machine = machine();
    let text = machine.expect("rpm -K --nosignature /packages/kiln-*.rpm");
    assert!(text.contains("digests OK"), "{text}");

    let query = |what: &str| machine.expect(&format!("rpm -qp {what} /packages/kiln-*.rpm"));
    let has = |what: &str, line: &str| {
        let text = query(what);
        assert!(
            text.lines().any(|l| l == line),
            "{what}: no {line:?} in\n{text}"
        );
    };
    has("--provides", "dkms = 3.4.3");
    has("--conflicts", "dkms");
    has("--obsoletes", "dkms <= 3.4.3-99");
    has("--requires", "bubblewrap");
    has("--requires", "libc.so.6()(64bit)");
    has("-l", "/usr/sbin/dkms");
    has("-l", "/usr/lib/systemd/system/dkms.service");
    has("-l", "/usr/lib/kernel/install.d/40-dkms.install");
    has("-l", "/usr/lib/dkms/common.postinst");
    has("--configfiles", "/etc/dkms/framework.conf");
    assert!(!query("-l").contains("/etc/kernel"));
    assert!(query("--scripts").contains("systemctl --no-reload preset dkms.service"));
}

#[test]
fn it_installs_and_removes_all_of_itself() {
    let machine = machine();
    machine.expect("listing >/tmp/before; mkdir -p /var/cache/kiln");
    machine.expect("rpm -i --nodeps /packages/kiln-*.rpm");
    let text = machine.expect("rpm -V --nodeps kiln");
    assert_eq!(text, "");
    assert!(machine.expect("kiln --version").starts_with("kiln "));
    assert_eq!(machine.expect("dkms --version"), "dkms-3.4.3\n");
    machine.expect("rpm -e --nodeps kiln");
    // Its own notes are the business of rpm.
    let left = machine.expect(
        "listing >/tmp/after
         diff /tmp/before /tmp/after | grep -v -e '/var/lib/rpm' -e '^[0-9]' || true",
    );
    assert_eq!(left, "");
    assert_eq!(machine.expect("find /var/cache -maxdepth 1 -name kiln"), "");
}

#[test]
fn it_is_the_same_when_made_again() {
    let first = fs::read(&made().rpm).unwrap();
    let again = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages-again");
    make("rpm", &again);
    let second = fs::read(again.join(made().rpm.file_name().unwrap())).unwrap();
    assert!(first == second, "the two differ");
}
