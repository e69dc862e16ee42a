//! Real programs under a real filter.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use kiln_trace::{Gap, Judge, Machine, Trace, Use, trace};

/// Those below a directory count.
struct Below(&'static str);

impl Judge for Below {
    fn counts(&self, _: u32, _: Use, path: &[u8]) -> Option<bool> {
        Some(path.starts_with(self.0.as_bytes()))
    }

    fn makes_sandbox(&self, _: u32) -> bool {
        false
    }
}

fn machine() -> Machine {
    Machine {
        node: "node".to_owned(),
        release: "1.2.3-test".to_owned(),
        version: "#7".to_owned(),
        machine: "arch".to_owned(),
    }
}

fn run(mut command: Command) -> Trace {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let tracing = trace(&mut command, machine(), Below("/")).unwrap();
    let mut child = command.spawn().unwrap();
    drop(command);
    child.wait().unwrap();
    tracing.finish()
}

fn shell(script: &str, directory: &Path) -> Trace {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).current_dir(directory);
    run(command)
}

fn usage(trace: &Trace, path: impl AsRef<Path>) -> Option<Use> {
    trace
        .lookups()
        .find(|lookup| lookup.path == path.as_ref())
        .map(|lookup| lookup.usage)
}

#[test]
fn what_is_opened_executed_and_looked_for_in_vain_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(at.join("in"), "text").unwrap();
    fs::create_dir(at.join("below")).unwrap();
    let trace = shell(
        "cat in; test -e nothing; cd below; cat ../in ./absent; exec /no/such/program",
        at,
    );
    assert_eq!(trace.gap(), None);
    assert_eq!(usage(&trace, at.join("in")), Some(Use::Open));
    assert_eq!(usage(&trace, at.join("nothing")), Some(Use::Look));
    assert_eq!(usage(&trace, at.join("below/absent")), Some(Use::Open));
    assert!(usage(&trace, "/no/such/program").is_some());
    let cat = ["/bin/cat", "/usr/bin/cat"].map(PathBuf::from);
    assert!(
        cat.iter()
            .any(|path| usage(&trace, path) == Some(Use::Execute))
    );
}

#[test]
fn targets_of_links_are_paths_too() {
    let directory = tempfile::tempdir().unwrap();
    let trace = shell(
        "ln -s /usr/share/x link; ln -s ../y other",
        directory.path(),
    );
    assert_eq!(usage(&trace, "/usr/share/x"), Some(Use::Link));
    let beside = directory.path().with_file_name("y");
    assert_eq!(usage(&trace, beside), Some(Use::Link));
}

#[test]
fn only_what_counts_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "cat /usr/in ./here"])
        .current_dir(directory.path())
        .stderr(Stdio::null());
    let tracing = trace(&mut command, machine(), Below("/usr/")).unwrap();
    let mut child = command.spawn().unwrap();
    drop(command);
    child.wait().unwrap();
    let trace = tracing.finish();
    assert_eq!(usage(&trace, "/usr/in"), Some(Use::Open));
    assert!(
        trace
            .lookups()
            .all(|lookup| lookup.path.starts_with("/usr"))
    );
}

#[test]
fn ways_around_a_name_are_gaps() {
    let directory = tempfile::tempdir().unwrap();
    symlink("in", directory.path().join("link")).unwrap();
    let trace = shell("cat /proc/self/root/etc/hostname", directory.path());
    assert!(
        matches!(trace.gap(), Some(Gap::Indirect { .. })),
        "{:?}",
        trace.gap()
    );
}

#[test]
fn a_command_that_cannot_be_started_ends_its_trace() {
    let mut command = Command::new("/no/such/program");
    let tracing = trace(&mut command, machine(), Below("/")).unwrap();
    assert!(command.spawn().is_err());
    drop(command);
    let trace = tracing.finish();
    assert!(usage(&trace, "/no/such/program").is_some());
}

#[test]
fn what_many_processes_do_at_once_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let script =
        "for i in 1 2 3 4 5 6 7 8; do (for j in 1 2 3 4 5; do cat n$i$j; done) & done; wait";
    let trace = shell(script, directory.path());
    assert_eq!(trace.gap(), None);
    let seen = trace
        .lookups()
        .filter(|lookup| lookup.path.starts_with(directory.path()))
        .count();
    assert!(seen >= 40, "{seen}");
}

#[test]
fn interpreters_are_executed_too() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    fs::write(&script, "#!/usr/bin/env -S sed -n p\nx").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let trace = shell("./script; ./script", directory.path());
    assert_eq!(trace.gap(), None);
    assert_eq!(usage(&trace, "/usr/bin/env"), Some(Use::Execute));
    let linker = trace.lookups().any(|lookup| {
        lookup.usage == Use::Execute && lookup.path.to_string_lossy().contains("/ld-linux")
    });
    assert!(linker);
}

