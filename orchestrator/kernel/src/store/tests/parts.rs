//! Sets of packages that do not fit together: which part is missing, too much, or wrong.

use super::*;

#[test]
fn each_missing_part_is_named() {
    let world = World::new();
    let [headers, common] = debian(&world, "6.1.0-1", "6.1.2-1");
    let kbuild = kbuild(&world, "6.1.2-1");
    let missing = |paths: &[&PathBuf]| {
        let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).clone()).collect();
        match world.add(&paths) {
            Err(KernelStoreError::Missing { path, package, .. }) => (path, package.unwrap()),
            other => panic!("{other:?}"),
        }
    };
    let (path, package) = missing(&[&headers, &kbuild]);
    assert_eq!(path, Path::new("/usr/src/linux-headers-6.1.0-1-common"));
    assert_eq!(package, "linux-headers-6.1.0-1-common");
    let (path, package) = missing(&[&common, &headers]);
    assert_eq!(path, Path::new("/usr/lib/linux-kbuild-6.1"));
    assert_eq!(package, "linux-kbuild-6.1");
    let error = world.add(&[common.clone(), kbuild.clone()]).unwrap_err();
    assert!(
        matches!(error, KernelStoreError::NoKernel { .. }),
        "{error}"
    );
    assert_eq!(world.add(&[common, headers, kbuild]).unwrap().len(), 1);
}

#[test]
fn a_part_that_this_machine_has_is_missing_all_the_same() {
    let world = World::new();
    let tree = build_tree(
        "usr/src/kernels/1.0",
        "1.0",
        "include /usr/src/not-here/Makefile\n",
    );
    let mut all = members(&tree);
    all.push(Link("usr/src/kernels/1.0/bin", "/usr/bin"));
    let package = world.tarball("tree.tar", &all);
    let error = world.add(&[package]).unwrap_err();
    let part = Path::new("/usr/src/not-here");
    assert!(
        matches!(&error, KernelStoreError::Missing { path, .. } if path == part),
        "{error}"
    );
}

#[test]
fn a_part_in_a_version_that_does_not_fit() {
    let world = World::new();
    let [headers, common] = debian(&world, "6.1.0-1", "6.1.2-1");
    let old = kbuild(&world, "6.1.1-9");
    let error = world.add(&[headers.clone(), common, old]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} is linux-kbuild-6.1 6.1.1-9, but kernel 6.1.0-1-amd64 needs linux-kbuild-6.1 (>= 6.1.2-1)",
            world.path("kbuild-6.1.1-9.deb").display()
        )
    );
    let [_, other] = debian(&world, "6.1.0-1", "6.1.3-1");
    let error = world.add(&[headers, other, kbuild(&world, "6.1.3-1")]);
    assert!(
        matches!(error, Err(KernelStoreError::WrongVersion { .. })),
        "{error:?}"
    );
}

#[test]
fn two_packages_with_one_path_and_different_content() {
    let world = World::new();
    let [headers, common] = debian(&world, "6.1.0-1", "6.1.2-1");
    let paths = [
        headers.clone(),
        common.clone(),
        kbuild(&world, "6.1.2-1"),
        kbuild(&world, "6.1.3-1"),
    ];
    let error = world.add(&paths).unwrap_err();
    let fixdep = Path::new("/usr/lib/linux-kbuild-6.1/scripts/basic/fixdep");
    assert!(
        matches!(&error, KernelStoreError::Conflict { path, .. } if path == fixdep),
        "{error}"
    );
    // One kernel in two versions.
    let [newer, newer_common] = debian(&world, "6.1.0-1", "6.1.3-1");
    let paths = [
        headers,
        common,
        newer,
        newer_common,
        kbuild(&world, "6.1.3-1"),
    ];
    let error = world.add(&paths).unwrap_err();
    assert!(
        matches!(error, KernelStoreError::Conflict { .. }),
        "{error}"
    );
}

#[test]
fn a_tree_of_which_two_packages_hold_parts() {
    let world = World::new();
    let tree = build_tree("usr/src/kernels/1.0", "1.0", "all:\n");
    let all = members(&tree);
    let first = world.tarball("first.tar", &all[..3]);
    let second = world.tarball("second.tar", &all[3..]);
    let error = world.add(&[first, second]).unwrap_err();
    assert!(matches!(error, KernelStoreError::Divided { .. }), "{error}");
}

#[test]
fn a_package_that_belongs_to_no_kernel() {
    let world = World::new();
    let [headers, common] = debian(&world, "6.1.0-1", "6.1.2-1");
    let [_, stray] = debian(&world, "6.1.0-2", "6.1.2-1");
    let kbuild = kbuild(&world, "6.1.2-1");
    let paths = [
        headers.clone(),
        common.clone(),
        stray.clone(),
        kbuild.clone(),
    ];
    let error = world.add(&paths).unwrap_err();
    assert!(
        matches!(&error, KernelStoreError::Unused { file } if *file == stray),
        "{error}"
    );
    // One without any files, such as the compiler's, is no matter.
    let control = "Package: linux-compiler-gcc-12-x86\nVersion: 1\nArchitecture: amd64\n";
    let empty = world.deb("empty.deb", control, &[File("./usr/share/doc/x", "")]);
    assert_eq!(
        world.add(&[headers, common, empty, kbuild]).unwrap().len(),
        1
    );
}

#[test]
fn a_package_that_is_not_there() {
    let world = World::new();
    let error = world.add(&[world.path("nowhere.deb")]).unwrap_err();
    assert!(matches!(error, KernelStoreError::Fingerprint(_)), "{error}");
}
