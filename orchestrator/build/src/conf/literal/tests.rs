//! What is evaluated without bash is what bash makes of it.

use std::{cell::Cell, fs, path::Path, process::Command};

use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};

use super::evaluate_literal;
use crate::conf::{DIRECTIVES, RawConf};

const KERNEL: &str = "6.1.0-56-amd64";
const SOURCE: &str = "/nowhere/build";

/// What both see before the first file.
const VARIABLES: [(&str, &str); 9] = [
    ("kernelver", KERNEL),
    ("arch", "x86_64"),
    ("kernel_source_dir", SOURCE),
    ("kernel_config", "/nowhere/build/.config"),
    ("dkms_tree", "/dev/null/dkms"),
    ("source_tree", "/usr/src"),
    ("install_tree", "/lib/modules"),
    ("module", "some"),
    ("module_version", "1.0"),
];

fn literal(files: &[&str], directives: &[String]) -> Option<RawConf> {
    let files: Vec<&[u8]> = files.iter().map(|file| file.as_bytes()).collect();
    let mut raw = evaluate_literal(&files, DIRECTIVES, &VARIABLES, directives)?;
    for (name, index, value) in [
        ("@module", "0", "some"),
        ("@module", "1", "1.0"),
        ("@status", "0", "0"),
        ("@syntax", "0", "0"),
        ("@done", "", ""),
    ] {
        raw.record(name, index, value);
    }
    Some(raw)
}

/// The driver's answer; overrides are looked for in a directory of the test's.
fn bash(files: &[&str], directives: &[String]) -> RawConf {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let names = ["dkms.conf", "some.conf", "some-1.0.conf"];
    assert!(files.len() <= names.len());
    for (name, file) in names.iter().zip(files) {
        fs::write(at(name), file).unwrap();
    }
    let overrides = format!("{}/", directory.path().display());
    let driver = include_str!("../driver.sh").replace("/etc/dkms/", &overrides);
    fs::write(at("driver.sh"), driver).unwrap();
    let mut command = Command::new("/bin/bash");
    command
        .args(["--norc", "--noprofile"])
        .arg(at("driver.sh"))
        .env_clear()
        .envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C")])
        .envs([("KILN_MODE", "package"), ("KILN_KERNEL_DIR", SOURCE)])
        .envs([("KILN_KERNEL", KERNEL), ("KILN_ARCH", "x86_64")])
        .envs([("KILN_MODULE", "some"), ("KILN_VERSION", "1.0")])
        .envs([("KILN_SOURCE_TREE", "/usr/src")])
        .envs([("KILN_INSTALL_TREE", "/lib/modules")])
        // A tree that cannot be made: the driver takes the conf from where it is, and nothing
        // is left behind.
        .env("KILN_DKMS_TREE", "/dev/null/dkms")
        .env("KILN_SOURCE", directory.path())
        .env("KILN_OUT", at("out"))
        .env("KILN_NAMES", DIRECTIVES.join(" "));
    for (number, directive) in directives.iter().enumerate() {
        command.env(format!("KILN_DIRECTIVE_{number}"), directive);
    }
    command.output().unwrap();
    RawConf::parse(&fs::read(at("out")).unwrap()).unwrap()
}

/// Checks a conf that bash is not needed for, and gives the value of a directive.
#[track_caller]
fn value_of(name: &str, conf: &str) -> String {
    let raw = literal(&[conf], &[]).unwrap_or_else(|| panic!("refused: {conf}"));
    assert_eq!(raw, bash(&[conf], &[]), "{conf}");
    raw.scalar(name).unwrap_or_default().to_owned()
}

