//! Running one child: its output, status, usage, phases, and what is left of it afterwards.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::cell::RefCell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::thread;
use std::time::Duration;

use kiln_scheduler::{
    CancelToken, PhaseChannel, Phases, ProcessError, ProcessExit, ProcessSpec, run_process,
};

fn bash(script: &str) -> ProcessSpec<'static> {
    let mut command = Command::new("bash");
    command.args(["-c", script]);
    ProcessSpec::new(command)
}

fn run(spec: ProcessSpec<'_>) -> (ProcessExit, String) {
    let mut output = Vec::new();
    let exit = run_process(spec, &CancelToken::new(), &mut |chunk| {
        output.extend_from_slice(chunk)
    })
    .unwrap();
    assert_eq!(exit.output_bytes, output.len() as u64);
    (exit, String::from_utf8(output).unwrap())
}

/// Waits until a process is gone, or is a zombie that only its parent keeps.
fn await_end(pid: &str) {
    for _ in 0..1000 {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            return;
        };
        if stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
        {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("process {pid} still runs");
}

#[test]
fn both_outputs_arrive_in_order_with_the_status() {
    let (exit, output) = run(bash("echo out; echo err >&2; echo out again; exit 3"));
    assert_eq!(output, "out\nerr\nout again\n");
    assert_eq!(exit.status.code(), Some(3));
    assert_eq!(exit.stopped, None);
}

#[test]
fn input_is_empty() {
    let (exit, output) = run(bash("cat; echo end"));
    assert!(exit.status.success());
    assert_eq!(output, "end\n");
}

#[test]
fn usage_covers_the_child_and_its_children() {
    let (exit, _) = run(bash(
        "for ((i = 0; i < 200000; i++)); do :; done; (head -c 20M /dev/zero | sha256sum) >&2",
    ));
    assert!(exit.usage.cpu_user > Duration::ZERO);
    assert!(exit.usage.cpu_user + exit.usage.cpu_system > Duration::from_millis(5));
    assert!(exit.usage.peak_rss > 512 * 1024, "{exit:?}");
    assert!(exit.wall > Duration::ZERO);
}

#[test]
fn a_gigabyte_passes_through_in_bounded_chunks() {
    let mut command = Command::new("head");
    command.args(["-c", "1G", "/dev/zero"]);
    let (mut total, mut largest) = (0, 0);
    let mut deliver = |chunk: &[u8]| {
        total += chunk.len() as u64;
        largest = largest.max(chunk.len());
    };
    let exit = run_process(ProcessSpec::new(command), &CancelToken::new(), &mut deliver).unwrap();
    assert!(exit.status.success());
    assert_eq!((total, exit.output_bytes), (1 << 30, 1 << 30));
    assert!(largest <= 256 * 1024, "{largest}");
}

#[test]
fn what_is_in_the_pipe_at_the_end_is_delivered() {
    let (exit, output) = run(bash("head -c 60000 /dev/zero | tr '\\0' x"));
    assert!(exit.status.success());
    assert_eq!(output.len(), 60000);
}

#[test]
fn a_daemon_that_keeps_the_pipe_does_not_keep_the_run() {
    let (exit, output) = run(bash("setsid sleep 1000 & echo $!; exit 0"));
    assert!(exit.status.success());
    let daemon = output.trim().parse().unwrap();
    // It left the group on purpose, so it is for the sandbox to end; here, for the test.
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(daemon).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
}

#[test]
fn what_stays_in_the_group_is_killed_at_the_end() {
    let (exit, output) = run(bash("sleep 1000 >/dev/null 2>&1 & echo $!; exit 0"));
    assert!(exit.status.success());
    await_end(output.trim());
}

#[test]
fn a_child_that_closes_its_output_early_is_awaited() {
    let (exit, output) = run(bash("echo early; exec >&- 2>&-; sleep 0.1; exit 4"));
    assert_eq!(output, "early\n");
    assert_eq!(exit.status.code(), Some(4));
}

#[test]
fn phases_arrive_beside_the_output() {
    let channel = PhaseChannel::new().unwrap();
    let mut spec = bash("echo make >&$PHASES; echo log; echo strip >&$PHASES");
    spec.command.env("PHASES", channel.fd_number().to_string());
    let lines = RefCell::new(Vec::new());
    let on_line = Box::new(|line: &[u8]| {
        lines
            .borrow_mut()
            .push(String::from_utf8(line.to_vec()).unwrap())
    });
    let mut output = Vec::new();
    let spec = ProcessSpec {
        phases: Some(Phases { channel, on_line }),
        ..spec
    };
    let exit = run_process(spec, &CancelToken::new(), &mut |chunk| {
        output.extend_from_slice(chunk)
    })
    .unwrap();
    assert!(exit.status.success());
    assert_eq!(*lines.borrow(), ["make", "strip"]);
    assert_eq!(output, b"log\n");
}

#[test]
fn errors_go_elsewhere_if_they_should() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("errors");
    let (_, output) = run(ProcessSpec {
        errors: Some(fs::File::create(&path).unwrap()),
        ..bash("echo out; echo err >&2")
    });
    assert_eq!(output, "out\n");
    assert_eq!(fs::read(path).unwrap(), b"err\n");
}

#[test]
fn a_phase_channel_is_not_inherited_by_other_children() {
    let channel = PhaseChannel::new().unwrap();
    let (exit, _) = run(bash(&format!(
        "test ! -e /proc/self/fd/{}",
        channel.fd_number()
    )));
    assert!(exit.status.success());
}

#[test]
fn a_missing_program_is_named() {
    let spec = ProcessSpec::new(Command::new("/nonexistent/program"));
    let error = run_process(spec, &CancelToken::new(), &mut |_| {}).unwrap_err();
    assert!(
        matches!(&error, ProcessError::Spawn { program, .. } if program == "/nonexistent/program"),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "cannot start /nonexistent/program");
}

#[test]
fn a_panic_in_the_callback_leaves_no_process() {
    let mut pid = String::new();
    let attempt = catch_unwind(AssertUnwindSafe(|| {
        run_process(
            bash("echo $$; exec sleep 1000"),
            &CancelToken::new(),
            &mut |chunk| {
                pid = String::from_utf8(chunk.to_vec()).unwrap();
                panic!("this panic is part of the test");
            },
        )
    }));
    assert!(attempt.is_err());
    await_end(pid.trim());
}
