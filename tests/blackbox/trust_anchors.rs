//! Files that kiln believes: who else could have changed one, or read a secret one, is told, and it is not used.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, lchown, symlink},
    path::Path,
};

use super::{
    machine::{is_root, kernel},
    run::Run,
    world::World,
};

/// A server that nobody is asked for: files are looked at before.
const NOBODY: &str = "grpcs://127.0.0.1:1";

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A world with a package and the keys `keys/key.pem` and `keys/key.pub`.
fn world() -> World {
    let world = World::new();
    world.package("any", "");
    fs::create_dir(world.path("keys")).unwrap();
    world
        .kiln("remote keygen keys/key.pem keys/key.pub")
        .exits(0);
    world
}

/// A build that is to use a shared cache, with this variable set.
fn build(world: &World, variable: &str, value: &Path) -> Run {
    let package = world.path("any").display().to_string();
    let upload = match variable {
        "KILN_SIGNING_KEY" => "--remote-upload",
        _ => "",
    };
    let line = format!(
        "build {package} -k {} --remote-cache {NOBODY} {upload}",
        kernel()
    );
    let mut command = world.command(line);
    Run::of(command.env(variable, value))
}

#[test]
fn a_trusted_key_that_others_may_change() {
    let world = world();
    let (key, link) = (world.path("keys/key.pub"), world.path("link.pub"));
    symlink("keys/key.pub", &link).unwrap();
    let told = |path: &Path, bad: &Path, mode: &str| {
        let said = format!("{} may be written by others (mode {mode})", bad.display());
        let remedy = format!("chmod go-w {}", bad.display());
        build(&world, "KILN_TRUST", path)
            .exits(2)
            .says(&said)
            .says(&remedy);
    };
    build(&world, "KILN_TRUST", &link).exits(0);
    permit(&key, 0o666);
    told(&key, &key, "0666");
    told(&link, &key, "0666");
    permit(&key, 0o644);
    let directory = world.path("keys");
    permit(&directory, 0o777);
    told(&link, &directory, "0777");
    permit(&directory, 0o755);
    if is_root() {
        lchown(&link, Some(12345), None).unwrap();
        build(&world, "KILN_TRUST", &link)
            .exits(2)
            .says("link.pub belongs to user 12345");
    }
}

#[test]
fn a_private_key_that_others_may_read() {
    let world = world();
    let key = world.path("keys/key.pem");
    build(&world, "KILN_SIGNING_KEY", &key).exits(0);
    for (mode, shown) in [(0o644, "0644"), (0o640, "0640")] {
        permit(&key, mode);
        build(&world, "KILN_SIGNING_KEY", &key)
            .exits(2)
            .says(&format!(
                "{} is a secret and may be read by others (mode {shown}): chmod go-rwx {}",
                key.display(),
                key.display()
            ));
    }
    if is_root() {
        permit(&key, 0o600);
        lchown(&key, Some(12345), None).unwrap();
        build(&world, "KILN_SIGNING_KEY", &key)
            .exits(2)
            .says("key.pem belongs to user 12345");
    }
}

#[test]
fn an_authority_that_others_may_change_costs_the_server_and_not_the_build() {
    let world = world();
    let authority = world.write("ca.pem", "");
    permit(&authority, 0o666);
    build(&world, "KILN_REMOTE_CA", &authority)
        .exits(0)
        .says("the shared cache cannot be used, going on without: ")
        .says("ca.pem may be written by others (mode 0666)");
}

#[test]
fn a_check_of_the_settings_finds_them_all() {
    let world = world();
    world.write("settings/kiln/config.toml", "");
    let (public, private) = (world.path("keys/key.pub"), world.path("keys/key.pem"));
    let check = |variable: &str, path: &Path| {
        let mut command = world.command("config check");
        command
            .env("KILN_REMOTE_CACHE", NOBODY)
            .env("KILN_REMOTE_KEY", &private)
            .env("KILN_REMOTE_CERT", &public);
        Run::of(command.env(variable, path))
    };
    check("KILN_TRUST", &public).exits(0);
    permit(&public, 0o646);
    permit(&private, 0o644);
    for (variable, setting, path) in [
        ("KILN_TRUST", "signing.trust", &public),
        ("KILN_SIGNING_KEY", "signing.key", &private),
        ("KILN_REMOTE_CA", "remote.ca", &public),
        ("KILN_REMOTE_CERT", "remote.cert", &public),
        ("KILN_REMOTE_KEY", "remote.key", &private),
        ("KILN_REMOTE_TOKEN_FILE", "remote.token_file", &private),
    ] {
        let path_shown = path.display();
        check(variable, path)
            .exits(2)
            .says(&format!(
                "{variable}: {setting} names {path_shown}, which cannot be used: {path_shown} "
            ))
            .says("hint: chmod go-");
    }
}

#[test]
fn a_cache_whose_parts_or_way_others_may_write_to() {
    let world = World::new();
    let package = world.package("any", "");
    world.build(&package, "").exits(0);
    for part in ["kernels", "objects/ab", "actions/10", "strange"] {
        let part = world.cache().join(part);
        let is_new = !part.exists();
        fs::create_dir_all(&part).unwrap();
        permit(&part, 0o777);
        let run = world.build(&package, "").exits(4);
        run.says(&format!(
            "{} may be written by others (mode 0777)",
            part.display()
        ))
        .says(&format!("hint: chmod go-w {}", part.display()));
        permit(&part, 0o755);
        world.build(&package, "").exits(0);
        if is_new {
            fs::remove_dir(&part).unwrap();
        }
    }
    let above = world.path("above");
    fs::create_dir(&above).unwrap();
    permit(&above, 0o777);
    let line = format!("--cache-dir {}/cache", above.display());
    world
        .build(&package, &line)
        .exits(4)
        .says("above may be written by others (mode 0777)")
        .says(&format!("hint: chmod go-w {}", above.display()));
    assert_eq!(fs::read_dir(&above).unwrap().count(), 0);
    permit(&above, 0o1777);
    world.build(&package, &line).exits(0);
}
