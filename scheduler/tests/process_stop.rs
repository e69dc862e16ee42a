//! Stopping one child: cancellation at both levels, limits, the caller's watch, and a child that does not listen.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use kiln_scheduler::{CancelToken, ProcessExit, ProcessSpec, StopReason, run_process};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
const FOREVER: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(100);
/// Says that it is ready once it cannot be ended by SIGTERM any more.
const DEAF: &str = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
/// Says that it is ready once it ends by itself at SIGTERM.
const TIDY: &str = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";

fn bash(script: &str) -> ProcessSpec<'static> {
    let mut command = Command::new("bash");
    command.args(["-c", script]);
    ProcessSpec {
        grace: FOREVER,
        ..ProcessSpec::new(command)
    }
}

fn run(spec: ProcessSpec<'_>) -> ProcessExit {
    run_process(spec, &CancelToken::new(), &mut |_| {}).unwrap()
}

/// Runs until the process says something, and then does what the test says to the token.
fn run_until_ready(spec: ProcessSpec<'_>, then: impl Fn(&CancelToken)) -> ProcessExit {
    let cancel = CancelToken::new();
    run_process(spec, &cancel, &mut |_| then(&cancel)).unwrap()
}

#[test]
fn a_cancelled_process_may_end_in_order() {
    let exit = run_until_ready(bash(TIDY), CancelToken::cancel);
    assert_eq!(exit.stopped, Some(StopReason::Cancelled));
    assert_eq!(exit.status.code(), Some(7));
}

#[test]
fn a_process_that_ignores_sigterm_is_killed_after_its_grace() {
    let exit = run_until_ready(
        ProcessSpec {
            grace: SHORT,
            ..bash(DEAF)
        },
        CancelToken::cancel,
    );
    assert_eq!(exit.stopped, Some(StopReason::Cancelled));
    assert_eq!(exit.status.signal(), Some(SIGKILL));
}

#[test]
fn the_second_level_does_not_wait_for_grace() {
    let exit = run_until_ready(bash(DEAF), |cancel| {
        cancel.cancel();
        let cancel = cancel.clone();
        std::thread::spawn(move || {
            std::thread::sleep(SHORT);
            cancel.kill();
        });
    });
    assert_eq!(exit.stopped, Some(StopReason::Cancelled));
    assert_eq!(exit.status.signal(), Some(SIGKILL));
}

#[test]
fn a_process_started_after_the_cancellation_ends_at_once() {
    let cancel = CancelToken::new();
    cancel.cancel();
    let exit = run_process(bash("sleep 1000"), &cancel, &mut |_| {}).unwrap();
    assert_eq!(exit.stopped, Some(StopReason::Cancelled));
    assert_eq!(exit.status.signal(), Some(SIGTERM));
}

#[test]
fn the_whole_group_is_stopped() {
    let exit = run_until_ready(
        bash("bash -c 'echo ready; sleep 1000' | cat"),
        CancelToken::cancel,
    );
    assert_eq!(exit.status.signal(), Some(SIGTERM));
}

#[test]
fn the_time_limit_stops_a_silent_process() {
    let exit = run(ProcessSpec {
        time_limit: Some(SHORT),
        ..bash("sleep 1000")
    });
    assert_eq!(exit.stopped, Some(StopReason::TimeLimit));
    assert_eq!(exit.status.signal(), Some(SIGTERM));
}

#[test]
fn the_time_limit_stops_a_process_that_prints_without_end() {
    let exit = run(ProcessSpec {
        time_limit: Some(SHORT),
        ..bash("yes")
    });
    assert_eq!(exit.stopped, Some(StopReason::TimeLimit));
}

#[test]
fn the_output_limit_is_exact() {
    let exit = run(ProcessSpec {
        output_limit: Some(1_000_001),
        ..bash("yes")
    });
    assert_eq!(exit.stopped, Some(StopReason::OutputLimit));
    assert_eq!(exit.output_bytes, 1_000_001);
}

#[test]
fn output_up_to_the_limit_is_allowed() {
    let exit = run(ProcessSpec {
        output_limit: Some(5),
        ..bash("printf 12345")
    });
    assert_eq!((exit.stopped, exit.output_bytes), (None, 5));
    assert!(exit.status.success());
}

#[test]
fn too_much_output_is_told_also_when_the_process_has_ended() {
    let exit = run(ProcessSpec {
        output_limit: Some(4),
        ..bash("printf 12345")
    });
    assert_eq!(
        (exit.stopped, exit.output_bytes),
        (Some(StopReason::OutputLimit), 4)
    );
}

#[test]
fn the_watch_of_the_caller_may_stop_it() {
    let mut asked = 0;
    let watch = Box::new(|_| {
        asked += 1;
        (asked == 2).then_some(StopReason::Other("disk full"))
    });
    let exit = run(ProcessSpec {
        watch: Some(watch),
        ..bash("sleep 1000")
    });
    assert_eq!(exit.stopped, Some(StopReason::Other("disk full")));
    assert_eq!(asked, 2);
}

#[test]
fn the_watch_of_the_caller_may_stop_it_at_once() {
    let reason = StopReason::Other("too much memory");
    let exit = run(ProcessSpec {
        watch: Some(Box::new(move |process| {
            // It is the number of the child itself, which leads a session.
            let leads = rustix::process::getsid(Some(process)) == Ok(process);
            leads.then_some(reason)
        })),
        grace: Duration::from_secs(1000),
        ..bash("trap '' TERM; sleep 1000 & wait")
    });
    assert_eq!(exit.stopped, Some(reason));
}
