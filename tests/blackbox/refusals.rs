//! Packages that cannot be used, each refused with its reason, and none half-done.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
};

use super::{machine::kernel, run::wait_until, world::World};

/// A conf with these lines at its end fails with this message.
fn refuses(lines: &str, message: &str) {
    let world = World::new();
    let package = world.package("bad", lines);
    for _ in 0..2 {
        world
            .build(&package, "")
            .exits(1)
            .says(message)
            .never_says("built bad");
    }
}

#[test]
fn a_directory_without_a_conf() {
    let world = World::new();
    world.write("bare/hello.c", "");
    world
        .build("./bare", "")
        .exits(2)
        .says("./bare has no dkms.conf");
}

#[test]
fn a_name_that_is_nowhere() {
    let world = World::new();
    world
        .build("no-such-package", "")
        .exits(2)
        .says("package \"no-such-package\" is neither a path nor found in /usr/src")
        .says("hint:");
}

#[test]
fn no_package_at_all() {
    let world = World::new();
    world.build("", "").exits(2).says("no package is named");
}

#[test]
fn a_conf_that_may_not_be_read() {
    let world = World::new();
    let package = world.package("secret", "");
    let conf = world.path("secret/dkms.conf");
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o000)).unwrap();
    world
        .kiln_as_user(format!("build {package} -k {}", kernel()))
        .exits(1)
        .says(conf.to_str().unwrap())
        .says("Permission denied");
}

#[test]
fn a_conf_that_is_a_directory() {
    let world = World::new();
    fs::create_dir_all(world.path("odd/dkms.conf")).unwrap();
    world.build("./odd", "").exits(1).says("dkms.conf");
}

#[test]
fn a_conf_that_does_not_parse() {
    // A syntax error at the end leaves all directives set, and is an error all the same.
    refuses("if then (", "dkms.conf, line 6: syntax error");
}

#[test]
fn a_conf_that_ends_bash() {
    refuses("exit 3", "No 'PACKAGE_NAME' directive specified.");
}

#[test]
fn a_conf_that_never_ends() {
    let world = World::new();
    let package = world.package("endless", "while :; do :; done");
    world
        .build(&package, "--conf-timeout 1")
        .exits(1)
        .says("dkms.conf did not end within 1 s")
        .says("--conf-timeout");
}

#[test]
fn a_conf_that_prints_without_end() {
    let world = World::new();
    let package = world.package("chatty", "yes >&2");
    world
        .build(&package, "")
        .exits(1)
        .says("dkms.conf printed more than 16 MiB");
}

#[test]
fn a_version_with_slashes() {
    refuses("PACKAGE_VERSION=../../1/0", "contains a slash");
}

#[test]
fn a_name_with_slashes() {
    refuses("PACKAGE_NAME=../bad", "contains a slash");
}

#[test]
fn a_conf_without_a_name() {
    refuses(
        "unset PACKAGE_NAME",
        "No 'PACKAGE_NAME' directive specified.",
    );
}

#[test]
fn a_conf_without_a_version() {
    refuses(
        "unset PACKAGE_VERSION",
        "No 'PACKAGE_VERSION' directive specified.",
    );
}

#[test]
fn a_name_that_is_not_utf_8() {
    let world = World::new();
    let package = world.package("latin", "");
    let mut conf = fs::read(world.path("latin/dkms.conf")).unwrap();
    conf.extend_from_slice(b"PACKAGE_NAME=caf\xe9\n");
    fs::write(world.path("latin/dkms.conf"), conf).unwrap();
    world
        .build(&package, "")
        .exits(1)
        .says("is not valid UTF-8")
        .says("latin");
}

#[test]
fn a_patch_outside_the_package() {
    refuses(
        "PATCH[0]=../../../etc/passwd",
        "PATCH[0]=\"../../../etc/passwd\" leaves the package's directory",
    );
}

