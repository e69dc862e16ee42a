//! Who builds, where, when and with how many processes does not show in a module.
//!
//! "When" is as far as it goes without setting the machine's clock: the dates of all source
//! files differ. That no date gets into a module is kiln's doing (SOURCE_DATE_EPOCH and
//! KBUILD_BUILD_TIMESTAMP), and the two builds here lie at least some seconds apart.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    kiln::{self, Run, build, open_directory, run},
    matrix::matrix,
    provisions::{deb, kernels, name, package, program},
};

const PACKAGES: [&str; 3] = ["acpi-call", "v4l2loopback", "rapiddisk"];

#[test]
fn another_user_directory_date_and_number_of_processes_make_the_same_modules() {
    let newest = &kernels()[..1];
    let one = open_directory();
    let first = {
        let copies = copy_of_packages(&one.path().join("a"), "2001-02-03 04:05:06");
        let mut command = build(&one.path().join("cache"), &copies, newest);
        command.args(["-j", "1"]);
        run(command)
    };

    let two = open_directory();
    let second = {
        let copies = copy_of_packages(&two.path().join("a/longer/path"), "2031-12-11 10:09:08");
        // The binary may lie where only its owner can go.
        let binary = two.path().join("kiln");
        fs::copy(kiln::PROGRAM, &binary).unwrap();
        let cache = two.path().join("cache");
        fs::create_dir(&cache).unwrap();
        let mut command = other_user(&cache);
        command.arg(&binary);
        kiln::arguments(&mut command, &cache, &copies, newest);
        command.args(["-j", "3"]);
        run(command)
    };

    assert_same(&first, &second);
    assert_eq!(
        first.digests(),
        of_matrix(&first),
        "and as the matrix has them"
    );
}

#[test]
fn a_package_file_makes_what_its_directory_makes() {
    let newest = &kernels()[..1];
    let cache = open_directory();
    let debs: Vec<PathBuf> = PACKAGES.map(deb).to_vec();
    let from_files = run(build(&cache.path().join("cache"), &debs, newest));
    assert!(from_files.cells().values().all(|c| c["result"] == "built"));
    assert_eq!(from_files.digests(), of_matrix(&from_files));
}

/// The digests that the matrix has for the cells of a run.
fn of_matrix(run: &Run) -> std::collections::BTreeMap<(kiln::Cell, String), String> {
    let cells = run.cells();
    let mut digests = matrix().wide.digests();
    digests.retain(|(cell, _), _| cells.contains_key(cell));
    digests
}

fn assert_same(first: &Run, second: &Run) {
    for run in [first, second] {
        assert!(
            run.cells().values().all(|cell| cell["result"] == "built"),
            "{}",
            run.summary
        );
    }
    assert_eq!(first.digests(), second.digests());
    assert!(first.digests().len() >= PACKAGES.len());
}

/// Copies the packages below a directory and gives every file a date.
fn copy_of_packages(to: &Path, date: &str) -> Vec<PathBuf> {
    fs::create_dir_all(to).unwrap();
    let copies = PACKAGES.map(|prefix| {
        let from = package(prefix);
        let copy = to.join(name(&from));
        let copied = Command::new("cp")
            .args(["-R", "--"])
            .args([&from, &copy])
            .status();
        assert!(copied.unwrap().success());
        copy
    });
    let dated = Command::new("find")
        .arg(to)
        .args(["-exec", "touch", "-h", "-d", date, "{}", "+"])
        .status();
    assert!(dated.unwrap().success());
    copies.to_vec()
}

/// Starts the program that follows as `nobody`, who is given the directory.
fn other_user(directory: &Path) -> Command {
    const NOBODY: u32 = 65534;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    let id = NOBODY.to_string();
    let mut prefix = if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(directory, Some(NOBODY), Some(NOBODY)).unwrap();
        program("setpriv")
    } else {
        let owned = program("sudo")
            .args(["-n", "chown", &format!("{id}:{id}")])
            .arg(directory)
            .status();
        assert!(
            owned.unwrap().success(),
            "a second user needs root or sudo without a password"
        );
        let mut sudo = program("sudo");
        sudo.args(["-n", "--preserve-env=KILN_CACHE", "setpriv"]);
        sudo
    };
    prefix.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]);
    prefix
}
