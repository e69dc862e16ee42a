//! What stands above an action sees how its processes end.

use std::{os::unix::process::CommandExt, process::Command};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    environment::WITHOUT_BUBBLEWRAP,
    header_packages::toolchain_root,
    machine::{self, kernel},
    run::wait_until,
    toolchain_roots::tree_for,
    world::{KILN, World},
};

/// The exit code of a script that is watched.
fn watched(script: &str) -> i32 {
    watched_with("few", script)
}

/// The same, with a word for which system calls are looked at.
fn watched_with(attention: &str, script: &str) -> i32 {
    let mut command = Command::new(KILN);
    command.arg0("kiln-watch");
    let status = command
        .args([attention, "4096", "0", "bash", "-c", script])
        .status();
    status.unwrap().code().unwrap()
}

#[test]
fn what_an_action_does_to_itself_is_its_own_affair() {
    assert_eq!(watched("exit 3"), 3);
    assert_eq!(watched("sleep 60 & kill $!; wait; true"), 0);
    assert_eq!(watched("(kill -SEGV $BASHPID); true"), 0);
    assert_eq!(
        watched("(kill -STOP $BASHPID) & sleep 0.1; kill -CONT $!; wait; true"),
        0
    );
    assert_eq!(watched("yes | head -n 1 > /dev/null; exit 1"), 1);
    assert_eq!(watched("setsid bash -c 'exit 1' & true"), 0);
}

#[test]
fn what_was_killed_makes_the_rest_void() {
    assert_eq!(watched("(kill -KILL $BASHPID); true"), 137);
    assert_eq!(
        watched("v=$(bash -c 'kill -KILL $$'); echo \"n$v\" > /dev/null"),
        137
    );
    assert_eq!(watched("sleep 60 & kill -KILL $!; wait; true"), 137);
    assert_eq!(watched("(kill -TERM $BASHPID); exit 1"), 143);
    assert_eq!(watched("kill -TERM $$"), 143);
}

#[test]
fn what_was_refused_for_want_of_something_makes_the_rest_void() {
    // Root may start more than its limit says.
    let alone =
        "setpriv --reuid 65534 --clear-groups prlimit --nproc=1 sh -c 'sleep 0 & wait' || true";
    let full = "echo text 2> /dev/null > /dev/full; true";
    assert_eq!(watched_with("few", alone), 200);
    assert_eq!(watched_with("all", alone), 200);
    assert_eq!(watched_with("few", full), 0);
    assert_eq!(watched_with("all", full), 202);
    for attention in ["few", "all"] {
        let fine = "(ls /nothing; exec /nothing; read < /) & wait; exit 3";
        assert_eq!(watched_with(attention, fine), 3);
        assert_eq!(watched_with(attention, "(kill -KILL $BASHPID); true"), 137);
        assert_eq!(
            watched_with(
                attention,
                "(kill -STOP $BASHPID) & sleep 0.1; kill -CONT $!; wait; true"
            ),
            0
        );
    }
}

/// The process that shows this token, once there is one that is none of these.
fn appears(token: &str, seen: &[u32]) -> u32 {
    let new = || {
        let mut all = machine::processes(token).into_iter();
        all.find(|pid| !seen.contains(pid))
    };
    wait_until("it runs", || new().is_some());
    new().unwrap()
}

fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// A command that takes a second and shows a token. It is one process: a child of a shell's would show the token too until it
/// is another program.
fn lasting(token: &str) -> String {
    format!("perl -e 'select undef, undef, undef, 1' {token}")
}

