//! What a build needs and is not there, found before it starts.

use std::{fs, path::Path};

use super::{
    machine::{HELLO_C, kernel},
    world::World,
};

/// A kernel tree whose configuration ends in `more`.
fn tree(world: &World, more: &str) -> String {
    let tree = world.kernel_tree(kernel());
    // Debian's names the compiler once more.
    let _ = fs::remove_file(tree.join(".kernelvariables"));
    let config = ["include/config/auto.conf", ".config"].map(|inner| tree.join(inner));
    let config = config.iter().find(|path| path.exists()).unwrap();
    let text = fs::read_to_string(config).unwrap();
    fs::write(config, format!("{text}\n{more}\n")).unwrap();
    tree.display().to_string()
}

/// A build and its plan, where the machine is changed by `script`, both name what is missing.
fn lacks(world: &World, script: &str, tree: &str, message: &str) {
    let package = world.compiled_package("any", HELLO_C, "");
    let line = format!("build {package} -k {tree}");
    let planned = world.on_machine(script, format!("{line} --dry-run"));
    planned
        .exits(0)
        .says("cannot be built here: ")
        .says(message);
    let run = world.on_machine(script, &line).exits(3);
    run.says(message)
        .says("hint: ")
        .never_says("Building module");
}

#[test]
fn pahole_where_modules_have_btf() {
    let world = World::new();
    let tree = tree(&world, "CONFIG_DEBUG_INFO_BTF_MODULES=y");
    fs::write(Path::new(&tree).join("vmlinux"), "").unwrap();
    let hide = "[ ! -e /usr/bin/pahole ] || mount --bind /dev/null /usr/bin/pahole";
    lacks(
        &world,
        hide,
        &tree,
        "have BTF, made by pahole, which is not installed",
    );
}

#[test]
fn the_loader_of_the_kernels_own_programs() {
    let world = World::new();
    let tree = tree(&world, "");
    let scripts = Path::new(&tree).join("scripts");
    if scripts.is_symlink() {
        fs::remove_file(&scripts).unwrap();
    }
    fs::create_dir_all(scripts.join("basic")).unwrap();
    let mut program = fs::read("/usr/bin/true").unwrap();
    let usual = b"/lib64/ld-linux-x86-64.so.2";
    let at = program
        .windows(usual.len())
        .position(|part| part == usual)
        .unwrap();
    program[at..at + usual.len()].copy_from_slice(b"/lib/ld-linux.so.99\0\0\0\0\0\0\0\0");
    fs::write(scripts.join("basic/fixdep"), program).unwrap();
    let message = "needs /lib/ld-linux.so.99, which is not installed";
    lacks(&world, "", &tree, message);
}

/// The configuration of a kernel that Debian's clang built.
const CLANG: &str = "CONFIG_CC_IS_CLANG=y\nCONFIG_CC_VERSION_TEXT=\"Debian clang version 98.0.6\"";

#[test]
fn clang_in_the_version_of_the_kernel() {
    let world = World::new();
    let hide =
        "[ ! -e /usr/bin/clang ] || mount --bind /dev/null \"$(readlink -f /usr/bin/clang)\"";
    let message = "is built with clang-98, which is not installed";
    lacks(&world, hide, &tree(&world, CLANG), message);
}

#[test]
fn programs_of_llvm_with_a_version_in_their_names() {
    let world = World::new();
    let tree = tree(&world, CLANG);
    let package = world.package(
        "llvm",
        "MAKE[0]='clang one; ld.lld two; llvm-ar three; '\"${MAKE[0]}; true\"",
    );
    let add = r#"
mkdir -p "$WORLD/layers/upper/bin" "$WORLD/layers/work/bin"
mount -t overlay overlay -o "lowerdir=/usr/bin,upperdir=$WORLD/layers/upper/bin,workdir=$WORLD/layers/work/bin" /usr/bin
rm -f /usr/bin/clang /usr/bin/ld.lld /usr/bin/llvm-*
for name in clang ld.lld llvm-ar llvm-strip; do
    printf '#!/bin/sh\necho "${0##*/} called $1"\n' > /usr/bin/$name-98
    chmod 755 /usr/bin/$name-98
done
"#;
    let line = format!("{package} -k {tree}");
    world.on_machine(add, format!("build {line}")).exits(0);
    world
        .on_machine(add, format!("log {line}"))
        .says("\nclang called one\nld.lld called two\nllvm-ar called three\n");
    let half = format!("{add}\nrm /usr/bin/ld.lld-98");
    lacks(
        &world,
        &half,
        &tree,
        "is built with ld.lld-98, which is not installed",
    );
}
