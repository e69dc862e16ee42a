//! What is touched between planning and the end of a job voids the job, also when its old content is back:
//! the job is run again from what is there then, and nothing is stored for the inputs that were.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    machine::{self, kernel},
    run::{Run, Running, wait_until},
    world::World,
};

const SAYS: &str = "changed during the build; what it goes into is built again";

/// A package whose job sleeps before it builds.
fn sleeper(world: &World, name: &str, token: &str, more: &str) -> String {
    let waits = world.waits(name, token);
    let sleeps = format!("MAKE[0]='{waits}; '\"${{MAKE[0]}}\"\n{more}");
    world.package(name, &sleeps)
}

fn sleeps(token: &str) {
    wait_until("the job sleeps", || !machine::processes(token).is_empty());
}

/// Replaces a file's content, and puts it back.
fn there_and_back(path: &Path) {
    let before = fs::read(path).unwrap();
    fs::write(path, [before.as_slice(), b"\n/* other */\n"].concat()).unwrap();
    fs::write(path, before).unwrap();
}

/// A run during whose first job `touch` is done: that job is void, and the next one counts.
fn touched_during(world: &World, line: &str, token: &str, touch: impl FnOnce()) -> Run {
    let run = world.start(line);
    sleeps(token);
    touch();
    machine::wake(token);
    machine::wake(token);
    run.finish()
}

/// The same on a layered machine, where a shell does it. Its `/usr/bin` and `/var/lib/dpkg` can be written.
fn touched_on_machine(world: &World, line: &str, token: &str, touch: &str) -> Run {
    let run = touched_once(world, line, token, touch);
    machine::wake(token);
    run.finish()
}

/// The same while the first job sleeps, which is then awake.
fn touched_once(world: &World, line: &str, token: &str, touch: &str) -> Running {
    // As systemd has it: what is mounted is seen by those who have copied the mounts before.
    let script = format!(
        "mount --make-rshared /
         mkdir -p $WORLD/layers/upper/bin $WORLD/layers/work/bin
         mount -t overlay overlay -o lowerdir=/usr/bin,upperdir=$WORLD/layers/upper/bin,workdir=$WORLD/layers/work/bin /usr/bin
         ( until [ -e $WORLD/go ]; do sleep 0.05; done; {touch}; : > $WORLD/done ) > /dev/null 2>&1 &"
    );
    let (go, done) = (world.path("go"), world.path("done"));
    let _ = fs::remove_file(&done);
    let run = Running::start(&mut world.machine_command(&script, line));
    sleeps(token);
    fs::write(&go, "").unwrap();
    wait_until("it is touched", || done.exists());
    fs::remove_file(&go).unwrap();
    machine::wake(token);
    run
}

/// Only root's builds are kept from it.
#[test]
fn what_is_mounted_over_an_input_is_not_seen() {
    let world = World::new();
    let token = world.token();
    let waits = world.waits("mounted", &token);
    let package = world.package(
        "mounted",
        &format!(
            "MAKE[0]='{waits}; cat /usr/bin/ldd > word; cp prebuilt/${{kernelver}}.ko mounted.ko; \
             objcopy --add-section .word=word mounted.ko'"
        ),
    );
    world.write("other", "mounted over it\n");
    let line = format!("build {package} -k {} -o out", kernel());
    let mount = "mount --bind $WORLD/other /usr/bin/ldd";
    touched_once(&world, &line, &token, mount).finish().exits(0);
    let module = world.path(format!(
        "out/{}/{}/mounted/1.0/mounted.ko",
        kernel(),
        machine::arch()
    ));
    let module = String::from_utf8_lossy(&fs::read(module).unwrap()).into_owned();
    assert!(!module.contains("mounted over it"));
}

fn small_tree(world: &World) -> (PathBuf, PathBuf) {
    let tree = world.kernel_tree(kernel());
    let header = tree.join("include/generated/autoconf.h");
    assert!(header.is_file());
    (tree, header)
}

#[test]
fn a_header_that_was_another_for_a_while() {
    let world = World::new();
    let token = world.token();
    let package = sleeper(&world, "header", &token, "");
    let (tree, header) = small_tree(&world);
    let line = format!("build {package} -k {}", tree.display());
    touched_during(&world, &line, &token, || there_and_back(&header))
        .exits(0)
        .says(&format!("{} {SAYS}", header.display()))
        .says("1 built");
    world.kiln(&line).exits(0).says("1 from the cache");
}

