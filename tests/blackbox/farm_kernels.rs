//! `kiln farm add-kernel`: a kernel lands in the manifest, and everything is built for it.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{
    farm_manifest::Manifest,
    machine::{kernel, other_kernel},
    world::World,
};

#[test]
fn a_new_kernel_is_added_and_built_for() {
    let world = World::new();
    world.package("aa", "");
    world.package("bb", "");
    let text = format!(
        "# Ours.\npackages = [\"aa\", \"bb\"] # both\n\n[[kernels]]\n# The old one.\nrelease = {:?}\n\n\
         [[matrix.exclude]]\npackage = \"bb\"\nname = \"new\"\n",
        kernel()
    );
    let path = world.write("farm.toml", &text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let new = other_kernel();
    let run = world
        .kiln(format!("farm add-kernel {new} --name new --json"))
        .exits(0)
        .says(&format!("added {new}/"));
    let summary = run.summary();
    assert_eq!(
        summary["cells"].as_array().unwrap().len(),
        2,
        "only for it: {run}"
    );
    assert_eq!(summary["built"], 1);
    assert_eq!(summary["excluded"], 1, "by its new name: {run}");
    let after = fs::read_to_string(&path).unwrap();
    let entry = format!("[[kernels]]\nname = \"new\"\nrelease = {new:?}\n");
    assert!(after.contains(&entry), "{after}");
    assert_eq!(after.replace(&entry, "").replace("\n\n\n", "\n\n"), text);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    world
        .kiln("farm run")
        .exits(0)
        .says("1 from the cache, 2 built, 1 excluded");
}

#[test]
fn a_list_of_kernels_is_added_to_in_its_layout() {
    let world = World::new();
    world.package("aa", "");
    for (before, after) in [
        ("kernels = [A]", "kernels = [A, B]"),
        (
            "kernels = [\n  A, # first\n]",
            "kernels = [\n  A, # first\n  B,\n]",
        ),
        ("kernels = [\n    A\n]", "kernels = [\n    A,\n    B\n]"),
    ] {
        let text = |form: &str| {
            let form = form
                .replace('A', &format!("{:?}", kernel()))
                .replace('B', &format!("{:?}", other_kernel()));
            format!("packages = [\"aa\"]\n{form}\n")
        };
        world.write("farm.toml", text(before));
        world
            .kiln(format!("farm add-kernel {} --no-build", other_kernel()))
            .exits(0)
            .never_says("built");
        let found = fs::read_to_string(world.path("farm.toml")).unwrap();
        assert_eq!(found, text(after));
    }
}

#[test]
fn a_dry_run_adds_nothing() {
    let world = World::new();
    world.package("aa", "");
    let path = Manifest::new(&["aa"], &[kernel()]).write(&world);
    let before = fs::read(&path).unwrap();
    world
        .kiln(format!("farm add-kernel {} -n", other_kernel()))
        .exits(0)
        .says(&format!("would add {}/", other_kernel()))
        .says(&format!("aa/1.0 for {}: build", other_kernel()));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_kernel_that_is_there_is_built_for_and_not_added() {
    let world = World::new();
    world.package("aa", "");
    let path = Manifest::new(&["aa"], &[kernel(), other_kernel()]).write(&world);
    let before = fs::read(&path).unwrap();
    let run = world
        .kiln(format!("farm add-kernel {}", kernel()))
        .exits(0)
        .says("is in farm.toml already")
        .says("1 built");
    drop(run);
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_tree_is_added_by_its_path() {
    let world = World::new();
    world.package("aa", "");
    world.kernel_tree(other_kernel());
    Manifest::new(&["aa"], &[kernel()]).write(&world);
    world
        .kiln("farm add-kernel ./tree")
        .exits(0)
        .says("1 built");
    let text = fs::read_to_string(world.path("farm.toml")).unwrap();
    assert!(text.contains("{ tree = \"tree\" }"), "{text}");
}

#[test]
fn what_cannot_be_added_leaves_the_manifest_as_it_is() {
    let world = World::new();
    world.package("aa", "");
    world.kernel_tree(kernel());
    world.write("empty/README", "");
    let path = Manifest::new(&["aa"], &[kernel()]).write(&world);
    let before = fs::read(&path).unwrap();
    for (kernel, code, message) in [
        ("9.9.9-none", 3, "kernel 9.9.9-none has no headers"),
        ("./nowhere", 2, "nowhere does not exist"),
        (
            "linux-headers_1.deb",
            2,
            "linux-headers_1.deb does not exist",
        ),
        ("./empty", 3, "not a configured kernel build tree"),
        ("./tree", 2, "comes from two places"),
    ] {
        world
            .kiln(format!("farm add-kernel {kernel}"))
            .exits(code)
            .says(message)
            .never_says("built");
        assert_eq!(fs::read(&path).unwrap(), before, "{kernel}");
    }
    world.kiln("farm add-kernel").exits(2).says("<FILE>");
}