#[test]
fn quotes_are_those_of_bash() {
    for (conf, expected) in [
        ("MAKE=plain", "plain"),
        ("MAKE=\"a\"'b'c", "abc"),
        ("MAKE=a\\ b\\\nc", "a bc"),
        ("MAKE=\"a\\\nb\n   c\"", "ab c"),
        ("MAKE='a\\\nb'", "a\\ b"),
        ("MAKE=a#b # comment \\\n", "a#b"),
        ("MAKE=\"a\\x\\\\\\\\y\"", "a\\x\\y"),
        ("MAKE={a,b}*?[c]", "{a,b}*?[c]"),
        ("MAKE=0~1:2=", "0~1:2="),
        ("MAKE=\"find -exec mv {} \\;\"", "find -exec mv {} \\;"),
        ("MAKE='^end$'", "^end$"),
        ("MAKE=\"tab\tand  blanks \"", "tab and blanks "),
        ("MAKE=a; CLEAN=b\tSTRIP=c", "a"),
        ("  \\\n  MAKE=a \\\n CLEAN=b", "a"),
        ("MAKE=a MAKE=b\nMAKE=c", "c"),
        ("MAKE='RTP=\"1\"'", "RTP=1"),
        ("MAKE=", ""),
    ] {
        assert_eq!(value_of("MAKE", conf), expected, "{conf}");
    }
}

#[test]
fn variables_are_expanded_twice() {
    for (conf, expected) in [
        ("X=1 MAKE=$X${X}\"$X\"", "111"),
        (
            "MAKE='make -C $kernel_source_dir'",
            "make -C /nowhere/build",
        ),
        ("MAKE=\"\\$kernelver\"", KERNEL),
        ("MAKE=\"\\\\\\$kernelver\"", "$kernelver"),
        ("MAKE=$CLEAN\nCLEAN=late", ""),
        ("MAKE='$PACKAGE_NAME'\nPACKAGE_NAME=late", "late"),
        ("MAKE='$CLEAN'\nCLEAN=later", ""),
        ("arch=mine; MAKE=$arch'$arch'", "minex86_64"),
        ("export X=1 Y; export MAKE=$X CLEAN=$MAKE", "1"),
        ("MAKE=\"$ $% a$\"", "$ $% a$"),
        ("MAKE=a; MAKE+=b; MAKE[0]+=c", "abc"),
    ] {
        assert_eq!(value_of("MAKE", conf), expected, "{conf}");
    }
}

#[test]
fn a_carriage_return_is_a_character_until_the_value_is_read_again() {
    let conf = "PACKAGE_NAME=\"a\"\r\n\r\n# c\r\nMAKE=\"$PACKAGE_NAME b\"\r\nCLEAN=c$\r\n";
    assert_eq!(value_of("PACKAGE_NAME", conf), "a");
    assert_eq!(value_of("MAKE", conf), "a\r b");
    assert_eq!(value_of("CLEAN", conf), "c$");
}

#[test]
fn arrays_are_sparse_and_overrides_replace_single_elements() {
    let conf = "PATCH=(a 'b c' # d\n \"$kernelver\" e\\ f g$arch)\ni=7 PATCH[$i]=x\n\
                BUILT_MODULE_NAME=zero\nBUILT_MODULE_NAME[2]=${PATCH[1]}${PATCH[6]}\nSTRIP=()";
    let over = "PATCH[1]=other PATCH+=(last)\nMAKE=\"${PATCH}\"";
    let again = "PATCH=(first)";
    for files in [&[conf][..], &[conf, over], &[conf, over, again]] {
        let raw = literal(files, &[]).unwrap();
        assert_eq!(raw, bash(files, &[]));
        assert_eq!(raw.element("BUILT_MODULE_NAME", 2), Some("b c"));
    }
    let raw = literal(&[conf, over, again], &[]).unwrap();
    assert_eq!(raw.indices("PATCH"), [0, 1, 2, 3, 4, 7, 8]);
    assert_eq!(raw.element("PATCH", 0), Some("first"));
    assert_eq!(raw.element("PATCH", 1), Some("other"));
    assert_eq!(raw.scalar("MAKE"), Some("a"));
}

