//! Full and read-only file systems: real ones, mounted in a namespace of the other process's own.

use std::path::Path;
use std::process::{Command, Output};

use crate::fixture::root_or_skip;
use crate::process;

/// Runs a shell script in a mount namespace, with `play ROLE` to play a role at `$DIR/cache`.
fn in_namespace(dir: &Path, script: &str) -> Output {
    let role = process::command("", &dir.join("cache"));
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-euc"]);
    let exe = role.get_program().to_str().unwrap();
    command.arg(format!(
        "play() {{ KILN_CACHE_TEST_ROLE=$1 '{exe}' --exact process::play --ignored --nocapture </dev/null; }}\n{script}"
    ));
    for (name, value) in role.get_envs() {
        command.env(name, value.unwrap());
    }
    let output = command.env("DIR", dir).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

#[test]
fn on_a_full_disk_nothing_half_written_is_left() {
    if !root_or_skip("full disk") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = in_namespace(
        dir.path(),
        r#"mount -t tmpfs -o size=2m,mode=755 none "$DIR"
           play publish_for_ever_where_it_is_full
           find "$DIR/cache/objects" -type f -size -293k | sed 's/^/SMALL /'
           find "$DIR/cache/objects" -type f | sed 's/^/OBJECT /'
           find "$DIR/cache/tmp" -mindepth 1 ! -name '*.lock' | sed 's/^/LEFT /'"#,
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let said = text
        .lines()
        .find_map(|line| line.split_once("@ "))
        .unwrap()
        .1;
    let (count, error) = said.split_once(' ').unwrap();
    assert!(error.starts_with("NoSpace"), "{text}");
    let lines = |mark: &str| text.lines().filter(|line| line.starts_with(mark)).count();
    assert_eq!(lines("OBJECT"), count.parse::<usize>().unwrap());
    assert_eq!((lines("SMALL"), lines("LEFT")), (0, 0), "{text}");
}

#[test]
fn a_read_only_file_system_is_read_and_not_written() {
    if !root_or_skip("read-only file system") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = in_namespace(
        dir.path(),
        r#"mount -t tmpfs -o mode=755 none "$DIR"
           play publish_some >/dev/null
           mount -o remount,ro none "$DIR"
           play open; play open_reading; play read_shared"#,
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let said: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once("@ "))
        .map(|(_, said)| said)
        .collect();
    assert!(said[0].starts_with("ReadOnly"), "{said:?}");
    assert_eq!(said[1..], ["opened", "read"]);
}
