//! Kernels that are not installed: from their header packages, and next to installed ones.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use super::{
    header_packages::{
        NO_KERNELS, kernel_devel, kernel_options, options, packages, provided, unpack,
    },
    machine::{self, kernel, other_kernel},
    run::{Run, wait_until},
    world::World,
};

/// The digest of a package's module.
#[track_caller]
fn digest(run: &Run, package: &str) -> Value {
    let cell = run.cell(package);
    let outputs = cell["outputs"].as_array().unwrap();
    let module = outputs.iter().find(|output| {
        let path = output["path"].as_str().unwrap();
        path.ends_with(&format!("{package}.ko"))
    });
    module.unwrap_or_else(|| panic!("no module in {run}"))["digest"].clone()
}

/// A package whose module holds the path that it was compiled at, and lines of the kernel's headers.
fn telling_package(world: &World, name: &str) -> String {
    let source = format!(
        "{}\n#include <linux/slab.h>\nchar place[] = __FILE__;\nvoid *f(int n);\nvoid *f(int n) {{ WARN_ON(n); return kmalloc(n, GFP_KERNEL); }}\n",
        machine::HELLO_C
    );
    world.compiled_package(name, &source, "")
}

#[test]
fn a_stored_kernel_and_the_same_one_installed_have_one_key() {
    let world = World::new();
    let package = telling_package(&world, "same");
    let stored = kernel_options(kernel());
    let first = world
        .kiln(format!("build {package} {stored} --json"))
        .exits(0);
    assert_eq!(first.cell("same")["result"], "built");
    let second = world.build(&package, "--json").exits(0);
    assert_eq!(second.cell("same")["result"], "hit");
    let anew = world.build(&package, "--json --no-cache").exits(0);
    assert_eq!(digest(&first, "same"), digest(&anew, "same"));
    let key = |run: Run| {
        run.out
            .lines()
            .find(|line| line.contains(" key "))
            .map(str::to_owned)
    };
    let installed = key(world.kiln(format!("explain {package} -k {}", kernel())));
    assert!(installed.is_some());
    assert_eq!(
        key(world.kiln(format!("explain {package} {stored}"))),
        installed
    );
}

#[test]
fn a_machine_without_any_kernel_shares_results_with_one_that_has_them() {
    let world = World::new();
    let plain = telling_package(&world, "plain");
    // This one lists where kernels would be.
    let scripted = world.compiled_package("scripted", machine::HELLO_C, "PRE_BUILD=prepare.sh");
    world.write_script(
        "scripted/prepare.sh",
        "#!/bin/sh\nls /usr/lib /usr/src /lib/modules/*\n",
    );
    let stored = kernel_options(kernel());
    let line = |kernel: &str| format!("build {plain} {scripted} {kernel} --json");
    let without = world.on_machine(NO_KERNELS, line(&stored)).exits(0);
    for package in ["plain", "scripted"] {
        assert_eq!(without.cell(package)["result"], "built");
    }
    let with = world
        .on_machine("", line(&format!("-k {}", kernel())))
        .exits(0);
    for package in ["plain", "scripted"] {
        assert_eq!(with.cell(package)["result"], "hit", "{with}");
    }
    let anew = format!("{} --no-cache", line(&format!("-k {}", kernel())));
    let anew = world.on_machine("", anew).exits(0);
    for package in ["plain", "scripted"] {
        assert_eq!(digest(&without, package), digest(&anew, package));
    }
}

#[test]
fn what_a_build_sees_does_not_depend_on_what_is_installed() {
    let world = World::new();
    let package = world.package(
        "curious",
        "MAKE[0]='echo tree: \\$(echo /usr/src/linux-* /usr/lib/linux-* /usr/lib/linux-*/* /lib/modules/*/*); '\"${MAKE[0]}\"",
    );
    let stored = kernel_options(kernel());
    let seen = |script: &str| {
        let run = world.on_machine(script, format!("build {package} {stored} --no-cache"));
        run.exits(0);
        let log = world
            .on_machine(script, format!("log {package} {stored}"))
            .exits(0);
        let lines: Vec<String> = log
            .out
            .lines()
            .filter(|line| line.starts_with("tree: "))
            .map(str::to_owned)
            .collect();
        assert!(lines[0].contains(kernel()), "{log}");
        assert!(!lines[0].contains(other_kernel()), "{log}");
        lines
    };
    assert_eq!(seen(NO_KERNELS), seen(""));
}

