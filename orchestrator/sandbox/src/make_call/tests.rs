//! Both programs in make's place, side by side.

use std::{os::unix::fs::symlink, path::PathBuf, process::Stdio};

use super::{super::shims, *};

const JOBSERVER: &str = "-j --jobserver-auth=0,1";

/// A kernel's tree with a link to it, and a make that prints how it is called.
struct Bench(tempfile::TempDir);

const PRINTING: &str = "#!/bin/bash
printf '%s\\0' \"${GNUMAKEFLAGS-none}\" \"${MAKEFLAGS-none}\" \"$@\"
";

impl Bench {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("tree")).unwrap();
        symlink("tree", temp.path().join("build")).unwrap();
        let bench = Self(temp);
        shims::write_program(&bench.path("real"), PRINTING).unwrap();
        bench.write_script(JOBSERVER);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn settings(&self, jobserver: &str) -> MakeSettings {
        MakeSettings {
            jobserver: jobserver.into(),
            kernel_dir: self.path("build").into(),
        }
    }

    fn write_script(&self, jobserver: &str) {
        let script = shims::make_script(&self.path("real"), &self.settings(jobserver));
        shims::write_program(&self.path("make"), &script).unwrap();
    }

    /// The script, with nothing in its environment.
    fn script(&self) -> Command {
        let mut command = Command::new(self.path("make"));
        command.env_clear().stdin(Stdio::null());
        command
    }

    /// What becomes of a call: GNUMAKEFLAGS, MAKEFLAGS, arguments.
    fn calls(&self, jobserver: &str, flags: [Option<&str>; 2], arguments: &[&str]) -> Vec<String> {
        let call = Call {
            arguments: arguments.iter().map(OsString::from).collect(),
            flags: flags.map(|flags| flags.map(OsString::from)),
        };
        let settings = MakeSettings::of_bytes(&self.settings(jobserver).to_bytes());
        let call = call.in_jobserver(&settings);
        let text = |text: OsString| text.into_string().unwrap();
        let flags = call
            .flags
            .map(|flags| flags.map_or("none".to_owned(), text));
        flags
            .into_iter()
            .chain(call.arguments.into_iter().map(text))
            .collect()
    }

    /// The same, where both have to agree.
    fn both(&self, flags: [Option<&str>; 2], arguments: &[&str]) -> Vec<String> {
        let mut script = self.script();
        for (name, value) in FLAGS.iter().zip(flags) {
            script.envs(value.map(|value| (name, value)));
        }
        let said = script.args(arguments).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let said: Vec<_> = said.split_terminator('\0').collect();
        let called = self.calls(JOBSERVER, flags, arguments);
        assert_eq!(said, called, "{flags:?} {arguments:?}");
        called
    }
}

/// What both make of `arguments`, where nothing is passed on: MAKEFLAGS and the arguments.
fn plain(bench: &Bench, arguments: &str) -> String {
    let words: Vec<&str> = arguments
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect();
    bench.both([None, None], &words)[1..].join("|")
}

#[test]
fn every_way_to_ask_for_jobs_takes_those_of_the_run() {
    let bench = Bench::new();
    for (asked, left) in [
        ("-j", ""),
        ("-j8 all", "|all"),
        ("-j 8 all", "|all"),
        ("-j all", "|all"),
        ("--jobs", ""),
        ("--jobs=8", ""),
        ("--jobs 8 all", "|all"),
        ("-sj4", "|-s"),
        ("-kj", "|-k"),
        ("-ksj 4 all", "|-ks|all"),
        ("-j1 -j4", ""),
        ("-j08", ""),
        (
            "-j2 KERNELRELEASE=6.1 -C dir M=x",
            "|KERNELRELEASE=6.1|-C|dir|M=x",
        ),
        ("-C dir -j", "|-C|dir"),
        ("-Cj2 -j2", "|-Cj2"),
        ("all -j4 -- -j8", "|all|--|-j8"),
        ("-j2 -l 2.5 -Oline", "|-l|2.5|-Oline"),
    ] {
        assert_eq!(
            plain(&bench, asked),
            format!("{JOBSERVER}{left}"),
            "{asked}"
        );
    }
}

#[test]
fn what_asks_for_no_jobs_is_left_alone() {
    let bench = Bench::new();
    for asked in [
        "",
        "all",
        "-j1",
        "--jobs=1 all",
        "-j4 -j1",
        "-sj1",
        "-j0",
        "-j4x",
        "-jk",
        "--jobs=",
        "--jobs=many",
        "-C -j4",
        "-f -j4",
        "-fj4",
        "-I j -Wj8",
        "--file -j4",
        "--eval -j8",
        "-Ojob",
        "-lj",
        "-- -j4",
        "- all",
        "-C elsewhere",
        "--just-print",
        "--jobserver-auth 3,4",
    ] {
        let left = asked.replace(' ', "|");
        let left = if left.is_empty() {
            left
        } else {
            format!("|{left}")
        };
        assert_eq!(plain(&bench, asked), format!("none{left}"), "{asked}");
    }
    let nasty = ["A=b c", "x\ny", "'q' \"$(id)\" `id` \\", "", "*", "é\u{1}"];
    assert_eq!(bench.both([None, None], &nasty)[2..], nasty);
    let parallel = [&["-j3"][..], &nasty].concat();
    assert_eq!(bench.both([None, None], &parallel)[2..], nasty);
    assert_eq!(
        bench.both([None, None], &["-j", ""])[1..],
        ["none", "-j", ""]
    );
}

