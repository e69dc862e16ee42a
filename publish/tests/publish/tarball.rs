//! DKMS tarballs, by the distribution's own dkms.

use std::{fs, os::unix::fs::symlink, path::Path};

use kiln_publish::{BuildFiles, DkmsTarball, KernelBuild, TarballContent, Times};
use tempfile::TempDir;

use crate::{
    machine::Machine,
    made::{DATE, MODULES, expect, kernel, module},
};

const MACHINE: &str = std::env::consts::ARCH;

/// A directory with the source of a package, and a log of a build.
fn source() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir_all(root.join("source/sub")).unwrap();
    fs::write(
        root.join("source/dkms.conf"),
        "PACKAGE_NAME=kiln_pair\nPACKAGE_VERSION=1.0\n\
         BUILT_MODULE_NAME[0]=kiln_one\nDEST_MODULE_LOCATION[0]=/updates\n\
         BUILT_MODULE_NAME[1]=kiln_two\nDEST_MODULE_LOCATION[1]=/updates\n\
         MAKE=false\n",
    )
    .unwrap();
    fs::write(root.join("source/sub/configure"), "#!/bin/sh\n").unwrap();
    expect(
        "chmod",
        &["755", root.join("source/sub/configure").to_str().unwrap()],
    );
    symlink("sub/configure", root.join("source/link")).unwrap();
    fs::write(root.join("make.log"), "made\n").unwrap();
    directory
}

fn tarball(root: &Path, binaries_only: bool) -> DkmsTarball {
    let mut files: Vec<(String, _)> = MODULES
        .map(|name| (format!("module/{name}.ko"), module(name)))
        .into();
    files.push(("log/make.log".to_owned(), root.join("make.log")));
    let source = root.join("source");
    DkmsTarball {
        name: "kiln_pair".to_owned(),
        version: "1.0".to_owned(),
        content: if binaries_only {
            TarballContent::Binaries {
                conf: source.join("dkms.conf"),
            }
        } else {
            TarballContent::Source(source)
        },
        builds: vec![KernelBuild {
            kernel: kernel().to_owned(),
            machine: MACHINE.to_owned(),
            files: BuildFiles::Named(files),
        }],
        times: Times::At(DATE),
    }
}

/// A machine with a tarball and no package of modules.
fn machine(tarball: &Path) -> Machine {
    let machine = Machine::new(&[tarball]);
    machine
        .expect("rm -rf /var/lib/dkms /usr/src/kiln_pair-1.0; mkdir /var/lib/dkms; dkms --version");
    machine
}

fn is_installed(machine: &Machine) {
    machine.expect(&format!("dkms install kiln_pair/1.0 -k {}", kernel()));
    for name in MODULES {
        let kernel = kernel();
        let wanted = expect("sha256sum", &[module(name).to_str().unwrap()]);
        let found = machine.expect(&format!(
            "sha256sum </lib/modules/{kernel}/updates/dkms/{name}.ko"
        ));
        assert_eq!(found.split(' ').next(), wanted.split(' ').next());
    }
}

#[test]
fn dkms_loads_a_source_with_its_modules() {
    let root = source();
    let path = tarball(root.path(), false).write(root.path()).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert_eq!(
        name,
        format!("kiln_pair-1.0-kernel{}-{MACHINE}.dkms.tar.gz", kernel())
    );
    let machine = machine(&path);
    machine.expect("dkms ldtarball /packages/*.dkms.tar.gz");
    assert_eq!(
        machine.expect("dkms status"),
        format!("kiln_pair/1.0, {}, {MACHINE}: built\n", kernel())
    );
    assert_eq!(
        machine.expect("readlink /usr/src/kiln_pair-1.0/link; cat /usr/src/kiln_pair-1.0/link"),
        "sub/configure\n#!/bin/sh\n"
    );
    machine.expect(
        "test -x /usr/src/kiln_pair-1.0/sub/configure -a ! -x /usr/src/kiln_pair-1.0/dkms.conf",
    );
    is_installed(&machine);
}

#[test]
fn dkms_loads_modules_without_their_source() {
    let root = source();
    let path = tarball(root.path(), true).write(root.path()).unwrap();
    let machine = machine(&path);
    // dkms says that there was no source by this code, and has loaded everything.
    let (code, text) = machine.run("dkms ldtarball /packages/*.dkms.tar.gz");
    assert_eq!(code, 1, "{text}");
    assert_eq!(
        machine.expect("dkms status"),
        format!("kiln_pair/1.0, {}, {MACHINE}: built\n", kernel())
    );
    is_installed(&machine);
}