#[test]
fn a_module_outside_the_package() {
    refuses(
        "BUILT_MODULE_LOCATION[0]=../../other",
        "BUILT_MODULE_LOCATION[0]=\"../../other/\" leaves the package's directory",
    );
    refuses(
        "BUILT_MODULE_LOCATION[0]=/lib/modules",
        "BUILT_MODULE_LOCATION[0]=\"/lib/modules/\" leaves the package's directory",
    );
}

#[test]
fn a_destination_outside_the_results() {
    refuses(
        "DEST_MODULE_NAME[0]=../../evil",
        "DEST_MODULE_NAME[0]=\"../../evil\" leaves the directory of the package's built modules",
    );
    refuses(
        "DEST_MODULE_LOCATION[0]=/updates/../../../etc",
        "DEST_MODULE_LOCATION[0]=\"/updates/../../../etc\" leaves",
    );
    refuses(
        "DEST_MODULE_LOCATION[0]=/etc",
        "does not begin with '/kernel', '/updates', or '/extra' in record #0.",
    );
}

#[test]
fn a_module_name_with_an_ending() {
    refuses(
        "BUILT_MODULE_NAME[0]=bad.ko",
        "'BUILT_MODULE_NAME' directive ends in '.o' or '.ko' in record #0.",
    );
}

#[test]
fn two_modules_of_one_name() {
    refuses(
        "BUILT_MODULE_NAME[1]=bad\nDEST_MODULE_LOCATION[1]=/updates",
        "Duplicate module 'bad' in 'BUILT_MODULE_NAME[1]'.",
    );
    refuses(
        "BUILT_MODULE_NAME[1]=other\nDEST_MODULE_NAME[1]=bad\nDEST_MODULE_LOCATION[1]=/updates",
        "Duplicate module 'bad' in 'DEST_MODULE_NAME[1]'.",
    );
}

#[test]
fn a_gap_among_the_modules() {
    refuses(
        "BUILT_MODULE_NAME[2]=third\nDEST_MODULE_LOCATION[2]=/updates",
        "No 'BUILT_MODULE_NAME' directive specified for record #1.",
    );
}

#[test]
fn a_switch_that_is_neither_yes_nor_no() {
    refuses("AUTOINSTALL=maybe", "Unsupported AUTOINSTALL value 'maybe'");
}

#[test]
fn a_source_with_a_pipe_in_it() {
    let world = World::new();
    let package = world.package("plugged", "");
    let path = world.path("plugged/socket");
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    world.build(&package, "").exits(0);
    drop(socket);
    fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    world
        .build(&package, "")
        .exits(1)
        .says("is neither a regular file, a directory nor a link");
}

#[test]
fn a_conf_that_is_a_link_to_a_pipe() {
    let world = World::new();
    let package = world.package("piped", "");
    let (pipe, conf) = (world.path("pipe"), world.path("piped/dkms.conf"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    fs::remove_file(&conf).unwrap();
    std::os::unix::fs::symlink(&pipe, &conf).unwrap();
    let mut run = world.start(format!("build {package} -k {}", kernel()));
    wait_until("kiln ends", || run.has_ended());
    let run = run.finish();
    assert_ne!(run.code, Some(0), "{run}");
}

#[test]
fn a_bad_package_does_not_stop_the_others() {
    let world = World::new();
    let bad = world.package("bad", "PACKAGE_VERSION=1/2");
    let good = world.package("good", "");
    world
        .build(&format!("{bad} {good}"), "")
        .exits(1)
        .says("failed bad")
        .says("built good/1.0");
}

#[test]
fn file_names_that_are_not_utf_8_are_built_like_others() {
    let world = World::new();
    let package = world.package("bytes", "MAKE[0]='cat data*; '\"${MAKE[0]}\"");
    let name = std::ffi::OsStr::from_bytes(b"bytes/data\xff\xfe\n");
    world.write(name, "the content\n");
    world.build(&package, "").exits(0).says("built bytes/1.0");
    world
        .kiln(format!("log {package} -k {}", kernel()))
        .exits(0)
        .says("\nthe content\n");
    world.build(&package, "").exits(0).says("1 from the cache");
    world.write(name, "another\n");
    world
        .build(&package, "--explain")
        .exits(0)
        .says("in the source changed");
}
