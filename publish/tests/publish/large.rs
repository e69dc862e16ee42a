//! Modules that are larger than what should be in memory.

use std::{
    fs::{self, File},
    path::Path,
};

use kiln_publish::{BuildId, Compression, Family, ModuleFile, ModulePackage};

use crate::made::DATE;

/// A package with a module of so many bytes, all of them zeros.
fn package(directory: &Path, family: Family, size: u64) -> ModulePackage {
    let from = directory.join("large.ko");
    File::create(&from).unwrap().set_len(size).unwrap();
    let id = BuildId {
        name: "large".to_owned(),
        version: "1.0".to_owned(),
        kernel: "6.1".to_owned(),
        machine: "x86_64".to_owned(),
    };
    let module = ModuleFile {
        name: "large.ko".to_owned(),
        from,
        directory: None,
    };
    let mut package = ModulePackage::new(family, id, vec![module], DATE);
    package.compression = Compression::Gzip;
    package
}

/// The most memory that this process ever had, in MiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() >> 10
}

#[test]
fn are_not_held_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    for family in [Family::Debian, Family::Fedora] {
        let package = package(directory.path(), family, 600 << 20);
        let written = package.write(directory.path()).unwrap();
        assert!(written.metadata().unwrap().len() > 500 << 10, "{family:?}");
        assert!(peak() < 300, "{family:?}: {} MiB", peak());
    }
    let names = fs::read_dir(directory.path()).unwrap();
    assert_eq!(names.count(), 3, "nothing else is left");
}

#[test]
fn are_refused_where_they_would_be() {
    let directory = tempfile::tempdir().unwrap();
    let package = package(directory.path(), Family::Suse, (1 << 30) + 1);
    let error = package.write(directory.path()).unwrap_err().to_string();
    assert!(
        error.contains("/large.ko, the package has more than 1024 MiB"),
        "{error}"
    );
}

#[test]
fn names_of_one_file_are_packed_as_two_files() {
    let directory = tempfile::tempdir().unwrap();
    let packed = |is_link: bool| {
        let mut package = package(directory.path(), Family::Fedora, 5000);
        let (from, other) = (
            package.modules[0].from.clone(),
            directory.path().join("other.ko"),
        );
        match is_link {
            true => fs::hard_link(from, &other).unwrap(),
            false => drop(fs::copy(from, &other).unwrap()),
        }
        package.modules.push(ModuleFile {
            name: "other.ko".to_owned(),
            from: other.clone(),
            directory: None,
        });
        let written = package.write(directory.path()).unwrap();
        fs::remove_file(other).unwrap();
        fs::read(written).unwrap()
    };
    assert!(packed(true) == packed(false));
}
