//! The Debian package, by dpkg.

use std::path::Path;

use kiln_publish::{Capability, Compression, Document, Family, ModuleFile};

use crate::{
    machine::Machine,
    made::{self, MODULES, expect, kernel, package, written},
};

/// Shell functions: a package in the place of the kernel's, and of any other.
const PACKAGES: &str = r#"
pack() { # NAME [CONTROL]
    mkdir -p "/tmp/$1/DEBIAN"
    printf '%s\n' "Package: $1" 'Version: 1' 'Architecture: all' 'Maintainer: x <x@y>' 'Description: x' ${2:+"$2"} \
        >"/tmp/$1/DEBIAN/control"
    dpkg-deb --build "/tmp/$1" "/tmp/$1.deb" >/dev/null
}
image() { # KERNEL
    mkdir -p "/tmp/linux-image-$1/lib/modules/$1/kernel"
    touch "/tmp/linux-image-$1/lib/modules/$1/modules.order" "/tmp/linux-image-$1/lib/modules/$1/modules.builtin"
    pack "linux-image-$1"
    dpkg -i "/tmp/linux-image-$1.deb"
    depmod "$1"
}
"#;

fn machine(package: &Path) -> Machine {
    Machine::new(&[package])
}

#[test]
fn dpkg_installs_it_modinfo_finds_the_module_and_a_purge_leaves_nothing() {
    let (_directory, path) = written(&package(Family::Debian));
    let machine = machine(&path);
    let (kernel, name) = (kernel(), made::name(Family::Debian));
    machine.expect(&format!("{PACKAGES} image {kernel}; listing >/tmp/before"));

    machine.expect("dpkg -i /packages/*.deb");
    for module in MODULES {
        let found = machine.expect(&format!("modinfo -k {kernel} -F filename {module}"));
        assert_eq!(
            found,
            format!("/lib/modules/{kernel}/updates/dkms/{module}.ko\n")
        );
    }
    // dpkg knows each file's sum.
    assert_eq!(machine.expect(&format!("dpkg -V {name}")), "");
    assert_eq!(
        machine.expect(&format!("dpkg -s {name} | grep ^Status")),
        "Status: install ok installed\n"
    );

    machine.expect(&format!("dpkg -r {name}"));
    let (code, text) = machine.run(&format!("modinfo -k {kernel} {}", MODULES[0]));
    assert_ne!(code, 0, "{text}");
    machine.expect(&format!(
        "! grep {} /lib/modules/{kernel}/modules.dep",
        MODULES[0]
    ));
    let text = machine.expect(&format!("dpkg -P {name}"));
    let left = machine.expect("listing >/tmp/after; diff /tmp/before /tmp/after || true");
    assert_eq!(left, "", "{text}");
}

#[test]
fn it_wants_its_kernel_and_without_it_makes_no_index() {
    let (_directory, path) = written(&package(Family::Debian));
    let machine = machine(&path);
    let (kernel, name) = (kernel(), made::name(Family::Debian));
    machine.expect("listing >/tmp/before");
    let (code, text) = machine.run("dpkg -i /packages/*.deb");
    assert_ne!(code, 0, "{text}");
    assert!(text.contains(&format!("linux-image-{kernel}")), "{text}");

    machine.expect("dpkg --force-depends -i /packages/*.deb");
    machine.expect(&format!(
        "test -e /lib/modules/{kernel}/updates/dkms/{}.ko",
        MODULES[0]
    ));
    machine.expect(&format!("test ! -e /lib/modules/{kernel}/modules.dep"));
    machine.expect(&format!("dpkg -P {name}"));
    let left = machine.expect("listing >/tmp/after; diff /tmp/before /tmp/after || true");
    assert_eq!(left, "");
}

#[test]
fn a_later_revision_takes_the_place_of_an_earlier_one_and_apt_keeps_dkms_out() {
    let (directory, _) = written(&package(Family::Debian));
    let mut later = package(Family::Debian);
    later.revision = "2".to_owned();
    later.modules.pop();
    later.write(directory.path()).unwrap();
    let first = directory
        .path()
        .join(package(Family::Debian).file_name().unwrap());
    let second = directory.path().join(later.file_name().unwrap());
    let machine = Machine::new(&[&first, &second]);
    let (kernel, name) = (kernel(), made::name(Family::Debian));
    machine.expect(&format!("{PACKAGES} image {kernel}"));
    machine.expect("dpkg -i /packages/*-1_*.deb; dpkg -i /packages/*-2_*.deb");
    machine.expect(&format!("modinfo -k {kernel} {}", MODULES[0]));
    let (code, text) = machine.run(&format!("modinfo -k {kernel} {}", MODULES[1]));
    assert_ne!(code, 0, "{text}");

    let (code, text) = machine.run(&format!(
        "{PACKAGES} pack kiln-pair-dkms; dpkg -i /tmp/kiln-pair-dkms.deb"
    ));
    assert_ne!(code, 0, "{text}");
    assert!(
        text.contains(&format!("{name} conflicts with kiln-pair-dkms")),
        "{text}"
    );
    // What needs the modules for whatever kernel is content.
    machine.expect(&format!(
        "{PACKAGES} pack user 'Depends: kiln-pair-modules (>= 1.0-rc2)'; dpkg -i /tmp/user.deb"
    ));
}

