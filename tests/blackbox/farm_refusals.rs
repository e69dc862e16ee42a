//! Manifests that cannot be followed: each refused with its line, and nothing built.

use std::fs;

use super::{
    farm_manifest::Manifest,
    machine::{kernel, other_kernel},
    run::Run,
    world::World,
};

/// Plans and runs what the manifest says: both refuse it for the same reason.
#[track_caller]
fn refused(world: &World, text: &str, code: i32, message: &str) -> Run {
    world.write("farm.toml", text);
    world.kiln("farm plan").exits(code).says(message);
    let run = world.kiln("farm run").exits(code).says(message);
    run.never_says("built ")
}

/// A world with a package `any`, and a manifest for it that ends in `more`.
fn around(more: &str) -> (World, String) {
    let world = World::new();
    world.package("any", "");
    let text = format!("packages = [\"any\"]\nkernels = [{:?}]\n{more}", kernel());
    (world, text)
}

#[test]
fn a_manifest_that_is_not_there() {
    let world = World::new();
    for command in ["run", "plan", "run other.toml"] {
        world
            .kiln(format!("farm {command}"))
            .exits(2)
            .says("toml")
            .says("hint: name the manifest");
    }
    world
        .kiln(format!("farm add-kernel {}", kernel()))
        .exits(2)
        .says("there is no farm.toml");
}

#[test]
fn unknown_keys_are_named_with_their_line_and_what_was_meant() {
    for (more, line, key, meant) in [
        ("outptus = 3\n", 3, "outptus", "outputs"),
        (
            "[outputs]\ndirectory = \"o\"\nformat = []\n",
            5,
            "format",
            "formats",
        ),
        ("[build]\n\ntime_out = 3\n", 5, "time_out", "timeout"),
        ("[cost]\ncpu-hour = 0.1\n", 4, "cpu-hour", "cpu_hour"),
        (
            "[[matrix.exclude]]\npackages = \"a\"\n",
            4,
            "packages",
            "package",
        ),
        ("[matrix]\nexclud = []\n", 4, "exclud", "exclude"),
    ] {
        let (world, text) = around(more);
        refused(
            &world,
            &text,
            2,
            &format!("farm.toml:{line}: unknown key {key:?}"),
        )
        .says(&format!("did you mean {meant:?}?"))
        .says("allowed here: ");
    }
    let (world, _) = around("");
    let text = "packages = [\"any\"]\n[[kernels]]\nheader = []\n";
    refused(&world, text, 2, "farm.toml:3: unknown key \"header\"")
        .says("did you mean \"headers\"?")
        .says("allowed here: name, release, headers, tree, root, family");
}

#[test]
fn values_of_the_wrong_kind() {
    for (more, message) in [
        (
            "[outputs]\ndirectory = \"o\"\nformats = [\"dbe\"]\n",
            "farm.toml:5: unknown variant `dbe`",
        ),
        (
            "[outputs]\nformats = []\n",
            "farm.toml:3: missing field `directory`",
        ),
        (
            "[outputs]\ndirectory = \"o\"\nformats = []\n",
            "`outputs.formats` names nothing",
        ),
        ("[build]\njobs = 0\n", "farm.toml:4: "),
        ("[cost]\ncpu_hour = -1\n", "`cost.cpu_hour` is not a price"),
        ("[[matrix.exclude]]\npackage = \"a[\"\n", "farm.toml:4: "),
        (
            "[[matrix.exclude]]\nbecause = \"I say so\"\n",
            "farm.toml:3: a rule that names nothing",
        ),
        ("packages = [\"twice\"]\n", "farm.toml:3: duplicate key"),
    ] {
        let (world, text) = around(more);
        refused(&world, &text, 2, message);
    }
}

#[test]
fn a_farm_of_nothing() {
    let (world, _) = around("");
    refused(&world, "", 2, "farm.toml: `packages` names nothing");
    refused(
        &world,
        "packages = [\"any\"]\n",
        2,
        "farm.toml: `kernels` names nothing",
    )
    .says("hint: a [[kernels]] entry");
}

#[test]
fn packages_that_are_not_there() {
    let (world, _) = around("");
    fs::create_dir(world.path("empty")).unwrap();
    world.write("notes.txt", "no package");
    world.write("broken.deb", "no package either");
    for (entry, message) in [
        ("missing", "missing does not exist"),
        ("mi*ing", "\"mi*ing\" matches no package"),
        ("e*", "\"e*\" matches no package"),
        ("notes.txt", "notes.txt is neither a directory nor a .deb"),
        ("empty", "empty has no dkms.conf"),
        ("*.deb", "broken.deb is neither a directory nor a .deb"),
        ("{a/b,c}", "braces cannot hold a slash"),
    ] {
        let text = format!(
            "packages = [\n  \"any\",\n  {entry:?},\n]\nkernels = [{:?}]\n",
            kernel()
        );
        refused(&world, &text, 2, message).says("farm.toml:3");
    }
}

