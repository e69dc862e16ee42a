//! Settings: which layer wins, what is shown of them, and what is wrong with them.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;

use super::{
    machine::{is_root, kernel},
    run::Run,
    world::World,
};

/// The user's file in a world.
const USER_FILE: &str = "settings/kiln/config.toml";

/// The machine's file in a world.
const SYSTEM_FILE: &str = "machine/etc/kiln/config.toml";

/// What `kiln config show --json` says of a setting.
fn setting(run: &Run, key: &str) -> Value {
    let shown = run.events().remove(0);
    let mut settings = shown["settings"].as_array().unwrap().iter();
    settings
        .find(|setting| setting["key"] == key)
        .unwrap_or_else(|| panic!("no {key} in {run}"))
        .clone()
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn machine_user_environment_and_flag_in_this_order() {
    let world = World::new();
    let show = |script: &str, more: &str| {
        let script = format!("export XDG_CONFIG_HOME=\"$WORLD/settings\"\n{script}");
        let run = world.on_machine(&script, format!("config show --json {more}"));
        setting(&run.exits(0), "build.jobs")
    };
    assert_eq!(show("", "")["origin"]["kind"], "default");
    world.write(SYSTEM_FILE, "[build]\njobs = 11\n");
    let found = show("", "");
    assert_eq!(found["value"], 11);
    assert_eq!(found["origin"]["path"], "/etc/kiln/config.toml");
    assert_eq!(found["origin"]["line"], 2);
    let file = world.write(USER_FILE, "# mine\n[build]\njobs = 12\n");
    let found = show("", "");
    assert_eq!(found["value"], 12);
    assert_eq!(found["origin"]["path"], file.to_str().unwrap());
    assert_eq!(found["origin"]["line"], 3);
    let found = show("export KILN_JOBS=13", "");
    assert_eq!(found["value"], 13);
    assert_eq!(found["origin"]["name"], "KILN_JOBS");
    let found = show("export KILN_JOBS=13", "-j 14");
    assert_eq!(found["value"], 14);
    assert_eq!(found["origin"]["name"], "--jobs");
    let overrides = found["overrides"].as_array().unwrap();
    let kinds: Vec<&Value> = overrides.iter().map(|origin| &origin["kind"]).collect();
    assert_eq!(kinds, ["variable", "file", "file"]);
}

#[test]
fn the_cache_is_where_the_last_word_says() {
    let world = World::new();
    world.write(USER_FILE, "[cache]\ndir = '../store'\n");
    let path = |variable: Option<&str>, more: &str| {
        let mut command = std::process::Command::new(super::world::KILN);
        command
            .args(format!("cache path {more}").split_whitespace())
            .env("XDG_CONFIG_HOME", world.path("settings"))
            .env_remove("KILN_CACHE");
        if let Some(directory) = variable {
            command.env("KILN_CACHE", directory);
        }
        let run = Run::of(&mut command).exits(0);
        run.out.trim_end().to_owned()
    };
    let of_file = world.path("settings/kiln/../store");
    assert_eq!(path(None, ""), of_file.to_str().unwrap());
    assert_eq!(path(Some("/some/where"), ""), "/some/where");
    assert_eq!(path(Some(""), ""), of_file.to_str().unwrap(), "empty");
    assert_eq!(path(Some("/some/where"), "--cache-dir /else"), "/else");
    let help = world.kiln("build --help").exits(0).out;
    assert!(help.contains("KILN_CACHE") && help.contains("KILN_JOBS"));
}

#[test]
fn what_is_shown_can_be_a_file() {
    let world = World::new();
    world.write(
        USER_FILE,
        "[build]\njobs = 3\ntimeout = 60\n[cache]\nmax_size = '10G'\n\
         [remote_cache]\nurl = 'grpcs://cache.example/main'\nupload = true\n\
         [remote_exec]\nplatform = { 'container-image' = 'docker://a@sha256:0', os = 'linux' }\n\
         [signing]\ntrust = ['a.pub', { key = 'b.pub', not_after = 2030-01-01T00:00:00Z }]\n",
    );
    let before = world.kiln("config show").exits(0);
    let values = |run: &Run| toml::from_str::<toml::Table>(&run.out).unwrap();
    let shown = values(&before);
    assert_eq!(shown["build"]["jobs"].as_integer(), Some(3));
    let first = shown["signing"]["trust"][0]["key"].as_str().unwrap();
    assert_eq!(first, world.path("settings/kiln/a.pub").to_str().unwrap());
    world.write(USER_FILE, &before.out);
    assert_eq!(values(&world.kiln("config show").exits(0)), shown);
}

#[test]
fn secrets_are_not_shown() {
    let world = World::new();
    world.write(
        USER_FILE,
        "[remote]\nheaders = { x-key = 's3cret' }\ntoken_file = 'token'\n",
    );
    for more in ["", "--json"] {
        let mut command = world.command(format!("config show {more}"));
        Run::of(command.env("KILN_REMOTE_TOKEN", "s3cret"))
            .exits(0)
            .says("KILN_REMOTE_TOKEN")
            .never_says("s3cret");
    }
    let mut command = world.command("config show");
    Run::of(command.env("KILN_REMOTE_TOKEN", "s3cret"))
        .says("KILN_REMOTE_TOKEN, set but not shown")
        .says("gives way to remote.token");
    let mut command = world.command("cache path");
    Run::of(command.env("KILN_REMOTE_TOKEN", "s3cret two"))
        .exits(2)
        .says("KILN_REMOTE_TOKEN: remote.token expects a token")
        .never_says("s3cret");
}

#[test]
fn what_is_wrong_ends_a_command_before_it_does_anything() {
    let world = World::new();
    let package = world.package("any", "");
    let file = world.write(
        USER_FILE,
        "[build]\njobs = 'many'\n  timeot = 3\n[biuld]\nx = 1\n",
    );
    let at = file.to_str().unwrap();
    let told =
        |run: Run| {
            run.exits(2)
            .says(&format!(
                "kiln: error: {at}:2:8: build.jobs expects a whole number above 0, not \"many\"\n"
            ))
            .says(&format!("kiln: error: {at}:3:3: there is no setting build.timeot"))
            .says("did you mean timeout?")
            .says(&format!("kiln: error: {at}:4:2: there is no table [biuld]"))
            .says("did you mean [build]?")
        };
    told(world.build(&package, ""));
    assert!(!world.cache().exists());
    told(world.build(&package, "-j 2"));
    told(world.kiln("cache stats"));
    told(world.kiln("config check"));
    told(world.kiln("config show")).says("build.timeout = 0");
    world.kiln("config path").exits(0).says(at);
    world.write(USER_FILE, "[build]\njobs 3\n");
    world
        .build(&package, "")
        .exits(2)
        .says(&format!("kiln: error: {at}:2:6: "));
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    let world = World::new();
    let mut command = world.command("cache path");
    Run::of(command.env("KILN_REMOTE_CACHE", "cache.example:8980"))
        .exits(2)
        .says("KILN_REMOTE_CACHE: remote_cache.url expects grpc://HOST[:PORT][/INSTANCE]");
}

#[test]
fn flags_are_checked_like_files() {
    let world = World::new();
    world
        .kiln("config show --timeout long")
        .exits(2)
        .says("expects a whole number of seconds, or 0 for no limit, not \"long\"");
    world.kiln("config show --color pink").exits(2);
}

#[test]
fn a_file_that_cannot_be_read() {
    let world = World::new();
    let file = world.write("home/.config/kiln/config.toml", "[build]\njobs = 3\n");
    permit(&file, 0);
    world
        .kiln_as_user("config show")
        .exits(2)
        .says(&format!("cannot read {}", file.display()))
        .says("hint: there are no secrets in it, so all may read it: chmod a+r");
    permit(&file, 0o644);
    world.kiln_as_user("config show").exits(0).says("jobs = 3");
    permit(file.parent().unwrap(), 0);
    world
        .kiln_as_user("config show")
        .exits(0)
        .says("out of sight")
        .never_says("jobs = 3");
    permit(file.parent().unwrap(), 0o755);
}

#[test]
fn whom_to_trust_is_not_taken_from_a_file_that_others_may_write_to() {
    let world = World::new();
    let file = world.write(USER_FILE, "[build]\njobs = 3\n");
    permit(&file, 0o666);
    world.kiln("config show").exits(0).says("jobs = 3");
    for guarded in [
        "[signing]\ntrust = ['a.pub']\n",
        "[remote]\ncredential_helper = 'helper'\n",
        "[remote_cache]\nurl = 'grpcs://cache'\n",
        "[cache]\ndir = 'store'\n",
    ] {
        fs::write(&file, guarded).unwrap();
        permit(&file, 0o666);
        world
            .kiln("cache path")
            .exits(2)
            .says(&format!("{}:2:", file.display()))
            .says("is not taken from this file")
            .says("may be written by others (mode 0666)")
            .says(&format!("hint: chmod go-w {}", file.display()));
        permit(&file, 0o644);
        world.kiln("cache path").exits(0);
        permit(file.parent().unwrap(), 0o777);
        world
            .kiln("cache path")
            .exits(2)
            .says("settings/kiln may be written by others (mode 0777)");
        permit(file.parent().unwrap(), 0o755);
    }
}

#[test]
fn whom_to_trust_is_not_taken_from_somebody_elses_file() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let file = world.write(USER_FILE, "[signing]\ntrust = ['a.pub']\n");
    std::os::unix::fs::chown(&file, Some(12345), None).unwrap();
    world
        .kiln("cache path")
        .exits(2)
        .says("belongs to user 12345");
}

