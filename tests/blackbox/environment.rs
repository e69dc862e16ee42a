//! What the machine lacks or changes: bash, make, compilers, bubblewrap, variables.

use std::{fs, process::Command};

use super::{
    machine::{self, kernel},
    run::{Run, Running},
    world::World,
};

/// Builds where a program is not there, which ends with 3 and names it.
fn misses(program: &str, message: &str) {
    let world = World::new();
    let package = world.compiled_package("any", machine::HELLO_C, "");
    let hide = format!("mount --bind /dev/null \"$(readlink -f /usr/bin/{program})\"");
    world
        .on_machine(&hide, format!("build {package} -k {}", kernel()))
        .exits(3)
        .says(message)
        .says("hint: ");
}

#[test]
fn a_machine_without_make() {
    misses("make", "make is not installed");
}

#[test]
fn a_machine_without_bash() {
    misses("bash", "bash is not installed");
}

#[test]
fn a_machine_without_a_compiler() {
    misses("gcc", "is built with gcc-");
}

/// Builds where bubblewrap does not work: kiln says so once, and builds.
fn does_without_bubblewrap(script: &str, message: &str) {
    let world = World::new();
    let first = world.compiled_package("first", machine::HELLO_C, "");
    let second = world.package("second", "");
    let line = format!("build {first} {second} -k {}", kernel());
    let run = world
        .on_machine(script, &line)
        .exits(0)
        .says("built first/1.0")
        .says("built second/1.0");
    assert_eq!(run.err.matches(message).count(), 1, "{run}");
    assert_eq!(run.err.matches("bubblewrap").count(), 1, "{run}");
    assert!(run.err.contains("building without a sandbox"), "{run}");

    world
        .on_machine(script, &line)
        .exits(0)
        .says("2 from the cache");
}

#[test]
fn a_machine_without_bubblewrap() {
    does_without_bubblewrap(WITHOUT_BUBBLEWRAP, "bubblewrap (bwrap) is not installed");
}

/// Takes bubblewrap away.
pub(crate) const WITHOUT_BUBBLEWRAP: &str = r#"
mkdir "$WORLD/layers/bin" "$WORLD/layers/bin.work"
mount -t overlay overlay -o "lowerdir=/usr/bin,upperdir=$WORLD/layers/bin,workdir=$WORLD/layers/bin.work" /usr/bin
rm /usr/bin/bwrap
"#;

/// Puts a bubblewrap in place that refuses, each time the same one.
const REFUSING: &str = r#"
if [ ! -e "$WORLD/bwrap" ]; then
    printf '#!/bin/sh\necho bwrap: not here >&2\nexit 1\n' > "$WORLD/bwrap"
    chmod 755 "$WORLD/bwrap"
fi
mount --bind "$WORLD/bwrap" /usr/bin/bwrap
"#;

#[test]
fn a_machine_where_bubblewrap_may_not_run() {
    does_without_bubblewrap(REFUSING, "bubblewrap may not run here: bwrap: not here");
}

/// Puts a bubblewrap in place that has too few descriptors, the first time or, with 1, always.
const FAILING: &str = r#"
mkdir -m 777 "$WORLD/layers/state"
cp /usr/bin/bwrap "$WORLD/layers/real"
cat > "$WORLD/layers/bwrap" <<END
#!/bin/sh
[ ! -e $WORLD/layers/state/failed ] && exec $WORLD/layers/real "\$@"
[ $ALWAYS = 1 ] || rm $WORLD/layers/state/failed
echo bwrap: Too many open files >&2
exit 1
END
chmod 755 "$WORLD/layers/bwrap"
: > "$WORLD/layers/state/failed"
mount --bind "$WORLD/layers/bwrap" /usr/bin/bwrap
"#;

#[test]
fn a_bubblewrap_that_fails_once_is_asked_again() {
    let world = World::new();
    let package = world.package("steady", "");
    let line = format!("build {package} -k {}", kernel());
    let fails = |always: u8| world.on_machine(&format!("ALWAYS={always}\n{FAILING}"), &line);
    fails(1)
        .exits(3)
        .says("cannot tell whether builds can have a sandbox: bubblewrap failed: bwrap: Too many")
        .never_says("built steady");
    fails(0)
        .exits(0)
        .says("built steady/1.0")
        .never_says("without a sandbox");
}

