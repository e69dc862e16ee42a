//! Pipes and devices where kiln reads a file: nothing waits for them, and each is named.

use std::fs;

use super::{machine::kernel, run::Run, world::World};

const PIPE: &str = "it is a pipe, not a file";

/// Runs kiln for a minute at most, on a machine that a script has changed.
fn kiln(world: &World, script: &str, line: &str) -> Run {
    world.on_machine(&format!("{script}\nset -- timeout 60 \"$@\""), line)
}

/// A script that puts a pipe in the place of whatever is at a path.
fn pipe(path: &str) -> String {
    format!("mkdir -p $(dirname {path}); rm -rf {path}; mkfifo {path}")
}

#[test]
fn what_the_machines_owner_has() {
    let world = World::new();
    let package = world.package("any", "");
    let line = format!("build {package} -k {}", kernel());
    for path in [
        "/etc/dkms/framework.conf",
        "/etc/dkms/framework.conf.d/ours.conf",
    ] {
        kiln(&world, &pipe(path), &line).exits(3).says(&format!(
            "framework.conf cannot be evaluated: cannot read {path}: {PIPE}"
        ));
    }
    kiln(&world, &pipe("/etc/dkms/any.conf"), &line)
        .says("/etc/dkms/any.conf is neither a regular file, a directory nor a link");
    let script = format!(
        "{}\nmkdir -p /etc/dkms; ln -s /etc/pipe /etc/dkms/any.conf",
        pipe("/etc/pipe")
    );
    kiln(&world, &script, &line).says("/etc/dkms/any.conf is neither a regular file");
}

#[test]
fn a_package() {
    let world = World::new();
    let package = world.package("any", "");
    let line = format!("build {package} -k {}", kernel());
    let conf = format!("{package}/dkms.conf");
    kiln(&world, &pipe(&conf), &line)
        .exits(1)
        .says(&format!("{conf} is neither a regular file"));
    let script = format!(
        "{}\nln -sf ../pipe {conf}",
        pipe(&format!("{package}/../pipe"))
    );
    kiln(&world, &format!("rm {conf}; {script}"), &line).exits(1);
    let archive = world.path("archive.tar.gz");
    let archive = archive.to_str().unwrap();
    let line = format!("build {archive} -k {}", kernel());
    kiln(&world, &pipe(archive), &line).exits(2).says(archive);
    // Where packages of that name are looked for.
    let script = pipe("/usr/src/other-1.0/dkms.conf");
    let line = format!("build other -k {}", kernel());
    kiln(&world, &script, &line).says("/usr/src/other-1.0/dkms.conf");
}

#[test]
fn a_kernel() {
    let world = World::new();
    let package = world.package("any", "BUILD_EXCLUSIVE_CONFIG=CONFIG_MODULES");
    let line = format!("build {package} -k {}", world.path("headers.deb").display());
    kiln(&world, &pipe("$WORLD/headers.deb"), &line)
        .exits(3)
        .says("headers.deb: not a directory");
    let tree = world.kernel_tree(kernel());
    let line = format!("build {package} -k {}", tree.display());
    for name in [
        "include/generated/utsrelease.h",
        "include/config/auto.conf",
        "Module.symvers",
        "Makefile",
        ".config",
    ] {
        let path = tree.join(name);
        let away = world.path("away");
        let is_there = fs::rename(&path, &away).is_ok();
        let run = kiln(&world, &pipe(path.to_str().unwrap()), &line);
        assert!(![Some(0), Some(124)].contains(&run.code), "{name}: {run}");
        run.says(name);
        fs::remove_file(&path).unwrap();
        if is_there {
            fs::rename(&away, &path).unwrap();
        }
    }
}

#[test]
fn what_settings_name() {
    let world = World::new();
    let secret = "chmod 600 $WORLD/pipe";
    let made = format!("{}; {secret}", pipe("$WORLD/pipe"));
    let named = [
        ("[cache]\ndir = 'pipe'\n", "cache.dir", "not a directory"),
        ("[signing]\nkey = 'pipe'\n", "signing.key", PIPE),
        ("[remote]\nca = 'pipe'\n", "remote.ca", PIPE),
        ("[remote]\ntoken_file = 'pipe'\n", "remote.token_file", PIPE),
    ];
    for (settings, key, said) in named {
        world.write("new.toml", settings);
        let path = world.path("new.toml");
        let line = format!("config check {}", path.display());
        kiln(&world, &made, &line)
            .exits(2)
            .says(&format!("{key} names {}", world.path("pipe").display()))
            .says(said);
    }
    kiln(&world, &made, "config check $WORLD/pipe").exits(2);
}

#[test]
fn manifests_and_reports() {
    let world = World::new();
    let made = pipe("$WORLD/pipe");
    let path = world.path("pipe");
    let path = path.display();
    for line in [
        format!("farm plan {path}"),
        format!("report compare {path} {path}"),
        format!("config check {path}"),
    ] {
        let run = kiln(&world, &made, &line);
        assert_ne!(run.code, Some(124), "{run}");
        run.says(PIPE);
    }
}