#[test]
fn settings_of_a_file_have_effect() {
    let world = World::new();
    let package = world.package("slow", "PRE_BUILD='slow.sh'");
    let token = world.token();
    world.write_script("slow/slow.sh", &format!("#!/bin/sh\nsleep {token}\n"));
    world.write(USER_FILE, "[build]\ntimeout = 1\ncolor = 'always'\n");
    let run = world.build(&package, "").exits(1).says("time");
    assert!(
        run.err.contains("\x1b[") || run.out.contains("\x1b["),
        "{run}"
    );
    let mut command = world.command(format!("build {package} -k {}", kernel()));
    let run = Run::of(command.env("NO_COLOR", "1")).exits(1);
    assert!(!run.err.contains("\x1b[") && !run.out.contains("\x1b["));
}

#[test]
fn flags_name_servers_too() {
    let world = World::new();
    world.write(
        USER_FILE,
        "[remote_cache]\nurl = 'grpc://file'\nupload = true\n\
         [remote_exec]\nplatform = { os = 'linux' }\n",
    );
    let show = |flags: &str, key: &str| {
        let run = world.kiln(format!("config show --json {flags}")).exits(0);
        let found = setting(&run, key);
        (found["value"].clone(), found["origin"]["kind"].clone())
    };
    let of_flag = |value: Value| (value, Value::from("flag"));
    assert_eq!(
        show("--remote-cache grpcs://flag/main", "remote_cache.url"),
        of_flag("grpcs://flag:443/main".into())
    );
    assert_eq!(
        show("--remote-cache none", "remote_cache.url"),
        of_flag("none".into())
    );
    let upload = |flags: &str| show(flags, "remote_cache.upload");
    assert_eq!(upload("").1, "file");
    assert_eq!(upload("--no-remote-upload"), of_flag(false.into()));
    assert_eq!(
        upload("--no-remote-upload --remote-upload"),
        of_flag(true.into())
    );
    let (platform, _) = show(
        "--remote-platform os=debian --remote-platform pool=big",
        "remote_exec.platform",
    );
    assert_eq!(platform["os"], "debian");
    assert_eq!(platform["pool"], "big");
    let jobs = show("--remote-jobs 500", "remote_exec.jobs");
    assert_eq!(jobs, of_flag(500.into()));
    world
        .kiln("config show --no-remote-upload")
        .exits(0)
        .says("# --no-remote-upload, over ");
    world
        .kiln("config show --remote-exec http://engine")
        .exits(2)
        .says("expects grpc://HOST[:PORT][/INSTANCE]");
    world
        .kiln("config show --remote-platform linux")
        .exits(2)
        .says("expects NAME=VALUE, not \"linux\"");
}

