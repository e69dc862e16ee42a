//! Where packages come from: directories, archives, /usr/src and the DKMS tree.

use std::process::Command;

use super::{machine::kernel, run::Run, world::World};

/// Runs a program that the test needs.
#[track_caller]
fn done(command: &mut Command) {
    let run = Run::of(command);
    assert_eq!(run.code, Some(0), "{run}");
}

/// Packs a package into a tarball with the given option, and builds that.
fn builds_tarball(ending: &str, option: &str) {
    let world = World::new();
    world.package_at("inside/usr/src/packed-1.0", "packed", "1.0", "");
    let archive = world.path(format!("packed.{ending}"));
    done(
        Command::new("tar")
            .arg("-C")
            .arg(world.path("inside"))
            .arg(option)
            .arg("-cf")
            .arg(&archive)
            .arg("usr"),
    );
    let archive = archive.to_str().unwrap();
    world.build(archive, "").exits(0).says("built packed/1.0");
    world.build(archive, "").exits(0).says("1 from the cache");
    let unpacked = world.path("inside/usr/src/packed-1.0");
    world
        .build(unpacked.to_str().unwrap(), "")
        .exits(0)
        .says("1 from the cache");
}

#[test]
fn a_tarball() {
    builds_tarball("tar", "--sparse");
}

#[test]
fn a_tarball_with_gzip() {
    builds_tarball("tar.gz", "--gzip");
}

#[test]
fn a_tarball_with_xz() {
    builds_tarball("tar.xz", "--xz");
}

#[test]
fn a_tarball_with_zstd() {
    builds_tarball("tar.zst", "--zstd");
}

#[test]
fn a_debian_package_with_two_packages_in_it() {
    let world = World::new();
    world.package_at("deb/usr/src/one-1.0", "one", "1.0", "");
    world.package_at("deb/usr/src/two-2.0", "two", "2.0", "");
    world.write(
        "deb/DEBIAN/control",
        "Package: pair-dkms\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\n\
         Description: two modules\n",
    );
    let deb = world.path("pair.deb");
    done(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .arg(world.path("deb"))
            .arg(&deb),
    );
    world
        .build(deb.to_str().unwrap(), "")
        .exits(0)
        .says("built one/1.0")
        .says("built two/2.0");
    world
        .build(deb.to_str().unwrap(), "")
        .exits(0)
        .says("2 from the cache");
}

#[test]
fn an_rpm() {
    let world = World::new();
    world.package_at("packed", "packed", "1.0", "");
    let file = |inner: String| {
        let target = format!("/usr/src/packed-1.0/{inner}");
        (
            world.path(format!("packed/{inner}")),
            rpm::FileOptions::new(target),
        )
    };
    let mut builder = rpm::PackageBuilder::new("packed-dkms", "1.0", "GPL", "noarch", "one module");
    for inner in ["dkms.conf".to_owned(), format!("prebuilt/{}.ko", kernel())] {
        let (source, options) = file(inner);
        builder.with_file(source, options).unwrap();
    }
    let path = world.path("packed.rpm");
    builder.build().unwrap().write_file(&path).unwrap();
    let path = path.to_str().unwrap();
    world.build(path, "").exits(0).says("built packed/1.0");
    world.build(path, "").exits(0).says("1 from the cache");
}

#[test]
fn archives_that_hold_nothing_to_build() {
    let world = World::new();
    world.write("inside/readme", "hello");
    done(
        Command::new("tar")
            .arg("-C")
            .arg(world.path("inside"))
            .arg("-cf")
            .arg(world.path("empty.tar"))
            .arg("."),
    );
    world
        .build("./empty.tar", "")
        .exits(1)
        .says("empty.tar")
        .says("dkms.conf");
    world.write("cut.tar.gz", [0x1f, 0x8b, 8, 0, 1, 2, 3]);
    world.build("./cut.tar.gz", "").exits(1).says("cut.tar.gz");
    world.write("note.txt", "hello");
    world
        .build("./note.txt", "")
        .exits(2)
        .says("neither a directory nor a .deb, .rpm or tarball");
}

#[test]
fn names_are_found_in_the_directory_of_sources() {
    let world = World::new();
    for version in ["0.9", "0.10"] {
        let directory = format!("machine/usr/src/found-{version}");
        world.package_at(&directory, "found", version, "");
    }
    let kernel = kernel();
    world
        .on_machine("", format!("build found -k {kernel}"))
        .exits(0)
        .says("built found/0.10")
        .never_says("found/0.9");
    world
        .on_machine("", format!("build found/0.9 -k {kernel}"))
        .exits(0)
        .says("built found/0.9");
    world
        .on_machine("", format!("build found/0.11 -k {kernel}"))
        .exits(2)
        .says("found/0.11");
}

#[test]
fn names_are_found_in_the_dkms_tree() {
    let world = World::new();
    world.package_at("machine/opt-source", "other-name", "9", "");
    let script = "mkdir -p /var/lib/dkms/registered/3.0\n\
         ln -s \"$WORLD/machine/opt-source\" /var/lib/dkms/registered/3.0/source\n\
         rm -rf /opt-source";
    let kernel = kernel();
    world
        .on_machine(script, format!("build registered -k {kernel}"))
        .exits(0)
        .says("built registered/3.0");
    let script = "mkdir -p /var/lib/dkms/registered/3.0\n\
         ln -s /nowhere /var/lib/dkms/registered/3.0/source";
    world
        .on_machine(script, format!("build registered/3.0 -k {kernel}"))
        .exits(2)
        .says("registered/3.0 is broken")
        .says("hint:");
}

#[test]
fn all_takes_the_newest_of_each() {
    let world = World::new();
    for (name, version) in [("ant", "1.0"), ("bee", "1.9"), ("bee", "1.10")] {
        let directory = format!("machine/usr/src/{name}-{version}");
        world.package_at(&directory, name, version, "");
    }
    let run = world
        .on_machine("", format!("build --all -k {} --json", kernel()))
        .exits(0);
    assert_eq!(run.cell("ant/1.0")["result"], "built");
    assert_eq!(run.cell("bee/1.10")["result"], "built");
    assert_eq!(run.summary()["built"], 2);
}

#[test]
fn all_of_nothing_is_no_failure() {
    let world = World::new();
    world
        .on_machine("", format!("build --all -k {}", kernel()))
        .exits(0);
}