#[test]
fn a_removal_goes_on_where_depmod_fails() {
    let (_directory, path) = written(&package(Family::Debian));
    let machine = machine(&path);
    let name = made::name(Family::Debian);
    machine.expect(&format!(
        "{PACKAGES} image {}; dpkg -i /packages/*.deb",
        kernel()
    ));
    machine.expect("printf '#!/bin/sh\\necho broken >&2; exit 1\\n' >/usr/local/sbin/depmod; chmod +x /usr/local/sbin/depmod");
    let text = machine.expect(&format!("dpkg -P {name}"));
    assert!(text.contains("broken"), "{text}");
    let (code, text) = machine.run("dpkg -i /packages/*.deb");
    assert_ne!(code, 0, "{text}");
}

#[test]
fn its_fields_and_files_are_those_of_policy() {
    let mut package = package(Family::Debian);
    package.requires = vec![Capability::exactly("other-modules-x", "2-1")];
    package.homepage = Some("https://example.org/pair".to_owned());
    package.documents = vec![Document {
        name: "provenance.json".to_owned(),
        content: b"{}\n".to_vec(),
    }];
    package.modules[1].directory = Some("kernel/drivers/net".to_owned());
    for compression in [
        Compression::None,
        Compression::Gzip,
        Compression::Xz,
        Compression::Zstd,
    ] {
        package.compression = compression;
        let (_directory, path) = written(&package);
        let path = path.to_str().unwrap();
        let kernel = kernel();
        let architecture = expect("dpkg", &["--print-architecture"]);
        let architecture = architecture.trim();
        assert!(
            path.ends_with(&format!(
                "/kiln-pair-modules-{kernel}_1.0-rc2-1_{architecture}.deb"
            )),
            "{path}"
        );

        let fields = expect("dpkg-deb", &["--field", path]);
        let size = fields
            .lines()
            .find(|line| line.starts_with("Installed-Size: "))
            .unwrap();
        assert_eq!(
            fields.replace(size, "Installed-Size: SIZE"),
            format!(
                "Package: kiln-pair-modules-{kernel}\n\
                 Version: 1.0-rc2-1\n\
                 Architecture: {architecture}\n\
                 Maintainer: kiln <kiln@localhost>\n\
                 Installed-Size: SIZE\n\
                 Depends: linux-image-{kernel} | linux-image-{kernel}-unsigned, kmod, other-modules-x (= 2-1)\n\
                 Conflicts: kiln-pair-dkms\n\
                 Provides: kiln-pair-modules (= 1.0-rc2-1)\n\
                 Section: kernel\n\
                 Priority: optional\n\
                 Homepage: https://example.org/pair\n\
                 Description: kiln_pair kernel modules for Linux {kernel}\n \
                 Modules built from the DKMS package kiln_pair 1.0-rc2 for kernel\n \
                 {kernel}: kiln_one, kiln_two.\n"
            )
        );
        let documents = format!("./usr/share/doc/kiln-pair-modules-{kernel}/");
        let modules = format!("./lib/modules/{kernel}/");
        let listed = expect("dpkg-deb", &["--contents", path]);
        let listed: Vec<String> = listed
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                assert_eq!(
                    (words[1], words[3], words[4]),
                    ("root/root", "2023-11-14", "22:13"),
                    "{line}"
                );
                format!("{} {}", words[0], words[5])
            })
            .collect();
        let directory = |path: &str| format!("drwxr-xr-x {path}");
        let file = |path: &str| format!("-rw-r--r-- {path}");
        assert_eq!(
            listed,
            [
                directory("./"),
                directory("./lib/"),
                directory("./lib/modules/"),
                directory(&modules),
                directory(&format!("{modules}kernel/")),
                directory(&format!("{modules}kernel/drivers/")),
                directory(&format!("{modules}kernel/drivers/net/")),
                directory(&format!("{modules}updates/")),
                directory(&format!("{modules}updates/dkms/")),
                directory("./usr/"),
                directory("./usr/share/"),
                directory("./usr/share/doc/"),
                directory(&documents),
                file(&format!("{modules}kernel/drivers/net/kiln_two.ko")),
                file(&format!("{modules}updates/dkms/kiln_one.ko")),
                file(&format!("{documents}changelog.Debian.gz")),
                file(&format!("{documents}copyright")),
                file(&format!("{documents}provenance.json")),
            ]
        );
    }
}

#[test]
fn it_can_be_for_distributions_with_one_directory_of_libraries() {
    let mut package = package(Family::Ubuntu);
    package.layout.modules_root = "/usr/lib/modules".to_owned();
    package.kernel_is.clear();
    package.modules = vec![ModuleFile {
        name: "kiln_one.ko.zst".to_owned(),
        ..package.modules[0].clone()
    }];
    let (_directory, path) = written(&package);
    let path = path.to_str().unwrap();
    let listed = expect("dpkg-deb", &["--contents", path]);
    let module = format!(
        " ./usr/lib/modules/{}/updates/dkms/kiln_one.ko.zst\n",
        kernel()
    );
    assert!(listed.contains(&module), "{listed}");
    assert_eq!(expect("dpkg-deb", &["--field", path, "Depends"]), "kmod\n");
}