#[test]
fn what_the_user_directs_outranks_all_files_and_is_not_expanded() {
    let directives =
        ["MAKE=$x  \"y\"", "CLEAN", "MAKE[1]=no", "-n", "arch=other"].map(str::to_owned);
    let conf = "MAKE=(a b)\nBUILD_EXCLUSIVE_ARCH=^o";
    let raw = literal(&[conf], &directives).unwrap();
    let from_bash = bash(&[conf], &directives);
    for name in DIRECTIVES {
        let pairs = |raw: &RawConf| -> Vec<(String, String)> {
            raw.pairs(name)
                .map(|(index, value)| (index.to_owned(), value.to_owned()))
                .collect()
        };
        assert_eq!(pairs(&raw), pairs(&from_bash), "{name}");
    }
    assert_eq!(raw.scalar("MAKE"), Some("$x  \"y\""));
    assert_eq!(raw.element("MAKE", 1), Some("b"));
    assert_eq!(raw.scalar("CLEAN"), Some("CLEAN"));
    assert!(raw.matched("BUILD_EXCLUSIVE_ARCH", 0));
    assert!(from_bash.matched("BUILD_EXCLUSIVE_ARCH", 0));
    // What no conf sets is in the environment of the build.
    let exported: Vec<_> = from_bash.pairs("@environment").collect();
    assert_eq!(exported, [("CLEAN", "CLEAN"), ("arch", "other")]);
}

#[test]
fn bash_is_asked_where_it_is_needed() {
    for conf in [
        "MAKE=$(date)",
        "MAKE=`date`",
        "MAKE='`date`'",
        "MAKE=\\$(date)",
        "MAKE=$HOME",
        "MAKE=$unknown",
        "MAKE='$unknown'",
        "X=1 MAKE='$X'",
        "MAKE=${arch:-x}",
        "MAKE=$((1+1))",
        "MAKE=~/x",
        "MAKE=a:~",
        "MAKE=$'a'",
        "MAKE=\"a",
        "MAKE='a b\"c d'",
        "MAKE =a",
        "MAKE=a make",
        "MAKE=a > /nowhere/file",
        "MAKE=a & CLEAN=b",
        "MAKE[08]=a",
        "MAKE[-1]=a",
        "MAKE[1+1]=a",
        "PATCH=(*.patch)",
        "PATCH=({a,b})",
        "PATCH=(a b)\r\n",
        "PATCH[0]=(a b)",
        "X='a b'\nPATCH=($X)",
        "MAKE=a;; CLEAN=b",
        "MAKE=a;\r\n",
        "MAKE=$arch\\\nb",
        "MAKE=\\\n~",
        "unset MAKE",
        "export",
        "export MAKE={a,b}",
        "if true; then MAKE=a; fi",
        "IFS=:",
        "UID=0",
        "PATH=/bin",
        "DKMS_DIRECTIVE_1=MAKE=a",
        "MAKE=\u{1}",
        "MAKE=\u{7f}",
        "MAKE=\0",
        "BUILD_EXCLUSIVE_KERNEL='[[:digit:]]'",
        "a=aaaaaaaaaa\na=$a$a$a$a$a$a$a$a\na=$a$a$a$a$a$a$a$a\na=$a$a$a$a$a$a$a$a\n\
         a=$a$a$a$a$a$a$a$a\na=$a$a$a$a$a$a$a$a\n",
    ] {
        assert!(literal(&[conf], &[]).is_none(), "{conf}");
    }
    assert!(evaluate_literal(&[b"MAKE=\xff"], DIRECTIVES, &VARIABLES, &[]).is_none());
}

/// Texts that mean something to bash, and some that do not.
const FRAGMENTS: [&str; 62] = [
    "a",
    "b1",
    "-",
    "_",
    "/",
    ".",
    ",",
    ":",
    "=",
    "+",
    "%",
    "@",
    "^",
    "!",
    "~",
    "#",
    "\\",
    "\\",
    "\"",
    "\"",
    "'",
    "'",
    "$",
    "$",
    "${",
    "}",
    "{",
    "[",
    "]",
    "(",
    ")",
    ";",
    "&",
    "|",
    "*",
    "?",
    " ",
    " ",
    "  ",
    "\t",
    "\n",
    "\n",
    "\r\n",
    "\\\n",
    "`",
    "é",
    "$X",
    "${X}",
    "$arch",
    "\"$MAKE\"",
    "${PATCH[1]}",
    "$i",
    "\\$X",
    "'$arch'",
    "X",
    "i",
    "\nX=",
    " MAKE=",
    "\nPATCH[2]=",
    "export ",
    "\r",
    "\\\\",
];

