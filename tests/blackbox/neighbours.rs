//! Packages and dkms.conf files that look at other packages of the machine, which they do not name.

use super::{machine::kernel, run::Run, world::World};

/// A machine with another package, whose header says `word`.
fn other(word: &str) -> String {
    format!(
        "mkdir -p /usr/src/other-1.0 /var/lib/dkms/other/1.0
         echo '#define WORD \"word:{word}\"' > /usr/src/other-1.0/other.h
         touch -d @1 /usr/src/other-1.0/other.h
         ln -sf /usr/src/other-1.0 /var/lib/dkms/other/1.0/source\nsleep 0.05"
    )
}

fn build(world: &World, package: &str, change: &str, code: i32) -> Run {
    let line = format!("build {package} -k {} --json", kernel());
    world.on_machine(change, line).exits(code)
}

/// Asserts that a build on a machine has the result that it has with an empty cache, and gives it in a word.
fn result(world: &World, package: &str, change: &str) -> String {
    let line = |more: &str| format!("build {package} -k {} --json {more}", kernel());
    let run = world.on_machine(change, line(""));
    let clean = world.on_machine(change, line("--cache-dir clean"));
    std::fs::remove_dir_all(world.path("clean")).unwrap();
    let outputs = |run: &Run| {
        run.cell("asking")["outputs"].as_array().map(|outputs| {
            let digests = outputs.iter().map(|output| output["digest"].clone());
            digests.collect::<Vec<_>>()
        })
    };
    assert_eq!(run.code, clean.code, "{run}\n{clean}");
    assert_eq!(outputs(&run), outputs(&clean), "{run}\n{clean}");
    run.cell("asking")["result"].as_str().unwrap().to_owned()
}

const MAKE: &str = "MAKE[0]='sh ./all.sh && cp prebuilt/${kernelver}.ko asking.ko && \
    objcopy --add-section .word=word asking.ko'";

#[test]
fn a_job_that_needs_another_package_is_built_with_it() {
    for way in [
        "cp /usr/src/other-1.0/other.h word",
        "cat /var/lib/dkms/other/1.0/source/other.h > word",
        "cat $(ls -d /usr/src/other-*)/other.h > word",
        "cat $(find /usr/src/ -name other.h) > word; [ -s word ]",
        "cat /var/lib/dkms/*/*/source/other.h > word; [ -s word ]",
        "cd /usr/src/other-1.0 && cat other.h > /var/lib/dkms/asking/1.0/build/word",
        "ln -s /usr/src/other-1.0 l; cat l/other.h > word",
    ] {
        let world = World::new();
        let package = world.package("asking", MAKE);
        world.write("asking/all.sh", way);
        assert_eq!(result(&world, &package, ""), "failed", "{way}");
        assert_eq!(result(&world, &package, &other("one")), "built", "{way}");
        assert_eq!(result(&world, &package, &other("two")), "built", "{way}");
        assert_eq!(result(&world, &package, ""), "failed", "{way}");
    }
}

#[test]
fn a_job_that_lists_the_dkms_tree_sees_all_that_is_there() {
    for (name, way) in [
        ("other", "cat /var/lib/dkms/*/*/source/other.h"),
        ("asking", "cat /var/lib/dkms/asking/*/source/other.h"),
        ("asking", "cat /var/lib/dkms/asking/0.9/source/other.h"),
        ("asking", "cat ../../0.9/source/other.h"),
    ] {
        let world = World::new();
        let package = world.package("asking", MAKE);
        let script = format!("{way} > word 2> /dev/null || echo none > word");
        world.write("asking/all.sh", script);
        // With what a build before has left of the package itself.
        let there = |word: &str| {
            format!(
                "mkdir -p /usr/src/{name}-0.9 /var/lib/dkms/{name}/0.9 /var/lib/dkms/asking/1.0/{kernel}
                 mkdir -p /var/lib/dkms/asking/1.0/build; echo old > /var/lib/dkms/asking/1.0/build/old
                 ln -sf 0.9 /var/lib/dkms/{name}/kernel-x
                 echo '{word}' > /usr/src/{name}-0.9/other.h
                 touch -d @1 /usr/src/{name}-0.9/other.h
                 ln -sf /usr/src/{name}-0.9 /var/lib/dkms/{name}/0.9/source\nsleep 0.05",
                kernel = kernel()
            )
        };
        assert_eq!(result(&world, &package, ""), "built", "{way}");
        assert_eq!(result(&world, &package, &there("one")), "built", "{way}");
        assert_eq!(result(&world, &package, &there("two")), "built", "{way}");
        assert_eq!(result(&world, &package, ""), "hit", "{way}");
    }
}

#[test]
fn a_job_that_does_without_is_built_with_what_is_there() {
    let world = World::new();
    let package = world.package("asking", MAKE);
    let script = "if [ -e /usr/src/other-1.0/other.h ]; then cat /usr/src/other-1.0/other.h; else echo; fi > word";
    world.write("asking/all.sh", script);
    assert_eq!(result(&world, &package, ""), "built");
    assert_eq!(result(&world, &package, &other("one")), "built");
    assert_eq!(result(&world, &package, ""), "hit");
    assert_eq!(result(&world, &package, "mkdir /usr/src/third-1"), "hit");
    // As it is when it was there before.
    let again = world.on_machine(
        &other("one"),
        format!("build {package} -k {} --json", kernel()),
    );
    assert_eq!(again.exits(0).cell("asking")["result"], "hit");
}

#[test]
fn a_conf_that_looks_at_another_package_sees_it() {
    let world = World::new();
    let lines = "word=$(cat /usr/src/other-1.0/other.h 2> /dev/null)\n[ \"$word\" ] || word=none\n\
        MAKE[0]=\"echo '$word' > word; cp prebuilt/${kernelver}.ko asking.ko; \
        objcopy --add-section .word=word asking.ko\"";
    let package = world.package("asking", lines);
    assert_eq!(result(&world, &package, ""), "built");
    assert_eq!(result(&world, &package, &other("one")), "built");
    assert_eq!(result(&world, &package, &other("two")), "built");
    assert_eq!(result(&world, &package, ""), "hit");
}

#[test]
fn what_a_failed_job_could_not_see_is_named() {
    let world = World::new();
    let package = world.package("asking", MAKE);
    world.write("asking/all.sh", "cat /opt/vendor/x.h > word");
    let line = format!("build {package} -k {}", kernel());
    let change = "mkdir -p /opt; mount -t tmpfs -o mode=755 tmpfs /opt; mkdir /opt/vendor; echo > /opt/vendor/x.h";
    world
        .on_machine(change, &line)
        .exits(1)
        .says("note: it looked for /opt/vendor/x.h, which is there, but which builds do not see");
    build(&world, &package, "", 1);
}

#[test]
fn a_link_out_of_the_source_is_named() {
    let world = World::new();
    let package = world.package("asking", MAKE);
    world.write("asking/all.sh", "cat linked.h > word");
    std::os::unix::fs::symlink("/opt/vendor/x.h", world.path("asking/linked.h")).unwrap();
    let line = format!("build {package} -k {}", kernel());
    let change = "mkdir -p /opt; mount -t tmpfs -o mode=755 tmpfs /opt; mkdir /opt/vendor; echo > /opt/vendor/x.h";
    world
        .on_machine(change, &line)
        .exits(1)
        .says("it looked for /opt/vendor/x.h, which is there");
}