#[test]
fn an_ordinary_user_builds_for_kernels_of_one_set_side_by_side() {
    let world = World::new();
    let package = telling_package(&world, "many");
    let kernels = provided();
    let mut files: Vec<PathBuf> = Vec::new();
    for (_, packages) in &kernels {
        files.extend(packages.iter().cloned());
    }
    let all = options(&files);
    let run = world
        .kiln_as_user(format!("build {package} {all} --json"))
        .exits(0);
    assert_eq!(run.summary()["built"], kernels.len());
    let mut distinct = files.clone();
    distinct.sort();
    distinct.dedup();
    assert!(distinct.len() < files.len(), "nothing is shared");
    let store = fs::read_dir(world.path("home/kiln/kernels")).unwrap();
    let entries = store.filter(|e| !e.as_ref().unwrap().path().ends_with("tmp"));
    assert_eq!(entries.count(), distinct.len());
    // As root, for the kernels that are installed.
    let installed: Vec<String> = kernels.iter().map(|(k, _)| format!("-k {k}")).collect();
    let root = world
        .kiln(format!("build {package} {} --json", installed.join(" ")))
        .exits(0);
    let digests = |run: &Run| -> Vec<Value> {
        let summary = run.summary();
        let cells = summary["cells"].as_array().unwrap().clone();
        cells
            .iter()
            .map(|cell| cell["outputs"].clone())
            .map(without_paths)
            .collect()
    };
    assert_eq!(digests(&run), digests(&root));
}

/// Outputs without where they are in a cache.
fn without_paths(mut outputs: Value) -> Value {
    for output in outputs.as_array_mut().unwrap() {
        let output = output.as_object_mut().unwrap();
        output.retain(|name, _| name == "path" || name == "digest");
    }
    outputs
}

#[test]
fn each_part_that_is_missing_is_named() {
    let world = World::new();
    let package = world.package("any", "");
    let all = packages(kernel());
    for missing in 1..all.len() {
        let mut some = all.clone();
        let gone = some.remove(missing);
        let name = gone.file_name().unwrap().to_str().unwrap();
        let name = name.split('_').next().unwrap();
        world
            .kiln(format!("build {package} {}", options(&some)))
            .exits(2)
            .says(&format!("kernel {} is not complete", kernel()))
            .says(&format!("package {name} is missing"))
            .says("hint:");
    }
    world
        .kiln(format!("build {package} {}", options(&all[1..])))
        .exits(2)
        .says("make no kernel: the package with its build tree is missing");
}

#[test]
fn files_that_are_no_header_packages() {
    let world = World::new();
    let package = world.package("any", "");
    let kiln = |kernel: &str| world.kiln(format!("build {package} -k {kernel}")).exits(2);
    world.write("text.deb", "no package");
    kiln("text.deb").says("text.deb is not a .deb, .rpm, tarball or folder of kernel headers");
    kiln("gone.deb").says("gone.deb does not exist");
    kiln("gone.rpm").says("gone.rpm does not exist");
    let whole = fs::read(&packages(kernel())[0]).unwrap();
    world.write("cut.deb", &whole[..whole.len() / 2]);
    kiln("cut.deb").says("cannot unpack cut.deb");
    let other = options(&packages(other_kernel())[..1]);
    world
        .kiln(format!(
            "build {package} {} {other}",
            kernel_options(kernel())
        ))
        .exits(2)
        .says(&format!("kernel {} is not complete", other_kernel()));
}

#[test]
fn a_kernel_that_is_given_as_packages_and_as_installed_is_ambiguous() {
    let world = World::new();
    let package = world.package("any", "");
    let headers = packages(kernel());
    world
        .build(&package, &kernel_options(kernel()))
        .exits(2)
        .says(headers[0].to_str().unwrap())
        .says(&format!("both build for {}", kernel()));
}

#[test]
fn a_folder_with_what_the_packages_install() {
    let world = World::new();
    let package = telling_package(&world, "folded");
    let folder = unpack(&world, &packages(kernel()), "folder");
    let first = world.kiln(format!("build {package} -k {} --json", folder.display()));
    assert_eq!(first.exits(0).cell("folded")["result"], "built");
    let second = world.build(&package, "--json").exits(0);
    assert_eq!(second.cell("folded")["result"], "hit");
}

