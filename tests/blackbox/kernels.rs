//! Kernels: how they are named, and what is wrong with some.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    time::{Duration, SystemTime},
};

use super::{
    machine::{self, kernel, kernels, other_kernel},
    world::{ORDINARY, World},
};

#[test]
fn a_kernel_without_headers_is_named_with_the_package_that_has_them() {
    let world = World::new();
    let package = world.package("any", "");
    let run = world
        .kiln(format!("build {package} -k 9.9.9-none"))
        .exits(3)
        .says("kernel 9.9.9-none has no headers");
    if std::path::Path::new("/usr/bin/apt-get").exists() {
        run.says("apt-get install linux-headers-9.9.9-none");
    }
}

#[test]
fn a_path_that_is_no_tree() {
    let world = World::new();
    let package = world.package("any", "");
    world
        .kiln(format!("build {package} -k ./nowhere"))
        .exits(3)
        .says("./nowhere does not exist");
    fs::create_dir(world.path("empty")).unwrap();
    world
        .kiln(format!("build {package} -k ./empty"))
        .exits(3)
        .says("not a configured kernel build tree")
        .says("modules_prepare");
}

#[test]
fn a_pattern_that_fits_no_kernel_lists_those_there_are() {
    let world = World::new();
    let package = world.package("any", "");
    world
        .kiln(format!("build {package} -k 99.*"))
        .exits(2)
        .says("no kernel with headers matches \"99.*\"")
        .says(kernel());
}

#[test]
fn a_tree_without_symbol_versions() {
    let world = World::new();
    let package = world.package("any", "");
    let tree = world.kernel_tree(kernel());
    fs::remove_file(tree.join("Module.symvers")).unwrap();
    world
        .build(&package, "")
        .exits(0)
        .never_says("Module.symvers,");
    world
        .kiln(format!("build {package} -k {}", tree.display()))
        .exits(3)
        .says("it has no Module.symvers")
        .says("hint:");
}

#[test]
fn a_tree_that_cannot_be_parsed() {
    let world = World::new();
    let package = world.package("any", "");
    let tree = world.kernel_tree(kernel());
    fs::write(tree.join("Module.symvers"), "this is no table\n").unwrap();
    world
        .kiln(format!("build {package} -k {}", tree.display()))
        .exits(1)
        .says("line 1: not a Module.symvers entry");
}

#[test]
fn a_kernel_whose_compiler_is_not_installed() {
    let world = World::new();
    let package = world.compiled_package("any", machine::HELLO_C, "");
    let tree = world.kernel_tree(kernel());
    fs::write(tree.join(".kernelvariables"), "CC = gcc-99\n").unwrap();
    let run = world
        .kiln(format!("build {package} -k {}", tree.display()))
        .exits(3)
        .says("is built with gcc-99, which is not installed");
    if std::path::Path::new("/usr/bin/apt-get").exists() {
        run.says("apt-get install gcc-99");
    }
}

#[test]
fn a_pattern_takes_every_kernel_that_it_fits() {
    let world = World::new();
    let package = world.package("wide", "");
    let pattern = format!("{{{},{}}}", kernel(), other_kernel());
    let run = world
        .kiln(format!("build {package} -k {pattern} --json"))
        .exits(0);
    assert_eq!(run.summary()["built"], 2);
}

#[test]
fn a_tree_is_named_by_its_path() {
    let world = World::new();
    let package = world.compiled_package("pathy", machine::HELLO_C, "");
    let tree = world.kernel_tree(kernel());
    world
        .kiln(format!("build {package} -k {}", tree.display()))
        .exits(0)
        .says(&format!("built pathy/1.0 for {}", kernel()));
}

#[test]
fn two_trees_of_one_release_are_ambiguous() {
    let world = World::new();
    let package = world.package("any", "");
    let tree = world.kernel_tree(kernel());
    world
        .build(&package, &format!("-k {}", tree.display()))
        .exits(2)
        .says(&format!("both build for {}", kernel()));
}

#[test]
fn a_kernel_named_twice_is_built_for_once() {
    let world = World::new();
    let package = world.package("once", "");
    let run = world
        .build(&package, &format!("-k {} --json", kernel()))
        .exits(0);
    assert_eq!(run.summary()["cells"].as_array().unwrap().len(), 1);
}