const NAMES: [&str; 12] = [
    "X",
    "i",
    "arch",
    "MAKE",
    "MAKE[0]",
    "MAKE[3]",
    "PATCH",
    "PATCH[$i]",
    "PACKAGE_NAME",
    "export CLEAN",
    "MAKE_MATCH[1]",
    "BUILD_EXCLUSIVE_KERNEL",
];

fn value() -> impl Strategy<Value = String> {
    let text = || vec(select(&FRAGMENTS[..]), 0..4).prop_map(|parts| parts.concat());
    let word = || "[a-z0-9./_-]{0,4}".prop_map(|text: String| text);
    let plain = || {
        vec(
            select(vec![
                "a", " ", "$X", "${MAKE}", "\\", "#", "\n", "5", "~", ";", "é",
            ]),
            0..6,
        )
    };
    let quoted = || plain().prop_map(|parts| format!("\"{}\"", parts.concat()));
    let single = || plain().prop_map(|parts| format!("'{}'", parts.concat()));
    let array = vec(prop_oneof![word(), quoted(), single(), text()], 0..4)
        .prop_map(|elements| format!("({})", elements.join(" ")));
    prop_oneof![
        2 => word(),
        2 => text(),
        4 => quoted(),
        2 => single(),
        1 => (word(), quoted(), text()).prop_map(|(a, b, c)| a + &b + &c),
        1 => array,
    ]
}

fn script() -> impl Strategy<Value = String> {
    let operator = prop_oneof![5 => Just("="), 1 => Just("+=")];
    let end = select(vec![
        "\n", "\n", "\n", "; ", " ", " # x\n", "\r\n", " \\\n", "",
    ]);
    let statement = (select(&NAMES[..]), operator, value(), end)
        .prop_map(|(name, operator, value, end)| format!("{name}{operator}{value}{end}"));
    vec(statement, 0..5).prop_map(|statements| format!("X=x i=2\n{}", statements.concat()))
}

#[test]
fn whatever_is_not_refused_is_what_bash_says() {
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let cases = config.cases;
    let accepted = Cell::new(0);
    let directive = (select(vec!["MAKE", "X", "arch", "CLEAN[1]", "-x"]), value())
        .prop_map(|(name, value)| format!("{name}={value}"));
    let inputs = (vec(script(), 1..=3), vec(directive, 0..2));
    TestRunner::new(config)
        .run(&inputs, |(files, directives)| {
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            if let Some(mut raw) = literal(&files, &directives) {
                accepted.set(accepted.get() + 1);
                let expected = bash(&files, &directives);
                for (name, value) in expected.pairs("@environment") {
                    raw.record("@environment", name, value);
                }
                prop_assert_eq!(raw, expected);
            }
            Ok(())
        })
        .unwrap();
    assert!(
        accepted.get() > cases / 8,
        "only {} accepted",
        accepted.get()
    );
}

#[test]
fn real_packages_are_what_bash_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpus/src");
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let Ok(conf) = fs::read_to_string(entry.path().join("dkms.conf")) else {
            continue;
        };
        let name = entry.file_name().into_string().unwrap();
        match literal(&[&conf], &[]) {
            Some(raw) => assert_eq!(raw, bash(&[&conf], &[]), "{name}"),
            None => assert!(
                [
                    "ddcci",
                    "digimend",
                    "ipt-netflow",
                    "lttng-modules",
                    "v4l2loopback"
                ]
                .iter()
                .any(|program| name.starts_with(program)),
                "{name} needs no bash"
            ),
        }
    }
}