#[test]
fn a_server_that_a_file_names_is_asked() {
    let world = World::new();
    let package = world.package("any", "");
    world.write(USER_FILE, "[remote_cache]\nurl = 'grpc://127.0.0.1:1'\n");
    let told = "the shared cache cannot be used, going on without";
    let notices = world.build(&package, "--json").exits(0).events();
    let of_json = notices.iter().find(|event| event["event"] == "notice");
    assert!(of_json.unwrap()["text"].as_str().unwrap().contains(told));
}

#[test]
fn gc_keeps_to_the_size_that_a_file_says() {
    let world = World::new();
    let package = world.package("old", "");
    world.build(&package, "").exits(0);
    world.write(USER_FILE, "[cache]\nmax_size = 0\n");
    world
        .kiln("cache gc --max-size 10G")
        .exits(0)
        .says("removed 0 records");
    world.kiln("cache gc").exits(0).says("removed 4 records");
}

#[test]
fn a_file_can_be_checked_by_itself() {
    let world = World::new();
    world.write(USER_FILE, "[build]\njobs = 0\n");
    let good = "[build]\njobs = 3\n[remote]\nca = 'ca.pem'\n";
    world.write("new/config.toml", good);
    let ca = world.path("new/ca.pem");
    world
        .kiln("config check new/config.toml")
        .exits(2)
        .says(&format!(
            "config.toml:4:6: remote.ca names {}",
            ca.display()
        ));
    world.write("new/ca.pem", "");
    world
        .kiln("config check new/config.toml")
        .exits(0)
        .says("config.toml: read");
    world
        .kiln("config check new/none.toml")
        .exits(2)
        .says("cannot read none.toml".replace("none", "new/none").as_str());
}

/// Builds a package as dkms does, on a machine whose file sets the cache, and more.
fn dkms_build(world: &World, more: &str) -> Run {
    world.package_at("machine/usr/src/any-1.0", "any", "1.0", "");
    let store = world.path("store");
    let settings = format!("[cache]\ndir = '{}'\n{more}", store.display());
    world.write(SYSTEM_FILE, settings);
    world.on_machine(
        "mkdir /var/lib/dkms\nexport KILN_CACHE= XDG_CONFIG_HOME=\"$WORLD/settings\"",
        format!("dkms build any/1.0 -k {}", kernel()),
    )
}

#[test]
fn dkms_takes_the_machines_file_and_no_users() {
    let world = World::new();
    world.write(USER_FILE, "this is no file of settings");
    dkms_build(&world, "[build]\njobs = 3\n")
        .exits(0)
        .never_says("Warning");
    assert!(world.path("store/format").exists());
}

#[test]
fn dkms_goes_on_without_what_is_wrong() {
    let world = World::new();
    dkms_build(&world, "[build]\njobs = 3\ntimeot = 9\n")
        .exits(0)
        .says("Warning: /etc/kiln/config.toml:5:1: there is no setting build.timeot")
        .says("Building without these settings, and without any remote cache.");
    assert!(world.path("store/format").exists());
}