#[test]
fn an_rpm_in_the_shape_of_kernel_devel() {
    let world = World::new();
    let package = telling_package(&world, "devel");
    let file = kernel_devel(&world, kernel());
    let line = format!("build {package} -k {} --json", file.display());
    let run = world.on_machine(NO_KERNELS, &line).exits(0);
    assert_eq!(run.cell("devel")["kernel"], kernel());
    assert_eq!(run.cell("devel")["result"], "built");
    world
        .kiln(format!("explain {package} -k {}", file.display()))
        .exits(0)
        .says(&format!("kernel tree /usr/src/kernels/{}", kernel()))
        .never_says("kernel tree /usr/lib");
}

/// The Makefile of a kernel's build tree in the store.
fn stored_makefile(world: &World) -> PathBuf {
    let inner = format!("root/usr/src/linux-headers-{}/Makefile", kernel());
    fs::read_dir(world.cache().join("kernels"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join(&inner))
        .find(|path| path.exists())
        .unwrap()
}

#[test]
fn a_store_that_somebody_changed_is_not_believed() {
    let world = World::new();
    let package = telling_package(&world, "believed");
    let line = format!("build {package} {} --json", kernel_options(kernel()));
    let first = world.kiln(&line).exits(0);
    let makefile = stored_makefile(&world);
    let text = fs::read(&makefile).unwrap();
    fs::write(&makefile, "all:\n\techo pwned\n").unwrap();
    let second = world.kiln(format!("{line} --no-cache")).exits(0);
    assert_eq!(digest(&first, "believed"), digest(&second, "believed"));
    assert_eq!(fs::read(&makefile).unwrap(), text);
    // A part that is gone with all its directory.
    fs::remove_dir_all(makefile.parent().unwrap().join("include")).unwrap();
    assert_eq!(world.kiln(&line).exits(0).cell("believed")["result"], "hit");
}

#[test]
fn a_kiln_that_is_killed_while_it_unpacks() {
    let world = World::new();
    let package = world.package("late", "");
    let line = format!("build {package} {} --json", kernel_options(kernel()));
    let temporary = world.cache().join("kernels/tmp");
    let busy = || fs::read_dir(&temporary).is_ok_and(|mut entries| entries.next().is_some());
    let run = world.start(&line);
    wait_until("something is being unpacked", busy);
    run.signal(Signal::KILL);
    let run = run.finish();
    assert_eq!(run.code, None, "{run}");
    assert!(busy(), "nothing was left behind");
    let run = world.kiln(&line).exits(0);
    assert_eq!(run.cell("late")["result"], "built");
    assert!(!busy(), "something is left behind");
}

#[test]
fn two_kilns_with_one_empty_store() {
    let world = World::new();
    let package = world.package("shared", "");
    let line = format!("build {package} {} --json", kernel_options(kernel()));
    let runs = [world.start(&line), world.start(&line)];
    for run in runs {
        let run = run.finish().exits(0);
        let result = run.cell("shared")["result"].clone();
        assert!(result == "built" || result == "hit", "{run}");
    }
    let entries = fs::read_dir(world.cache().join("kernels")).unwrap();
    assert_eq!(entries.count(), packages(kernel()).len() + 1);
}

#[test]
fn only_a_sandbox_can_show_a_stored_kernel() {
    let world = World::new();
    let package = world.package("bare", "");
    let no_sandbox = "mount --bind /bin/false /usr/bin/bwrap";
    let line = |kernel: &str| format!("build {package} {kernel}");
    world
        .on_machine(no_sandbox, line(&kernel_options(kernel())))
        .exits(3)
        .says(&format!("kernel {}", kernel()))
        .says("only a sandbox can build for it");
    let installed = format!("-k {}", kernel());
    world.on_machine(no_sandbox, line(&installed)).exits(0);
}

#[test]
fn a_store_below_a_directory_that_only_root_may_enter() {
    let world = World::new();
    let package = world.package("closed", "");
    fs::create_dir(world.path("closed-cache")).unwrap();
    let mode = fs::Permissions::from_mode(0o700);
    fs::set_permissions(world.path("closed-cache"), mode).unwrap();
    let cache = world.path("closed-cache/cache");
    let line = format!(
        "build {package} {} --cache-dir {}",
        kernel_options(kernel()),
        cache.display()
    );
    world
        .on_machine("", line)
        .exits(3)
        .says("the build user may not read")
        .says("closed-cache");
}