#[test]
fn all_kernels_are_those_with_headers() {
    let world = World::new();
    let package = world.package("every", "BUILD_EXCLUSIVE_KERNEL=none");
    let run = world
        .kiln(format!("build {package} --all-kernels --json"))
        .exits(0);
    let summary = run.summary();
    let named: Vec<&str> = summary["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| cell["kernel"].as_str().unwrap())
        .collect();
    for kernel in kernels() {
        assert!(named.contains(&kernel.as_str()), "{kernel} in {named:?}");
    }
}

#[test]
fn a_makefile_that_asks_uname_builds_for_the_kernel_that_was_asked_for() {
    let world = World::new();
    let package = world.compiled_package("asker", machine::HELLO_C, "MAKE[0]=\"'make' all\"");
    world.write(
        "asker/Makefile",
        "obj-m := asker.o\nKDIR ?= /lib/modules/$(shell uname -r)/build\n\
         all:\n\t$(MAKE) -C $(KDIR) M=$(CURDIR) modules\n",
    );
    let other = other_kernel();
    world
        .kiln(format!("build {package} -k {other}"))
        .exits(0)
        .says(&format!("built asker/1.0 for {other}"));
}

#[test]
fn a_module_for_another_kernel_is_refused() {
    let world = World::new();
    let (right, wrong) = (kernel(), other_kernel());
    let package = world.package(
        "stray",
        &format!("MAKE[0]='cp prebuilt/{wrong}.ko stray.ko'"),
    );
    world.build(&package, "").exits(1).says(&format!(
        "stray.ko was built for kernel {wrong}, not for {right}"
    ));
}

#[test]
fn permissions_of_a_kernels_files_count() {
    let world = World::new();
    let package = world.package(
        "asks",
        "MAKE[0]='stat -c %a $kernel_source_dir/Makefile $kernel_source_dir/scripts > word; \
         cp prebuilt/${kernelver}.ko asks.ko; objcopy --add-section .word=word asks.ko'",
    );
    let tree = world.kernel_tree(kernel());
    let line = format!("build {package} -k {}", tree.display());
    for (name, mode, said) in [
        ("Makefile", 0o644, "1 built"),
        ("Makefile", 0o664, "1 built"),
        ("Makefile", 0o444, "1 built"),
        ("Makefile", 0o644, "1 from the cache"),
        ("include", 0o775, "1 built"),
        ("include", 0o755, "1 from the cache"),
    ] {
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(mode)).unwrap();
        world.kiln(&line).exits(0).says(said);
    }
}

#[test]
fn times_of_a_kernels_files_count() {
    let world = World::new();
    let package = world.package(
        "timed",
        "MAKE[0]='test $kernel_source_dir/.config -nt $kernel_source_dir/Makefile; echo $? > word; \
         cp prebuilt/${kernelver}.ko timed.ko; objcopy --add-section .word=word timed.ko'",
    );
    let tree = world.kernel_tree(kernel());
    let line = format!("build {package} -k {}", tree.display());
    let dated = |name: &str, seconds: u64| {
        let file = fs::File::open(tree.join(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
            .unwrap();
    };
    dated("Makefile", 1000);
    for (seconds, said) in [
        (2000, "1 built"),
        (500, "1 built"),
        (2000, "1 from the cache"),
    ] {
        dated(".config", seconds);
        world.kiln(&line).exits(0).says(said);
    }
}

#[test]
fn a_tree_shows_nothing_that_is_its_callers_own() {
    if !machine::is_root() {
        return;
    }
    let world = World::new();
    let tree = world.kernel_tree(kernel());
    let link = |name: &str, to: &str| symlink(world.path(to), tree.join(name)).unwrap();
    link("private", "home/private");
    link("home", "home");
    link("of-a-kernel", "home/linux/scripts");
    let fragment = format!(
        "include {}/Makefile\n",
        world.path("home/project").display()
    );
    let script = format!(
        "#!/bin/sh\ncd {}\ncat private/secret home/private/secret ../home/project/secret\ncat of-a-kernel/Kbuild.include\n:\n",
        tree.display()
    );
    let package = world.package("any", "PRE_BUILD=look.sh");
    world.write_script("any/look.sh", &script);
    // Only what is in the home directory is the user's own.
    for (path, content) in [
        ("home/private/secret", "a private key\n"),
        ("home/project/secret", "a private key\n"),
        ("home/project/Makefile", "all:\n"),
        ("home/linux/scripts/Kbuild.include", "a part of a kernel\n"),
    ] {
        let path = world.write(path, content);
        for owned in [path.as_path(), path.parent().unwrap()] {
            chown(owned, Some(ORDINARY), Some(ORDINARY)).unwrap();
        }
    }
    let private = fs::Permissions::from_mode(0o700);
    fs::set_permissions(world.path("home/private"), private).unwrap();
    let makefile = fs::read_to_string(tree.join("Makefile")).unwrap();
    fs::write(tree.join("Makefile"), fragment + &makefile).unwrap();
    world
        .kiln_as_user(format!("build {package} -k {}", tree.display()))
        .exits(0);
    world
        .kiln_as_user(format!("log {package} -k {}", tree.display()))
        .exits(0)
        .says("a part of a kernel")
        .never_says("a private key");
}