#[test]
fn the_umask_has_no_say() {
    for umask in ["077", "027", "000"] {
        let world = World::new();
        let package = world.package("masked", "");
        world.package_at("machine/usr/src/known-1.0", "known", "1.0", "");
        let script = format!("mkdir -p /var/lib/dkms\numask {umask}");
        world
            .on_machine(&script, format!("build {package} -k {} -o out", kernel()))
            .exits(0)
            .says("built masked/1.0");
        world
            .on_machine(&script, format!("dkms build known/1.0 -k {}", kernel()))
            .exits(0);
        let mode = |path: &str| {
            let found = fs::metadata(world.path(path)).unwrap();
            std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o777
        };
        assert_eq!((mode("cache"), mode("out")), (0o755, 0o755), "{umask}");
    }
}

#[test]
fn builds_of_one_package_without_bubblewrap_do_not_meet() {
    let worlds = [World::new(), World::new()];
    let runs = worlds.each_ref().map(|world| {
        let package = world.package("twin", "MAKE[0]='sleep 1; '\"${MAKE[0]}\"");
        let line = format!("build {package} -k {} --json", kernel());
        Running::start(&mut world.machine_command(REFUSING, line))
    });
    for run in runs {
        assert_eq!(run.finish().exits(0).cell("twin")["result"], "built");
    }
}

#[test]
fn another_compiler_is_a_miss_and_is_named() {
    let world = World::new();
    let package = world.package("compiled", "");
    let line = format!("{package} -k {}", kernel());
    world.on_machine("", format!("build {line}")).exits(0);
    let cc1 = Run::of(Command::new("gcc").arg("-print-prog-name=cc1")).out;
    let change = format!(
        "cp \"$(readlink -f {0})\" \"$WORLD/layers/cc1\"; echo >> \"$WORLD/layers/cc1\"\n\
         mount --bind \"$WORLD/layers/cc1\" \"$(readlink -f {0})\"",
        cc1.trim()
    );
    world
        .on_machine(&change, format!("explain {line}"))
        .exits(0)
        .says("build, changed: toolbox programs")
        .says(" cc1 changed");
    world
        .on_machine("", format!("explain {line}"))
        .exits(0)
        .says(": hit");
}

#[test]
fn a_build_environment_reaches_the_job_and_its_key() {
    let world = World::new();
    let package = world.package("mooded", "MAKE[0]='echo mood \\$MOOD; '\"${MAKE[0]}\"");
    world.write(
        "machine/etc/dkms/framework.conf",
        "build_environment=/etc/dkms/mood\n",
    );
    let line = format!("{package} -k {}", kernel());
    for mood in ["merry", "grim"] {
        world.write("machine/etc/dkms/mood", format!("export MOOD={mood}\n"));
        world
            .on_machine("", format!("build {line}"))
            .exits(0)
            .says("1 built");
        world
            .on_machine("", format!("log {line}"))
            .exits(0)
            .says(&format!("\nmood {mood}\n"));
    }
    let log = |mood: &str| {
        world.write("machine/etc/dkms/mood", format!("export MOOD={mood}\n"));
        world.on_machine("", format!("log {line}")).exits(0)
    };
    // The log is that of what would be built now, else the newest one.
    log("merry").says("\nmood merry\n");
    log("gloomy").says("\nmood grim\n");
    log("grim").says("\nmood grim\n");
}

#[test]
fn the_callers_environment_does_not_reach_a_job() {
    let world = World::new();
    let package = world.package(
        "sealed",
        "MAKE[0]='echo [\\$KILN_TEST_LEAK]; '\"${MAKE[0]}\"",
    );
    let line = format!("build {package} -k {}", kernel());
    let mut command = world.command(&line);
    Run::of(command.env("KILN_TEST_LEAK", "leaked").env("CC", "false")).exits(0);
    world.kiln(&line).exits(0).says("1 from the cache");
    world
        .kiln(format!("log {package} -k {}", kernel()))
        .exits(0)
        .says("\n[]\n");
}