#[test]
fn a_source_that_changes_and_stays_so_is_built_as_it_is_then() {
    let world = World::new();
    let token = world.token();
    let package = sleeper(&world, "source", &token, "");
    let note = world.write("source/note", "before\n");
    let line = format!("build {package} -k {}", kernel());
    touched_during(&world, &line, &token, || {
        fs::write(&note, "after\n").unwrap()
    })
    .exits(0)
    .says(SAYS)
    .says("1 built");
    world.kiln(&line).exits(0).says("1 from the cache");
    fs::write(&note, "before\n").unwrap();
    world
        .kiln(format!("{line} --dry-run"))
        .exits(0)
        .never_says("1 from the cache");
}

#[test]
fn a_source_of_a_dependency_that_was_another_for_a_while() {
    let world = World::new();
    let token = world.token();
    world.package("below", "");
    let note = world.write("below/note", "note\n");
    let above = sleeper(&world, "above", &token, "BUILD_DEPENDS[0]=below");
    let line = format!(
        "build {} {above} -k {}",
        world.path("below").display(),
        kernel()
    );
    touched_during(&world, &line, &token, || there_and_back(&note))
        .exits(0)
        .says(SAYS)
        .says("2 built");
}

#[test]
fn without_a_cache_only_what_is_void_is_built_twice() {
    let world = World::new();
    let token = world.token();
    let quick = world.package("quick", "");
    let package = sleeper(&world, "void", &token, "");
    let note = world.write("void/note", "note\n");
    let line = format!("build {quick} {package} -k {} --no-cache --json", kernel());
    let mut run = world.start(&line);
    run.until("finished", "quick");
    sleeps(&token);
    there_and_back(&note);
    machine::wake(&token);
    machine::wake(&token);
    let run = run.finish().exits(0);
    let started = |name: &str| {
        let is_start = |event: &&serde_json::Value| {
            let package = event["package"].as_str().unwrap_or_default();
            event["event"] == "started" && package.starts_with(name)
        };
        run.events().iter().filter(is_start).count()
    };
    assert_eq!((started("quick"), started("void")), (1, 2), "{run}");
    assert_eq!(run.cell("quick")["result"], "built");
}

#[test]
fn an_assembler_that_was_another_for_a_while() {
    let world = World::new();
    let token = world.token();
    let package = sleeper(&world, "tools", &token, "");
    let line = format!("build {package} -k {}", kernel());
    let touch = "mv /usr/bin/as /usr/bin/as-away; cp /bin/true /usr/bin/as; mv -f /usr/bin/as-away /usr/bin/as";
    touched_on_machine(&world, &line, &token, touch)
        .exits(0)
        .says(SAYS)
        .says("1 built");
}

#[test]
fn files_of_etc_that_a_job_looks_at_and_that_moved() {
    for (name, look, touch) in [
        (
            "release",
            "cat /etc/debian_version",
            "echo other >> /etc/debian_version",
        ),
        (
            "alternative",
            "ls /etc/alternatives",
            "ln -sf /bin/true /etc/alternatives/other; rm /etc/alternatives/other",
        ),
        (
            "override",
            "true",
            "echo other > /etc/dkms/override/note; echo note > /etc/dkms/override/note",
        ),
    ] {
        let world = World::new();
        let token = world.token();
        let more = format!("MAKE[0]='{look}; '\"${{MAKE[0]}}\"");
        let package = sleeper(&world, name, &token, &more);
        world.write("machine/etc/dkms/override/note", "note\n");
        let line = format!("build {package} -k {}", kernel());
        touched_on_machine(&world, &line, &token, touch)
            .exits(0)
            .says(SAYS)
            .says("1 built");
    }
}

#[test]
fn an_input_of_a_conf_that_was_another_for_a_while() {
    let world = World::new();
    let token = world.token();
    // A conf that is more than assignments is evaluated by bash; this one once a reading.
    let waits = world.waits("slow", &token);
    let conf = format!("[ ! \"$module\" ] || {waits}\n:");
    let package = world.package("slow", &conf);
    let (tree, header) = small_tree(&world);
    let line = format!("build {package} -k {}", tree.display());
    touched_during(&world, &line, &token, || there_and_back(&header))
        .exits(0)
        .says(SAYS)
        .says("1 built");
    world.kiln(&line).exits(0).says("1 from the cache");
}
