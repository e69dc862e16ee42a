//! What a dkms.conf looks at: it sees what it would see under dkms, that is in its key, and what it would see there and
//! does not see here is said.

use std::fs;

use super::{
    machine::{self, kernel},
    run::Run,
    world::World,
};

/// A package whose module is one word, which its dkms.conf finds out in the variable `word`.
fn package(world: &World, lines: &str) -> String {
    let make = "MAKE[0]=\"cp prebuilt/${kernelver}.ko odd.ko; echo '$word' > word; \
                objcopy --add-section .word=word odd.ko\"";
    world.package("odd", &format!("{lines}\n{make}"))
}

/// Builds on a machine that is changed by a script first.
fn build(world: &World, package: &str, change: &str, more: &str) -> Run {
    let line = format!("build {package} -k {} -o out {more}", kernel());
    // Times of files within one tick of the clock tell nothing.
    world.on_machine(&format!("{change}\nsleep 0.05"), line)
}

/// The word in the module that was built last.
fn word(world: &World) -> String {
    let directory = format!("out/{}/{}/odd/1.0", kernel(), machine::arch());
    let module = fs::read(world.path(directory).join("odd.ko")).unwrap();
    let text = String::from_utf8_lossy(&module).into_owned();
    let start = text.find("word:").unwrap();
    let word = &text[start + 5..];
    word[..word.find('\n').unwrap()].to_owned()
}

#[test]
fn settings_of_the_machine_are_read_and_count() {
    for directory in ["/etc/default", "/etc/sysconfig"] {
        let world = World::new();
        let package = package(
            &world,
            &format!("[ -r {directory}/odd ] && . {directory}/odd"),
        );
        let set = |to: &str| format!("mkdir -p {directory}; echo word=word:{to} > {directory}/odd");
        let otherwise = "; echo unrelated > /etc/default/other";
        build(&world, &package, &set("one"), "")
            .exits(0)
            .says("built");
        assert_eq!(word(&world), "one");
        let again = set("one") + otherwise;
        build(&world, &package, &again, "")
            .exits(0)
            .says("from the cache");
        build(&world, &package, &set("two"), "")
            .exits(0)
            .says("built");
        assert_eq!(word(&world), "two");
        build(&world, &package, "", "").exits(0);
    }
}

#[test]
fn what_a_conf_runs_counts_and_what_it_does_not_run_does_not() {
    let world = World::new();
    let package = package(&world, "word=word:$(mygen 2> /dev/null || echo none)");
    let install = |program: &str, says: &str| {
        format!(
            "mkdir -p $WORLD/layers/bin $WORLD/layers/bin.work
             mount -t overlay overlay -o lowerdir=/usr/bin,upperdir=$WORLD/layers/bin,workdir=$WORLD/layers/bin.work /usr/bin
             printf '#!/bin/sh\\necho {says}\\n' > /usr/bin/{program}; chmod 755 /usr/bin/{program}"
        )
    };
    build(&world, &package, "", "").exits(0);
    assert_eq!(word(&world), "none");
    build(&world, &package, &install("mygen", "1"), "").exits(0);
    assert_eq!(word(&world), "1");
    build(&world, &package, &install("mygen", "2"), "").exits(0);
    assert_eq!(word(&world), "2");
    let line = format!("build {package} -k {} --json", kernel());
    let run = world.on_machine(&install("other", "1"), line).exits(0);
    assert_eq!(run.cell("odd")["result"], "hit", "{run}");
}

