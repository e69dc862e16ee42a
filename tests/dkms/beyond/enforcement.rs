//! A kernel that loads signed modules only.

use crate::{machine::Machine, source::Source};

/// A machine with a configuration of a kernel that insists on signatures.
fn machine() -> (Machine, String) {
    let machine = Machine::with_added(&Source::hello());
    machine.write(
        "/home/config",
        "CONFIG_MODULES=y\nCONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_FORCE=y\nCONFIG_MODULE_SIG_HASH=\"sha256\"\n",
    );
    let config = machine.path("/home/config").to_str().unwrap().to_owned();
    (machine, config)
}

#[test]
fn gets_no_unsigned_module() {
    let (machine, config) = machine();
    machine
        .dkms(format!("install hello/1.0 -k KERNEL --config {config}"))
        .exits(6)
        .says("Error! Kernel KERNEL loads signed modules only (CONFIG_MODULE_SIG_FORCE).\n")
        .says("dkms generate_mok");
    machine.holds("/lib/modules", "KERNEL/\nSECOND/\n");
    machine.dkms("install hello/1.0 -k SECOND").exits(0);
}

#[test]
fn gets_one_by_force() {
    let (machine, config) = machine();
    machine
        .dkms(format!(
            "install hello/1.0 -k KERNEL --force --config {config}"
        ))
        .exits(0);
}

#[test]
fn gets_a_signed_one() {
    let (machine, config) = machine();
    machine.write("/etc/dkms/framework.conf", "try_sign_modules=true\n");
    machine
        .dkms(format!("install hello/1.0 -k KERNEL --config {config}"))
        .exits(0)
        .says("Signing module /var/lib/dkms/hello/1.0/build/hello.ko\n");
}