#[test]
fn kernels_that_are_not_there() {
    let (world, _) = around("");
    for (entry, code, message) in [
        ("\"99.*\"", 2, "no kernel with headers matches \"99.*\""),
        ("\"9.9.9-none\"", 3, "kernel 9.9.9-none has no headers"),
        ("{ tree = \"nowhere\" }", 3, "nowhere does not exist"),
        ("{ headers = \"*.deb\" }", 2, "\"*.deb\" matches no file"),
        ("{ headers = [\"a.deb\"] }", 2, "a.deb does not exist"),
        ("{ headers = [] }", 2, "`headers` names no file"),
        (
            "{ release = \"6.*\", family = \"arch\" }",
            2,
            "unknown variant `arch`",
        ),
        ("{ name = \"x\" }", 2, "a kernel needs one of `release`"),
        (
            "{ release = \"6.*\", tree = \"x\" }",
            2,
            "exclude each other",
        ),
    ] {
        let text = format!("packages = [\"any\"]\nkernels = [\n  {entry}\n]\n");
        refused(&world, &text, code, message).says("farm.toml:3");
    }
}

#[test]
fn two_different_kernels_of_one_release() {
    let (world, _) = around("");
    let tree = world.kernel_tree(kernel());
    let text = format!(
        "packages = [\"any\"]\n[[kernels]]\nrelease = {:?}\n\n[[kernels]]\ntree = \"tree\"\n",
        kernel()
    );
    refused(&world, &text, 2, &format!("{}/", kernel()))
        .says("comes from two places")
        .says("farm.toml:2")
        .says("farm.toml:5")
        .says(tree.to_str().unwrap());
}

#[test]
fn one_kernel_by_two_entries_is_one_kernel() {
    let (world, _) = around("");
    let kernels = [kernel(), &format!("{{{},{}}}", kernel(), other_kernel())];
    Manifest::new(&["any", "./any", "an*"], &kernels).write(&world);
    let run = world.kiln("farm run --json").exits(0);
    assert_eq!(run.summary()["built"], 2);
}

#[test]
fn two_packages_that_make_one_module() {
    let world = World::new();
    world.package("mine", "DEST_MODULE_NAME[0]=shared-name");
    world.package("theirs", "DEST_MODULE_NAME[0]=shared_name");
    let manifest = |more: &str| {
        let kernels = [kernel(), other_kernel()];
        Manifest::new(&["mine", "theirs"], &kernels)
            .more(more)
            .write(&world)
    };
    manifest("");
    let text = fs::read_to_string(world.path("farm.toml")).unwrap();
    refused(
        &world,
        &text,
        2,
        "mine/1.0 and theirs/1.0 both make shared_name.ko for",
    )
    .says("hint: leave one of them out: [[matrix.exclude]] with package = \"theirs\"");
    let rule = "[[matrix.exclude]]\npackage = ";
    manifest(&format!(
        "{rule}\"mine\"\nkernel = {:?}\n{rule}\"theirs\"\nkernel = {:?}\n",
        kernel(),
        other_kernel()
    ));
    world.kiln("farm run").exits(0).says("2 built, 2 excluded");
}

#[test]
fn two_versions_of_one_package_are_no_conflict() {
    let world = World::new();
    world.package_at("one", "same", "1.0", "");
    world.package_at("two", "same", "2.0", "");
    Manifest::new(&["one", "two"], &[kernel()]).write(&world);
    world.kiln("farm run").exits(0).says("2 built");
}

#[test]
fn two_sources_of_one_package_and_version() {
    let world = World::new();
    world.package_at("one", "same", "1.0", "");
    world.package_at("two", "same", "1.0", "# another\n");
    let text = format!(
        "packages = [\"one\", \"two\"]\nkernels = [{:?}]\n",
        kernel()
    );
    refused(&world, &text, 2, "same/1.0 comes from two places")
        .says(world.path("one").to_str().unwrap())
        .says(world.path("two").to_str().unwrap());
}

#[test]
fn shards_that_are_none() {
    let (world, text) = around("");
    world.write("farm.toml", text);
    for (shard, message) in [
        ("0/3", "shards are numbered from 1"),
        ("4/3", "there are only 3 shards"),
        ("1/0", "give it as I/N"),
        ("1", "give it as I/N"),
        ("x/y", "give it as I/N"),
    ] {
        for command in ["run", "plan"] {
            let line = format!("farm {command} --shard {shard}");
            world.kiln(line).exits(2).says(message).never_says("built ");
        }
    }
}
