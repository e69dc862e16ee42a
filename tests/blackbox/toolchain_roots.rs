//! Builds with the programs of another system.

use std::{fs, path::PathBuf};

use super::{
    header_packages::{NO_KERNELS, kernel_options, toolchain_root},
    machine::{self, kernel},
    world::World,
};

/// A kernel tree that insists on a compiler, without the options that only the kernel's own has.
pub(crate) fn tree_for(world: &World, compiler: &str) -> PathBuf {
    let tree = world.kernel_tree(kernel());
    fs::write(tree.join(".kernelvariables"), format!("CC = {compiler}\n")).unwrap();
    let config = tree.join("include/config/auto.conf");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace("CONFIG_INIT_STACK_ALL_ZERO=y\n", "");
    fs::write(&config, text).unwrap();
    tree
}

#[test]
fn a_compiler_that_is_only_there_is_used() {
    let world = World::new();
    let (root, compiler) = toolchain_root();
    assert!(!PathBuf::from(format!("/usr/bin/{compiler}")).exists());
    let package = world.compiled_package("rooted", machine::HELLO_C, "");
    let tree = tree_for(&world, &compiler);
    let line = format!("build {package} -k {} -o out", tree.display());
    world
        .kiln(&line)
        .exits(3)
        .says(&format!("is built with {compiler}, which is not installed"));
    let line = format!("{line} --root {}", root.display());
    world.kiln(&line).exits(0).says("built rooted/1.0");
    let module = world.path(format!(
        "out/{}/{}/rooted/1.0/rooted.ko",
        kernel(),
        machine::arch()
    ));
    let module = fs::read(module).unwrap();
    let major = compiler.rsplit('-').next().unwrap();
    let comment = String::from_utf8_lossy(&module);
    let version = comment.split("GCC: (").nth(1).unwrap();
    let version = version.split(") ").nth(1).unwrap();
    assert!(version.starts_with(&format!("{major}.")), "{version:.20}");
    world.kiln(&line).exits(0).says("1 from the cache");
}

#[test]
fn nothing_of_the_machine_is_seen_and_its_packages_are_not_in_the_key() {
    let world = World::new();
    let (root, compiler) = toolchain_root();
    let package = world.package(
        "watcher",
        "MAKE[0]='echo seen: \\$(ls -d /usr/bin/bwrap /usr/bin/dpkg-buildpackage /usr/bin/gcc-[0-9]* 2> /dev/null); '\"${MAKE[0]}\"",
    );
    let tree = tree_for(&world, &compiler);
    let line = format!("{package} -k {} --root {}", tree.display(), root.display());
    world.kiln(format!("build {line}")).exits(0);
    world
        .kiln(format!("log {line}"))
        .exits(0)
        .says(&format!("\nseen: /usr/bin/{compiler}\n"));
    // The same on a machine with other packages: what is left of the database is not asked.
    let poorer = "awk 'BEGIN { RS = \"\"; ORS = \"\\n\\n\" } !/^Package: (git|perl|make)/' /var/lib/dpkg/status > /var/lib/status && mv /var/lib/status /var/lib/dpkg/status";
    world
        .on_machine(poorer, format!("build {line}"))
        .exits(0)
        .says("1 from the cache");
}

#[test]
fn a_change_of_the_root_is_a_miss() {
    let world = World::new();
    let (root, compiler) = toolchain_root();
    let package = world.package("careful", "PRE_BUILD=any.sh");
    world.write_script("careful/any.sh", "#!/bin/sh\n");
    let tree = tree_for(&world, &compiler);
    let line = format!(
        "build {package} -k {} --root {} --explain",
        tree.display(),
        root.display()
    );
    world.on_machine("", &line).exits(0).says("1 built");
    world
        .on_machine("", &line)
        .exits(0)
        .says("1 from the cache");
    let changed = format!(
        "mkdir -p $WORLD/layers/upper/bin $WORLD/layers/work/bin
         mount -t overlay overlay -o lowerdir={0}/usr/bin,upperdir=$WORLD/layers/upper/bin,workdir=$WORLD/layers/work/bin {0}/usr/bin
         echo >> {0}/usr/bin/cp; sleep 0.05",
        root.display()
    );
    world
        .on_machine(&changed, &line)
        .exits(0)
        .says("execute /usr/bin/cp")
        .says("1 built");
}

#[test]
fn a_stored_kernel_with_a_root_on_a_machine_without_kernels() {
    let world = World::new();
    let (root, _) = toolchain_root();
    let package = world.package("both", "");
    let line = format!(
        "build {package} {} --root {} --json",
        kernel_options(kernel()),
        root.display()
    );
    // The kernel's own compiler is not in the root: the error names both.
    world
        .on_machine(NO_KERNELS, line)
        .exits(3)
        .says("which is not installed in")
        .says(root.to_str().unwrap());
}

#[test]
fn a_root_below_a_directory_that_only_root_may_enter() {
    let world = World::new();
    let (root, compiler) = toolchain_root();
    let package = world.package("closed", "");
    let tree = tree_for(&world, &compiler);
    let place = world.path("closed-place");
    let hide = format!(
        "mkdir -m 700 {0}; mkdir {0}/root; mount --bind {1} {0}/root",
        place.display(),
        root.display()
    );
    let line = format!(
        "build {package} -k {} --root {}/root",
        tree.display(),
        place.display()
    );
    world
        .on_machine(&hide, line)
        .exits(3)
        .says(&format!("the build user may not read {}", place.display()));
}

#[test]
fn roots_that_cannot_be_used() {
    let world = World::new();
    let package = world.package("any", "");
    let kiln = |root: &str| {
        world
            .kiln(format!("build {package} -k {} --root {root}", kernel()))
            .exits(3)
    };
    kiln("nowhere").says("toolchain root nowhere cannot be used");
    world.write("empty/file", "");
    kiln("empty").says("has no /usr").says("debootstrap");
    fs::create_dir_all(world.path("hollow/usr/bin")).unwrap();
    kiln("hollow").says("has no /bin/bash");
}
