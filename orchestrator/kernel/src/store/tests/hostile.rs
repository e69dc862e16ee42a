//! Packages that try to write elsewhere: refused as a whole, and nothing of them kept.

use kiln_archive::ArchiveError;

use super::*;

/// A tarball with these members is refused with this reason, and leaves nothing.
fn refused(extra: &[Member<'_>], reason: &str) {
    let world = World::new();
    let tree = build_tree("usr/src/kernels/1.0", "1.0", "all:\n");
    let mut all = members(&tree);
    all.extend(extra);
    let package = world.tarball("hostile.tar", &all);
    let error = world.add(&[package]).unwrap_err();
    assert!(
        matches!(&error, KernelStoreError::Unpack { source: ArchiveError::Hostile { reason: found, .. }, .. } if *found == reason),
        "{error:?}"
    );
    assert_eq!(world.entries(), Vec::<PathBuf>::new());
    let left = fs::read_dir(world.cache.directory().join("kernels/tmp")).unwrap();
    assert_eq!(left.count(), 0);
    assert!(!world.path("evil").exists() && !Path::new("/tmp/kiln-evil").exists());
}

#[test]
fn a_path_that_climbs() {
    refused(&[File("../evil", "x")], "leaves the archive");
    refused(&[File("usr/src/../../../evil", "x")], "leaves the archive");
}

#[test]
fn an_absolute_path() {
    refused(&[File("/tmp/kiln-evil", "x")], "has an absolute path");
    refused(
        &[File("/usr/src/evil/Makefile", "x")],
        "has an absolute path",
    );
}

#[test]
fn a_time_that_cannot_be() {
    refused(
        &[Timeless("usr/src/kernels/1.0/Kconfig")],
        "has a time that cannot be",
    );
}

#[test]
fn a_path_through_a_link() {
    let reason = "is below something that is no directory";
    refused(
        &[
            Link("usr/src/door", "/tmp"),
            File("usr/src/door/kiln-evil", "x"),
        ],
        reason,
    );
    refused(
        &[
            Link("usr/src/kernels/1.0/up", "../../../../.."),
            File("usr/src/kernels/1.0/up/evil", "x"),
        ],
        reason,
    );
    // Also through a link that is itself not kept.
    refused(&[Link("opt", "/tmp"), File("opt/kiln-evil", "x")], reason);
}

#[test]
fn a_link_in_place_of_a_directory_or_a_file() {
    let reason = "is there twice";
    refused(&[Link("usr/src", "/tmp")], reason);
    refused(
        &[Link("usr/src/kernels/1.0/Makefile", "/etc/passwd")],
        reason,
    );
    refused(&[File("usr/src/kernels/1.0/Makefile", "x")], reason);
}

#[test]
fn a_hard_link_to_a_file_of_the_machine() {
    refused(
        &[HardLink("usr/src/kernels/1.0/x", "/etc/passwd")],
        "has an absolute path",
    );
    refused(
        &[HardLink("usr/src/kernels/1.0/x", "../../etc/passwd")],
        "leaves the archive",
    );
    let reason = "is a link to a file that is not in the archive";
    refused(
        &[
            Link("usr/src/kernels/1.0/l", "/etc/passwd"),
            HardLink("usr/src/kernels/1.0/x", "usr/src/kernels/1.0/l"),
        ],
        reason,
    );
}

#[test]
fn a_device() {
    refused(
        &[Device("usr/src/kernels/1.0/null")],
        "is no file, directory or link",
    );
}

#[test]
fn a_package_that_is_cut_off_or_damaged() {
    let world = World::new();
    let package = kbuild(&world, "6.1.2-1");
    let whole = fs::read(&package).unwrap();
    for content in [&whole[..whole.len() / 2], &whole[..100], &whole[..8]] {
        fs::write(&package, content).unwrap();
        let error = world.add(std::slice::from_ref(&package)).unwrap_err();
        assert!(matches!(error, KernelStoreError::Unpack { .. }), "{error}");
    }
    fs::write(&package, "no archive at all").unwrap();
    let error = world.add(&[package]).unwrap_err();
    assert!(
        matches!(error, KernelStoreError::NotAPackage { .. }),
        "{error}"
    );
    assert_eq!(world.entries(), Vec::<PathBuf>::new());
}

/// An RPM of kernel-devel's shape with one more file in it, on disk.
fn rpm(world: &World, extra: &str) -> PathBuf {
    let mut builder = rpm::PackageBuilder::new("kernel-devel", "1.0", "GPL", "x86_64", "headers");
    for (path, content, _) in build_tree("/usr/src/kernels/1.0", "1.0", "all:\n") {
        let options = rpm::FileOptions::new(path);
        builder.with_file_contents(content, options).unwrap();
    }
    let options = rpm::FileOptions::new(extra);
    builder.with_file_contents("x", options).unwrap();
    let path = world.path("devel.rpm");
    builder.build().unwrap().write_file(&path).unwrap();
    path
}

#[test]
fn an_rpm_that_climbs_or_is_cut_off() {
    let world = World::new();
    let package = rpm(&world, "/usr/src/kernels/1.0/Kconfig");
    assert_eq!(world.add(std::slice::from_ref(&package)).unwrap().len(), 1);
    let whole = fs::read(&package).unwrap();
    for content in [&whole[..whole.len() - 40], &whole[..200]] {
        fs::write(&package, content).unwrap();
        let error = world.add(std::slice::from_ref(&package)).unwrap_err();
        assert!(matches!(error, KernelStoreError::Unpack { .. }), "{error}");
    }
    let package = rpm(&world, "/usr/src/kernels/../../../../evil");
    let error = world.add(&[package]).unwrap_err();
    assert!(
        matches!(
            &error,
            KernelStoreError::Unpack {
                source: ArchiveError::Hostile { .. },
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(world.entries().len(), 1);
}