#[test]
fn a_signal_from_outside_leaves_a_job_without_outcome() {
    let world = World::new();
    let token = world.token();
    let package = world.package("hit", "PRE_BUILD=hit.sh");
    // The signal is lost on whoever waits for the process.
    let script = format!("#!/bin/sh\n{} || :\n", lasting(&token));
    world.write_script("hit/hit.sh", &script);
    let line = format!("build {package} -k {} --json", kernel());
    for signal in [
        Signal::TERM,
        Signal::HUP,
        Signal::XCPU,
        Signal::BUS,
        Signal::SEGV,
    ] {
        let run = world.start(&line);
        send(appears(&token, &[]), signal);
        let run = run.finish().exits(1);
        assert_eq!(run.cell("hit")["result"], "aborted", "{run}");
    }
    world.build(&package, "").exits(0).says("built hit/1.0");
}

#[test]
fn a_process_that_is_killed_is_seen_without_a_sandbox_and_in_another_system() {
    let world = World::new();
    let package = world.package("hit", "PRE_BUILD=hit.sh");
    let script = "#!/bin/sh\nsh -c 'kill -KILL $$' 2> /dev/null || :\n";
    world.write_script("hit/hit.sh", script);
    let line = format!("build {package} -k {} --json", kernel());
    let run = world.on_machine(WITHOUT_BUBBLEWRAP, &line).exits(1);
    assert_eq!(run.cell("hit")["result"], "aborted", "{run}");

    let (root, compiler) = toolchain_root();
    let tree = tree_for(&world, &compiler);
    let line = format!(
        "build {package} -k {} --root {} --json",
        tree.display(),
        root.display()
    );
    let run = world.kiln(&line).exits(1);
    assert_eq!(run.cell("hit")["result"], "aborted", "{run}");
    // What a process does to itself without being killed is its own affair.
    let script = "#!/bin/sh\nsh -c 'sh -c \"kill -TERM $$\"' 2> /dev/null || :\n";
    world.write_script("hit/hit.sh", script);
    world.kiln(&line).exits(0);
    let line = format!("build {package} -k {}", kernel());
    world.on_machine(WITHOUT_BUBBLEWRAP, &line).exits(0);
}

/// Puts a compiler in place that takes its time over one question, in a process that can be killed.
fn slow_compiler(token: &str) -> String {
    format!(
        r#"
cat > "$WORLD/layers/gcc" <<'END'
#!/bin/bash
case " $* " in *" -DASKED "*)
    {} || {{
        echo "gcc: fatal error: Killed signal terminated program cc1" >&2
        exit 1
    }} ;;
esac
exec -a "$0" /usr/bin/c89-gcc "$@"
END
chmod 755 "$WORLD/layers/gcc"
real=$(realpath /usr/bin/gcc)
mount --bind "$real" /usr/bin/c89-gcc
mount --bind "$WORLD/layers/gcc" "$real"
"#,
        lasting(token)
    )
}

#[test]
fn a_compiler_that_was_killed_has_not_answered() {
    let world = World::new();
    let token = world.token();
    let package = world.package("asking", "PRE_BUILD=ask.sh");
    world.write_script(
        "asking/ask.sh",
        "#!/bin/sh\ngcc -DASKED -c -x c /dev/null -o x && echo known || echo unknown\n",
    );
    let line = format!("build {package} -k {} --json", kernel());
    let start = |more: &str| {
        let line = format!("{line} {more}");
        super::run::Running::start(&mut world.machine_command(&slow_compiler(&token), line))
    };
    let log = || {
        world
            .kiln(format!("log {package} -k {}", kernel()))
            .exits(0)
    };

    // The job itself asks then.
    let run = start("");
    let first = appears(&token, &[]);
    send(first, Signal::KILL);
    run.finish().exits(0);
    log().says("\nknown\n");

    // The job's own compiler is killed too: that builds nothing.
    let run = start("--no-cache");
    let first = appears(&token, &[]);
    send(first, Signal::KILL);
    send(appears(&token, &[first]), Signal::KILL);
    let run = run.finish().exits(1);
    assert_eq!(run.cell("asking")["result"], "aborted", "{run}");

    let run = start("--no-cache").finish().exits(0);
    assert_eq!(run.cell("asking")["result"], "built", "{run}");
    log().says("\nknown\n");
}