#[test]
fn dkms_makes_the_same_of_what_it_has_loaded() {
    for (binaries_only, option) in [(false, ""), (true, "--binaries-only")] {
        let root = source();
        let path = tarball(root.path(), binaries_only)
            .write(root.path())
            .unwrap();
        let machine = machine(&path);
        if binaries_only {
            // So that dkms registers it.
            machine.expect("mkdir /usr/src/kiln_pair-1.0");
            machine.expect("tar -xOf /packages/*.dkms.tar.gz ./dkms_binaries_only/dkms.conf >/usr/src/kiln_pair-1.0/dkms.conf");
        }
        machine.expect("dkms ldtarball /packages/*.dkms.tar.gz");
        machine.expect(&format!(
            "dkms mktarball kiln_pair/1.0 -k {} {option}",
            kernel()
        ));
        let difference = machine.expect(
            "cd /tmp; mkdir ours theirs
             tar -C ours -xf /packages/*.dkms.tar.gz
             tar -C theirs -xf /var/lib/dkms/kiln_pair/1.0/tarball/*.dkms.tar.gz
             diff -r --no-dereference ours theirs
             for side in ours theirs; do find $side -mindepth 1 -printf '%y %m %P %l\\n' | sort >$side.list; done
             diff ours.list theirs.list
             ls /var/lib/dkms/kiln_pair/1.0/tarball; ls /packages",
        );
        let names: Vec<&str> = difference.lines().collect();
        assert_eq!(names.len(), 2, "{difference}");
        assert_eq!(names[0], names[1]);
    }
}

#[test]
fn it_is_the_same_wherever_it_is_made() {
    for binaries_only in [false, true] {
        let (one, two) = (source(), source());
        expect(
            "touch",
            &[
                "-d",
                "2001-01-01",
                two.path().join("source/dkms.conf").to_str().unwrap(),
            ],
        );
        expect(
            "chmod",
            &["600", two.path().join("source/dkms.conf").to_str().unwrap()],
        );
        let write = |root: &TempDir| {
            let path = tarball(root.path(), binaries_only)
                .write(root.path())
                .unwrap();
            fs::read(path).unwrap()
        };
        assert!(write(&one) == write(&two));
    }
}

#[test]
fn members_are_sorted_and_belong_to_root() {
    let root = source();
    let path = root.path().join("ours.tar.xz");
    let mut tarball = tarball(root.path(), false);
    tarball.write_to(&path).unwrap();
    let listed = expect("tar", &["-tvf", path.to_str().unwrap()]);
    let kernel = kernel();
    let wanted = format!(
        "drwxr-xr-x ./\n\
         drwxr-xr-x ./dkms_main_tree/\n\
         drwxr-xr-x ./dkms_main_tree/{kernel}/\n\
         drwxr-xr-x ./dkms_main_tree/{kernel}/{MACHINE}/\n\
         drwxr-xr-x ./dkms_main_tree/{kernel}/{MACHINE}/log/\n\
         -rw-r--r-- ./dkms_main_tree/{kernel}/{MACHINE}/log/make.log\n\
         drwxr-xr-x ./dkms_main_tree/{kernel}/{MACHINE}/module/\n\
         -rw-r--r-- ./dkms_main_tree/{kernel}/{MACHINE}/module/kiln_one.ko\n\
         -rw-r--r-- ./dkms_main_tree/{kernel}/{MACHINE}/module/kiln_two.ko\n\
         drwxr-xr-x ./dkms_source_tree/\n\
         -rw-r--r-- ./dkms_source_tree/dkms.conf\n\
         lrwxrwxrwx ./dkms_source_tree/link\n\
         drwxr-xr-x ./dkms_source_tree/sub/\n\
         -rwxr-xr-x ./dkms_source_tree/sub/configure\n"
    );
    let mut found = String::new();
    for line in listed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[1], words[3]), ("root/root", "2023-11-14"), "{line}");
        found.push_str(&format!("{} {}\n", words[0], words[5]));
    }
    assert_eq!(found, wanted);

    // As it is on disk, on request; a tarball in the source is not in itself.
    tarball.times = Times::Kept;
    let inside = root.path().join("source/ours.tar");
    expect(
        "chmod",
        &[
            "600",
            root.path().join("source/dkms.conf").to_str().unwrap(),
        ],
    );
    tarball.write_to(&inside).unwrap();
    let listed = expect("tar", &["-tvf", inside.to_str().unwrap()]);
    let conf = listed
        .lines()
        .find(|line| line.ends_with("dkms.conf"))
        .unwrap();
    assert!(conf.starts_with("-rw------- "), "{conf}");
    assert!(
        !listed.contains("2023-11-14") && !listed.contains("ours.tar"),
        "{listed}"
    );
}

#[test]
fn names_are_those_of_dkms() {
    let root = source();
    let mut tarball = tarball(root.path(), false);
    tarball.builds[0].kernel = "6.1".to_owned();
    let mut second = tarball.builds[0].clone();
    second.kernel = "6.2".to_owned();
    tarball.builds.push(second);
    assert_eq!(
        tarball.file_name(),
        format!("kiln_pair-1.0-kernel6.1-{MACHINE}-kernel6.2-{MACHINE}.dkms.tar.gz")
    );
    // dkms counts 200 with the end of the line.
    tarball.builds.truncate(1);
    let rest = "kernel-".len() + MACHINE.len();
    tarball.builds[0].kernel = "k".repeat(199 - rest);
    assert!(tarball.file_name().contains("kernelkkk"));
    tarball.builds[0].kernel = "k".repeat(200 - rest);
    assert_eq!(tarball.file_name(), "kiln_pair-1.0-manykernels.dkms.tar.gz");
    tarball.builds.clear();
    assert_eq!(tarball.file_name(), "kiln_pair-1.0-source-only.dkms.tar.gz");
}
