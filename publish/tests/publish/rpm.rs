//! The RPM package, by rpm.

use std::path::Path;

use kiln_publish::{Capability, Compression, Document, Family};

use crate::{
    machine::Machine,
    made::{self, MODULES, expect, kernel, package, written},
};

/// A kernel of Fedora that this machine does not have.
const OTHER: &str = "6.5.6-300.fc39.x86_64";

#[test]
fn rpm_reads_what_is_in_it() {
    for compression in [
        Compression::None,
        Compression::Gzip,
        Compression::Xz,
        Compression::Zstd,
    ] {
        let mut package = package(Family::Fedora);
        package.compression = compression;
        package.id.kernel = OTHER.to_owned();
        package.kernel_is = Family::Fedora.kernel(OTHER);
        package.requires = vec![Capability::named("kmod-other")];
        package.documents = vec![Document {
            name: "provenance.json".to_owned(),
            content: b"{}\n".to_vec(),
        }];
        let (_directory, path) = written(&package);
        let file = path.to_str().unwrap();
        let architecture = std::env::consts::ARCH;
        assert!(
            file.ends_with(&format!(
                "/kmod-kiln_pair-{OTHER}-1.0_rc2-1.{architecture}.rpm"
            )),
            "{file}"
        );
        let checked = expect("rpm", &["-K", "--nosignature", file]);
        assert!(checked.contains("digests OK"), "{checked}");
        assert_eq!(
            expect("rpm", &["-qpl", file]),
            format!(
                "/usr/lib/modules/{OTHER}/extra\n\
                 /usr/lib/modules/{OTHER}/extra/kiln_one.ko\n\
                 /usr/lib/modules/{OTHER}/extra/kiln_two.ko\n\
                 /usr/share/doc/kmod-kiln_pair-{OTHER}\n\
                 /usr/share/doc/kmod-kiln_pair-{OTHER}/provenance.json\n\
                 /usr/share/licenses/kmod-kiln_pair-{OTHER}\n\
                 /usr/share/licenses/kmod-kiln_pair-{OTHER}/COPYING\n"
            )
        );
        let lines = |what: &str| -> Vec<String> {
            expect("rpm", &["-qp", what, file])
                .lines()
                .map(str::to_owned)
                .collect()
        };
        let requires = lines("--requires");
        for wanted in [
            &format!("kernel-uname-r = {OTHER}"),
            "kmod",
            "kmod-other",
            "/bin/sh",
        ] {
            assert!(
                requires.iter().any(|line| line == wanted),
                "{wanted}: {requires:?}"
            );
        }
        let provides = lines("--provides");
        for wanted in [
            "kiln_pair-kmod = 1.0_rc2-1",
            &format!("kernel-modules-for-kernel = {OTHER}"),
        ] {
            assert!(
                provides.iter().any(|line| line == wanted),
                "{wanted}: {provides:?}"
            );
        }
        assert_eq!(lines("--conflicts"), ["dkms-kiln_pair", "kiln_pair-dkms"]);
        let scripts = expect("rpm", &["-qp", "--scripts", file]);
        for when in ["postinstall", "postuninstall"] {
            assert!(
                scripts.contains(&format!(
                    "{when} scriptlet (using /bin/sh):\nkernel='{OTHER}'\n"
                )),
                "{scripts}"
            );
        }
        assert_eq!(
            scripts.matches("    depmod -a \"$kernel\" || :\n").count(),
            2,
            "{scripts}"
        );
        let about = expect(
            "rpm",
            &[
                "-qp",
                "--qf",
                "%{BUILDHOST} %{BUILDTIME} %{LICENSE}\n[%{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEMTIMES}\n]",
                file,
            ],
        );
        let (first, files) = about.split_once('\n').unwrap();
        assert_eq!(first, "localhost 1700000000 GPL");
        assert!(
            files.lines().all(|line| line == "root:root 1700000000"),
            "{files}"
        );
    }
}

#[test]
fn kernels_of_which_any_will_do_are_one_dependency() {
    let mut package = package(Family::Suse);
    package.kernel_is.push(Capability::named("kernel-own"));
    let (_directory, path) = written(&package);
    let requires = expect("rpm", &["-qp", "--requires", path.to_str().unwrap()]);
    let wanted = format!("(kernel-uname-r = {} or kernel-own)\n", kernel());
    assert!(requires.contains(&wanted), "{requires}");
    let listed = expect("rpm", &["-qpl", path.to_str().unwrap()]);
    assert!(
        listed.starts_with(&format!("/usr/lib/modules/{}/updates\n", kernel())),
        "{listed}"
    );
}

#[test]
fn rpm_installs_it_modinfo_finds_the_module_and_an_erasure_leaves_nothing() {
    let (_directory, path) = written(&package(Family::Fedora));
    let machine = Machine::new(&[Path::new(&path)]);
    let (kernel, name) = (kernel(), made::name(Family::Fedora));
    machine.expect(&format!(
        "mkdir -p /usr/share/licenses; cd /lib/modules/{kernel}; touch modules.order modules.builtin; depmod {kernel}; listing >/tmp/before"
    ));
    let (code, text) = machine.run("rpm -i /packages/*.rpm");
    assert_ne!(code, 0, "{text}");
    assert!(
        text.contains(&format!("kernel-uname-r = {kernel} is needed")),
        "{text}"
    );

    machine.expect("rpm -i --nodeps /packages/*.rpm");
    for module in MODULES {
        let found = machine.expect(&format!("modinfo -k {kernel} -F filename {module}"));
        assert_eq!(found, format!("/lib/modules/{kernel}/extra/{module}.ko\n"));
    }
    assert_eq!(machine.expect(&format!("rpm -V --nodeps {name}")), "");
    machine.expect(&format!("rpm -e --nodeps {name}"));
    let (code, text) = machine.run(&format!("modinfo -k {kernel} {}", MODULES[0]));
    assert_ne!(code, 0, "{text}");
    machine.expect(&format!(
        "! grep {} /lib/modules/{kernel}/modules.dep",
        MODULES[0]
    ));
    // Its own notes are the business of rpm.
    let left = machine.expect(
        "listing >/tmp/after
         diff /tmp/before /tmp/after | grep -v -e '/var/lib/rpm' -e '^[0-9]' || true",
    );
    assert_eq!(left, "");
}