#[test]
fn the_number_of_processors_is_fixed() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "nproc > count; getconf _NPROCESSORS_ONLN >> count"])
        .current_dir(directory.path());
    let tracing = trace(&mut command, machine(), Below("/")).unwrap();
    let mut child = command.spawn().unwrap();
    drop(command);
    child.wait().unwrap();
    assert_eq!(tracing.finish().gap(), None);
    let count = fs::read_to_string(directory.path().join("count")).unwrap();
    assert_eq!(
        count.lines().next().unwrap(),
        kiln_trace::PROCESSORS.to_string()
    );
}

/// What a traced script without gaps prints.
fn told(script: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let trace = shell(&format!("{{ {script}; }} > told"), directory.path());
    assert_eq!(trace.gap(), None);
    fs::read_to_string(directory.path().join("told")).unwrap()
}

#[test]
fn memory_and_the_limits_that_come_from_it_are_fixed() {
    let told = told(
        "getconf _PHYS_PAGES; getconf PAGE_SIZE; prlimit --nproc --sigpending -o SOFT,HARD --noheadings; \
         prlimit --nproc=77:88 true && echo set",
    );
    let words: Vec<&str> = told.split_whitespace().collect();
    let (pages, size): (u64, u64) = (words[0].parse().unwrap(), words[1].parse().unwrap());
    assert_eq!(pages * size, kiln_trace::MEMORY);
    assert_eq!(words[2..], ["32768", "32768", "32768", "32768", "set"]);
}

#[test]
fn how_the_caller_is_scheduled_does_not_show() {
    let told = told("nice -n 7 sh -c 'nice; ionice; chrt -p $$'");
    assert!(told.starts_with("0\nnone: prio 0\n"), "{told}");
    assert!(told.contains("policy: SCHED_OTHER"), "{told}");
}

#[test]
fn paths_of_sockets_and_handles_are_seen() {
    let directory = tempfile::tempdir().unwrap();
    let perl = "use Socket; my $a = sockaddr_un(\"/usr/share/a\"); socket(S, AF_UNIX, SOCK_DGRAM, 0);\
                connect(S, $a); send(S, \"x\", 0, sockaddr_un(\"/usr/share/b\")); bind(S, sockaddr_un(\"c\"));\
                my ($p, $h) = (\"/usr/share/d\", \"\\0\" x 200); my $m = \"\\0\" x 8;\
                syscall(303, -100, $p, $h, $m, 0) if $^O eq \"linux\";";
    let trace = shell(&format!("perl -e '{perl}'"), directory.path());
    assert_eq!(trace.gap(), None);
    let mut expected = vec!["/usr/share/a", "/usr/share/b"];
    if cfg!(target_arch = "x86_64") {
        expected.push("/usr/share/d");
    }
    for path in expected {
        assert_eq!(usage(&trace, path), Some(Use::Look), "{path}");
    }
    let bound = directory.path().join("c");
    assert!(trace.lookups().any(|lookup| lookup.path == bound));
}

#[test]
fn what_leads_through_open_files_and_directories_is_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    for script in [
        "exec 5< /usr/share; cat /dev/fd/5/f",
        "cat /dev/stdin/f < /usr/share",
        "cd /usr/share/misc; cat /proc/self/cwd/../f",
        "cat /proc/thread-self/../../cwd/f",
        "ln -s /proc/self x; cat x/cwd/f",
        "ln -s /dev/fd x; exec 5< /usr/share; cat x/5/f",
        "ln -s / x; cat x/usr/share/f",
    ] {
        let trace = shell(&format!("{script} 2> /dev/null || true"), directory.path());
        assert!(
            matches!(trace.gap(), Some(Gap::Indirect { .. })),
            "{script}: {:?}",
            trace.gap()
        );
    }
}

#[test]
fn programs_are_told_of_a_machine() {
    let told = told("uname -snrvm");
    assert_eq!(told, "Linux node 1.2.3-test #7 arch\n");
}

#[test]
fn a_view_of_its_own_is_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    for way in [
        "mount --bind /usr/share .",
        "mount -t tmpfs none .",
        "chroot /usr /bin/true",
        "exec 3< /proc/self/ns/mnt; nsenter --mount=/proc/self/fd/3 true",
    ] {
        let script = format!("unshare --user --map-root-user --mount sh -c '{way}'");
        let trace = shell(&script, directory.path());
        assert_eq!(trace.gap(), Some(&Gap::View), "{way}");
    }
}
