//! What packages say reaches nobody's terminal as anything but text.

use std::{fs, process::Command};

use super::{machine::kernel, run::Run, world::World};

/// Retitles a window, in seven bits and in eight; clears the screen; fills the clipboard; turns a line around.
const SEQUENCES: &str =
    r"\033]0;OWNED\007\302\235OWNED\302\234\033[2J\033]52;c;ZXZpbA==\007\342\200\256";

/// Runs a command on a terminal.
fn on_a_terminal(command: &Command) -> Run {
    let words: Vec<String> = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut script = Command::new("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    Run::of(script.env("TERM", "xterm-256color"))
}

/// Asserts that a terminal gets none of the sequences.
#[track_caller]
fn is_harmless(run: Run) -> Run {
    run.never_says("\x1b]")
        .never_says("\x1b[2J")
        .never_says("\u{9d}")
        .never_says("\x07")
        .never_says("\u{202e}")
}

#[test]
fn what_jobs_say_is_shown_and_not_obeyed() {
    let world = World::new();
    let package = world.package("speaker", "MAKE[0]=\"bash ./speak.sh\"");
    world.write_script(
        "speaker/speak.sh",
        &format!(
            "printf '{SEQUENCES}\\n' >&$KILN_PHASE_FD\n\
             printf 'x.c:3:1: error: {SEQUENCES}\\n'\nsleep 1\nexit 1\n"
        ),
    );
    let line = format!("build {package} -k {}", kernel());
    is_harmless(on_a_terminal(&world.command(&line)))
        .exits(1)
        .says(r"x.c:3: \x1b]0;OWNED\x07");
    let line = format!("{line} --json");
    is_harmless(world.kiln(&line)).exits(1);
    for more in ["explain", "log"] {
        let line = format!("{more} {package} -k {}", kernel());
        is_harmless(world.kiln(&line)).exits(0);
    }
    let line = format!("log --raw {package} -k {}", kernel());
    world.kiln(&line).exits(0).says("\x1b]0;OWNED\x07");
}

#[test]
fn what_confs_say_is_shown_and_not_obeyed() {
    let world = World::new();
    let package = world.package(
        "speaker",
        &format!(
            "printf 'a {SEQUENCES}\\n' >&2\n\
             BUILT_MODULE_NAME[0]=$'x{SEQUENCES}'\nDEST_MODULE_LOCATION[0]=$'/x{SEQUENCES}'"
        ),
    );
    let run = world.build(&package, "");
    assert_ne!(run.code, Some(0), "{run}");
    is_harmless(run);
    let line = format!("build {package} -k {}", kernel());
    is_harmless(on_a_terminal(&world.command(line)));
    let package = world.package("named", &format!("PACKAGE_VERSION=$'1{SEQUENCES}'"));
    is_harmless(world.build(&package, ""));
}

#[test]
fn what_the_command_line_says_is_shown_and_not_obeyed() {
    let world = World::new();
    let evil = "\x1b]0;OWNED\x07\x1b[2J\u{9d}\u{202e}";
    for words in [
        vec![format!("--{evil}")],
        vec![evil.to_owned()],
        vec![format!("buil{evil}")],
        vec!["build".to_owned(), "-j".to_owned(), evil.to_owned()],
        vec!["build".to_owned(), evil.to_owned()],
        vec!["build".to_owned(), format!("--color={evil}")],
        vec![
            "cache".to_owned(),
            "gc".to_owned(),
            format!("--older-than={evil}"),
        ],
        vec!["config".to_owned(), "check".to_owned(), evil.to_owned()],
    ] {
        let run = Run::of(world.command("").args(&words));
        let shown = run.err.contains(r"\x1b") || run.err.contains(r"\u{1b}");
        assert!(shown, "{words:?}: {run}");
        is_harmless(run).exits(2);
    }
}

#[test]
fn what_jobs_say_is_seen_as_it_is_in_a_report() {
    let world = World::new();
    let package = world.package("speaker", "MAKE[0]=\"bash ./speak.sh\"");
    let said = r"\342\200\256cod.c \302\233";
    world.write_script(
        "speaker/speak.sh",
        &format!(
            "printf '{said}\\n' >&$KILN_PHASE_FD\nprintf 'x.c:3:1: error: {said}\\n'\nsleep 1\nexit 1\n"
        ),
    );
    world.build(&package, "--report report").exits(1);
    for (file, shown) in [
        ("report.json", r"\u202ecod.c \u009b"),
        ("trace.json", r"\u202ecod.c \u009b"),
        ("index.html", r"\\u{202e}cod.c \\u{9b}"),
        // Control characters are no part of XML.
        ("junit.xml", r"\u{202e}cod.c "),
    ] {
        let text = fs::read_to_string(world.path("report").join(file)).unwrap();
        assert!(text.contains(shown), "{file}: {text}");
        let turns = |c| ['\u{202e}', '\u{9b}'].contains(&c);
        assert!(!text.contains(turns), "{file}: {text}");
    }
}
