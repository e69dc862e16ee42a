//! How distributions lay kernels out, and that each kernel is found with all that belongs to it.

use super::*;
use crate::KernelInput;

fn roots(world: &World, kernel: &StoredKernel) -> Vec<String> {
    let mut fingerprints = Fingerprints::new(&world.cache);
    let input = KernelInput::new(kernel.tree().clone(), &mut fingerprints).unwrap();
    for root in &input.roots {
        assert!(root.host.starts_with(world.cache.directory()), "{root:?}");
    }
    let paths = input
        .roots
        .iter()
        .map(|root| root.path.display().to_string());
    paths.collect()
}

#[test]
fn debian_kernels_share_what_they_have_in_common() {
    let world = World::new();
    let [one, one_common] = debian(&world, "6.1.0-9", "6.1.2-1");
    let [two, two_common] = debian(&world, "6.1.0-10", "6.1.3-1");
    let kbuild = kbuild(&world, "6.1.3-1");
    let kernels = world
        .add(&[two_common, one, kbuild.clone(), two, one_common])
        .unwrap();
    let releases: Vec<&str> = kernels.iter().map(|k| k.tree().release.as_str()).collect();
    assert_eq!(releases, ["6.1.0-9-amd64", "6.1.0-10-amd64"]);
    assert_eq!(world.entries().len(), 5);
    for kernel in &kernels {
        assert_eq!(kernel.packages().len(), 3);
        assert!(
            kernel
                .packages()
                .iter()
                .any(|package| package.file == kbuild)
        );
    }
    let source = kernels[0].tree().source.as_deref();
    assert_eq!(
        source,
        Some(Path::new("/usr/src/linux-headers-6.1.0-9-common"))
    );
    assert_eq!(
        roots(&world, &kernels[0]),
        [
            "/usr/lib/linux-kbuild-6.1/scripts",
            "/usr/src/linux-headers-6.1.0-9-amd64",
            "/usr/src/linux-headers-6.1.0-9-common",
        ]
    );
}

#[test]
fn ubuntu_links_most_of_a_tree_into_another_package() {
    let world = World::new();
    let place = "./usr/src/linux-headers-6.8.0-1-generic";
    let tree = build_tree(place, "6.8.0-1-generic", "");
    let own: Vec<Member<'_>> = members(&tree)
        .into_iter()
        .filter(|member| !matches!(member, File(path, _) if path.ends_with("Makefile")))
        .chain([
            Link(
                "./usr/src/linux-headers-6.8.0-1-generic/Makefile",
                "../linux-headers-6.8.0-1/Makefile",
            ),
            Link(
                "./usr/src/linux-headers-6.8.0-1-generic/include/linux",
                "../../linux-headers-6.8.0-1/include/linux",
            ),
            Link(
                "./lib/modules/6.8.0-1-generic/build",
                "/usr/src/linux-headers-6.8.0-1-generic",
            ),
        ])
        .collect();
    let control = "Package: linux-headers-6.8.0-1-generic\nVersion: 6.8.0-1.1\nArchitecture: amd64\nDepends: linux-headers-6.8.0-1, libc6\n";
    let generic = world.deb("generic.deb", control, &own);
    let error = world.add(std::slice::from_ref(&generic)).unwrap_err();
    assert!(
        matches!(&error, KernelStoreError::Missing { package: Some(name), .. } if name == "linux-headers-6.8.0-1"),
        "{error}"
    );
    let all = world.deb(
        "all.deb",
        "Package: linux-headers-6.8.0-1\nVersion: 6.8.0-1.1\nArchitecture: all\n",
        &[
            File("./usr/src/linux-headers-6.8.0-1/Makefile", "all:\n"),
            File("./usr/src/linux-headers-6.8.0-1/include/linux/module.h", ""),
        ],
    );
    let kernels = world.add(&[all, generic]).unwrap();
    assert_eq!(kernels.len(), 1);
    assert_eq!(kernels[0].tree().source, None);
    assert_eq!(
        roots(&world, &kernels[0]),
        [
            "/usr/src/linux-headers-6.8.0-1/Makefile",
            "/usr/src/linux-headers-6.8.0-1/include/linux",
            "/usr/src/linux-headers-6.8.0-1-generic",
        ]
    );
}

#[test]
fn suse_has_an_output_tree_deep_below_and_a_source_tree_beside_it() {
    let world = World::new();
    let place = "usr/src/linux-6.4.0-1-obj/x86_64/default";
    let makefile = "include ../../../linux-6.4.0-1/Makefile\n";
    let tree = build_tree(place, "6.4.0-1-default", makefile);
    let object = world.tarball("default.tar", &members(&tree));
    let error = world.add(std::slice::from_ref(&object)).unwrap_err();
    let part = Path::new("/usr/src/linux-6.4.0-1");
    assert!(
        matches!(&error, KernelStoreError::Missing { path, .. } if path == part),
        "{error}"
    );
    let source = world.tarball(
        "devel.tar",
        &[
            File("usr/src/linux-6.4.0-1/Makefile", "all:\n"),
            File("usr/src/linux-6.4.0-1/Kconfig", ""),
            Link("usr/src/linux", "linux-6.4.0-1"),
        ],
    );
    let kernels = world.add(&[object, source]).unwrap();
    assert_eq!(kernels.len(), 1);
    assert_eq!(kernels[0].tree().release.as_str(), "6.4.0-1-default");
    assert_eq!(kernels[0].tree().source.as_deref(), Some(part));
    assert_eq!(
        roots(&world, &kernels[0]),
        [
            "/usr/src/linux-6.4.0-1",
            "/usr/src/linux-6.4.0-1-obj/x86_64/default"
        ]
    );
}

#[test]
fn red_hat_has_one_tree_and_arch_has_it_where_others_have_links() {
    let world = World::new();
    for (name, place) in [
        ("red-hat.tar", "usr/src/kernels/5.14.0-1.el9.x86_64"),
        ("arch.tar", "usr/lib/modules/6.9.1-arch1-1/build"),
    ] {
        let tree = build_tree(place, &name.replace(".tar", "-1.0"), "all:\n");
        let kernels = world.add(&[world.tarball(name, &members(&tree))]).unwrap();
        assert_eq!(kernels.len(), 1);
        assert_eq!(inside(&kernels[0]), Path::new("/").join(place));
        assert_eq!(roots(&world, &kernels[0]), [format!("/{place}")]);
    }
}

#[test]
fn a_folder_with_what_packages_install_stays_where_it_is() {
    let world = World::new();
    let tree = build_tree("usr/src/kernels/1.0", "1.0", "all:\n");
    let folder = world.path("folder");
    for (path, content, _) in &tree {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let kernels = world.add(std::slice::from_ref(&folder)).unwrap();
    assert_eq!(kernels[0].packages()[0].digest, None);
    assert_eq!(inside(&kernels[0]), Path::new("/usr/src/kernels/1.0"));
    assert_eq!(world.entries(), Vec::<PathBuf>::new());
    let packed = world
        .add(&[world.tarball("same.tar", &members(&tree))])
        .unwrap();
    let digest = |kernel: &StoredKernel| {
        let mut fingerprints = Fingerprints::new(&world.cache);
        let input = KernelInput::new(kernel.tree().clone(), &mut fingerprints).unwrap();
        (input.roots[0].path.clone(), input.roots[0].digest)
    };
    assert_eq!(digest(&kernels[0]), digest(&packed[0]));
}