#[test]
fn its_own_source_has_the_names_that_dkms_gives_it() {
    let ways = [
        "cat VERSION",
        "cat ./VERSION",
        "cat /usr/src/odd-1.0/VERSION",
        "cat $source_tree/odd-1.0/VERSION",
        "cat $dkms_tree/odd/1.0/source/VERSION",
        "cat ${BASH_SOURCE[0]%/*}/VERSION",
        "cat $(dirname $(readlink -f ${BASH_SOURCE[0]}))/VERSION",
    ];
    for way in ways {
        let world = World::new();
        let package = package(&world, &format!("word=word:$({way})"));
        world.write("odd/VERSION", "seven\n");
        build(&world, &package, "", "").exits(0);
        assert_eq!(word(&world), "seven", "{way}");
        world.write("odd/VERSION", "eight\n");
        build(&world, &package, "", "").exits(0);
        assert_eq!(word(&world), "eight", "{way}");
    }
    let world = World::new();
    let package = package(&world, "word=word:$(readlink -f ${BASH_SOURCE[0]})");
    build(&world, &package, "", "").exits(0);
    assert_eq!(word(&world), "/usr/src/odd-1.0/dkms.conf");
}

#[test]
fn variables_are_those_of_dkms() {
    let world = World::new();
    let package = package(&world, "word=word:$HOME,$tmp_location,$parallel_jobs");
    build(&world, &package, "", "").exits(0);
    assert_eq!(word(&world), "/root,/tmp,1");
}

#[test]
fn what_bash_complains_of_is_shown_and_an_open_quote_is_an_error() {
    let world = World::new();
    let package = package(&world, "word=word:$(cat nothing-there)");
    for result in ["built", "from the cache"] {
        build(&world, &package, "", "")
            .exits(0)
            .says(result)
            .says("dkms.conf of odd/1.0: cat: nothing-there: No such file or directory");
    }
    for open in [
        "word='word:x",
        "word=\"word:x",
        "if true; then word=x",
        "word=$(echo",
    ] {
        let world = World::new();
        let package = world.package("odd", &format!("\n{open}"));
        build(&world, &package, "", "")
            .exits(1)
            .says("dkms.conf, line");
    }
}

#[test]
fn what_everybody_may_read_is_shown_and_counts() {
    for (file, look) in [
        ("/opt/vendor/settings", ". /opt/vendor/settings"),
        ("/etc/vendor.conf", ". /etc/vendor.conf"),
        (
            "/usr/local/lib/vendor/settings",
            "[ ! -f /usr/local/lib/vendor/settings ] || . /usr/local/lib/vendor/settings",
        ),
        ("/var/lib/vendor/x", "word=word:$(cat /var/lib/vendor/*)"),
    ] {
        let world = World::new();
        let package = package(&world, look);
        build(&world, &package, "", "").exits(0);
        for (content, says) in [("x", "built"), ("y", "built"), ("x", "from the cache")] {
            let line = if file.starts_with("/var") {
                content.to_owned()
            } else {
                format!("word=word:{content}")
            };
            build(&world, &package, &covered(file, &line), "")
                .exits(0)
                .says(says);
            assert_eq!(word(&world), content, "{file}");
        }
        build(&world, &package, "", "")
            .exits(0)
            .says("from the cache");
    }
}

#[test]
fn what_not_everybody_may_read_is_an_error_while_it_is_there() {
    let world = World::new();
    let package = package(&world, "[ -f ~/settings ] && . ~/settings");
    build(&world, &package, "", "").exits(0);
    build(&world, &package, &covered("/root/settings", "word=x"), "")
        .exits(1)
        .says("dkms.conf looks for /root")
        .says("which is there, but");
    build(&world, &package, "", "")
        .exits(0)
        .says("from the cache");
}

/// A script that makes a file with a line, in a directory that covers the machine's.
fn covered(file: &str, line: &str) -> String {
    let (directory, _) = file.rsplit_once('/').unwrap();
    let cover = ["/opt", "/root", "/usr/local/lib"]
        .into_iter()
        .find(|cover| directory.starts_with(cover));
    // /etc and /var/lib are layers of the world's own.
    let cover = cover.map_or(String::new(), |cover| {
        format!("mount -t tmpfs -o mode=755 tmpfs {cover}; ")
    });
    format!("{cover}mkdir -p {directory}; echo {line} > {file}")
}