#[test]
fn kbuild_is_always_parallel() {
    let bench = Bench::new();
    let tree = bench.path("build").display().to_string();
    let real = bench.path("tree").display().to_string();
    for asked in [
        format!("-C {tree} M=x"),
        format!("-C{tree} M=x"),
        format!("-sC {tree}/ M=x"),
        format!("--directory={real} M=x"),
        format!("--directory {real} M=x"),
    ] {
        let left = asked.replace(' ', "|");
        assert_eq!(plain(&bench, &asked), format!("{JOBSERVER}|{left}"));
    }
    let one = format!("-j1 -C {tree}");
    assert_eq!(
        plain(&bench, &one),
        format!("none|{}", one.replace(' ', "|"))
    );
}

#[test]
fn what_makes_pass_on_stays() {
    let bench = Bench::new();
    let with = |flags: &str, asked: &[&str]| bench.both([None, Some(flags)], asked)[1..].join("|");
    // A jobserver that is there already, and options and variables of a serial parent.
    let known = "ks -j --jobserver-auth=64,65 -- X=1";
    assert_eq!(with(known, &["-j8", "all"]), format!("{known}|all"));
    assert_eq!(with(known, &["-j1"]), format!("{known}|-j1"));
    assert_eq!(with("ks -- X=1", &["all"]), "ks -- X=1|all");
    assert_eq!(
        with("ks -- X=1", &["-j4"]),
        format!("{JOBSERVER} -ks -- X=1")
    );
    let escaped = r"-- X=a\ b\\ Y=\  -j9";
    assert_eq!(with(escaped, &["-j4"]), format!("{JOBSERVER} {escaped}"));
    // Jobs that come by the variables.
    assert_eq!(with("-j4", &["all"]), format!("{JOBSERVER}|all"));
    assert_eq!(with("kj4", &[]), format!("{JOBSERVER} -k"));
    assert_eq!(with("k -j 4 X=1", &[]), format!("{JOBSERVER} -k X=1"));
    assert_eq!(with(" -j1", &["all"]), " -j1|all");
    assert_eq!(with(" -j1", &["-j2"]), JOBSERVER);
    assert_eq!(with("-j4", &["-j1"]), "-j4|-j1");
    let gnu = |flags, usual| bench.both([Some(flags), usual], &["all"]).join("|");
    assert_eq!(gnu("-j4 -k", None), format!("-k|{JOBSERVER}|all"));
    assert_eq!(gnu("-j4", Some("-j1")), "-j4|-j1|all");
    assert_eq!(
        gnu("--jobserver-auth=5,6", Some("")),
        "--jobserver-auth=5,6||all"
    );
}

#[test]
fn without_a_jobserver_nothing_is_parallel() {
    let bench = Bench::new();
    assert_eq!(
        bench.calls("", [None, None], &["-j4", "x"]),
        ["none", "none", "x"]
    );
    let closed = MakeSettings {
        jobserver: "-j --jobserver-auth=998,999".into(),
        ..MakeSettings::default()
    };
    assert_eq!(closed.where_open().jobserver, "");
    assert_eq!(bench.settings(JOBSERVER).where_open().jobserver, JOBSERVER);
    bench.write_script("-j --jobserver-auth=998,999");
    let said = bench.script().args(["-j4", "x"]).output().unwrap();
    assert_eq!(said.stdout, b"none\0none\0x\0");
}

#[test]
fn no_name_of_the_caller_changes_or_is_obeyed() {
    let bench = Bench::new();
    let printing = "#!/bin/sh\nexec /usr/bin/env -0\n";
    shims::write_program(&bench.path("real"), printing).unwrap();
    let evil = bench.path("evil");
    fs::write(&evil, "echo evil\n").unwrap();
    let mut names: Vec<String> = shims::MAKE_SCRIPT
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with("kiln_"))
        .map(str::to_owned)
        .collect();
    names.extend(
        [
            "n",
            "arg",
            "value",
            "directory",
            "parallel",
            "serial",
            "ENV",
        ]
        .map(String::from),
    );
    names.extend(["BASH_ENV", "POSIXLY_CORRECT", "CDPATH", "REPLY", "OPTARG"].map(String::from));
    names.sort();
    names.dedup();
    let mut script = bench.script();
    for name in &names {
        script.env(name, &evil);
    }
    script
        .env("SHELLOPTS", "xtrace:noexec")
        .env("PS4", "$(echo evil)")
        .env("BASH_FUNC_exec%%", "() { echo evil; }")
        .env("BASH_FUNC_eval%%", "() { echo evil; }")
        .env("IFS", "k");
    let run = script.arg("-j4").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&run.stderr), "");
    let seen = String::from_utf8(run.stdout).unwrap();
    for name in &names {
        let kept = format!("{name}={}", evil.display());
        assert!(seen.split('\0').any(|line| line == kept), "{name}: {seen}");
    }
    assert!(seen.contains(&format!("MAKEFLAGS={JOBSERVER}\0")), "{seen}");
    assert!(!seen.contains("evil\n"), "{seen}");
}
