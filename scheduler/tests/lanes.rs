//! Two lanes side by side at the public API: what goes where, and in which order.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use kiln_scheduler::{
    CancelToken, Counts, Estimate, Event, GraphBuilder, HandBack, Lane, Lanes, MemoryGuard,
    OnFailure, Placement, RunOptions, Task, TokenPool, Verdict, run,
};
use support::audit::Audit;
use support::engine::{Stepping, Word, engine, here, run_both, run_well, started_in};
use support::{count, graph, run_recorded};

#[test]
fn jobs_keep_to_the_lanes_they_allow_the_longest_first() {
    use Placement::{Either, LocalOnly, RemoteOnly};
    let placements = [LocalOnly, Either, RemoteOnly, RemoteOnly, LocalOnly, Either];
    let mut builder = GraphBuilder::new();
    for (job, placement) in placements.into_iter().enumerate() {
        let duration = Duration::from_secs(job as u64 + 1);
        let estimate = Estimate {
            duration,
            memory: 0,
        };
        let id = builder.add(job, estimate);
        builder.place(id, placement);
    }
    let graph = Arc::new(builder.build().unwrap());
    let (local, remote) = (Stepping::new(1), Stepping::new(1));
    let (options, cancel) = (RunOptions::default(), CancelToken::new());
    let (report, events) = run_both(&graph, &local, &remote, options, &cancel);
    assert!(report.all_succeeded());
    assert_eq!(started_in(&events, Lane::Remote), [5, 3, 2]);
    assert_eq!(started_in(&events, Lane::Local), [4, 1, 0]);
}

#[test]
fn neither_tokens_nor_memory_hold_a_remote_job_back() {
    let mut builder = GraphBuilder::new();
    for job in 0..9 {
        let duration = Duration::ZERO;
        builder.add(
            job,
            Estimate {
                duration,
                memory: 100,
            },
        );
    }
    let graph = Arc::new(builder.build().unwrap());
    let options = RunOptions {
        memory: Some(MemoryGuard::new(0, || Some(10))),
        ..RunOptions::default()
    };
    let (local, remote) = (Stepping::new(4), Stepping::new(3));
    let cancel = CancelToken::new();
    let (report, events) = run_both(&graph, &local, &remote, options, &cancel);
    assert!(report.all_succeeded());
    // One fits here at a time. The others that this lane had put aside go to the engine when it has room.
    assert_eq!(started_in(&events, Lane::Remote), [0, 1, 2, 4, 6, 8]);
    assert_eq!(started_in(&events, Lane::Local), [3, 5, 7]);
}

const FLIGHT: NonZeroUsize = NonZeroUsize::new(5000).unwrap();

#[test]
fn thousands_are_in_flight_without_threads_and_without_tokens() {
    let flight = Mutex::new(Vec::new());
    let landings = AtomicUsize::new(0);
    let remote = engine(FLIGHT.get(), |task| {
        let mut flight = flight.lock().unwrap();
        flight.push(task);
        if flight.len() == FLIGHT.get() {
            landings.fetch_add(1, Ordering::SeqCst);
            let landed: Vec<Task<usize, Word>> = std::mem::take(&mut *flight);
            thread::spawn(move || {
                for task in landed.into_iter().rev() {
                    task.finish(Verdict::Succeeded("there"));
                }
            });
        }
    });
    let tokens = TokenPool::new(count(1));
    let held = tokens.try_acquire();
    let graph = graph(3 * FLIGHT.get(), &[]);
    let (options, cancel) = (RunOptions::default(), CancelToken::new());
    let lanes = Lanes::remote(&remote);
    let (report, events) = run_recorded(&graph, lanes, &tokens, options, &cancel);
    assert!(report.all_succeeded());
    assert_eq!(landings.load(Ordering::SeqCst), 3);
    let mut audit = Audit::new(&graph, [0, FLIGHT.get()]);
    events.iter().for_each(|event| audit.hear(event));
    assert_eq!(audit.close(&report), Ok(()));
    assert!(held.is_some(), "and nobody touches a pool that is not used");
    assert_eq!(tokens.available(), 0);
}

#[test]
fn a_task_that_a_remote_executor_drops_is_aborted_as_anywhere() {
    let remote = engine(3, drop);
    let (report, _) = run_well(&graph(3, &[(2, 1), (1, 0)]), &remote);
    let expected = Counts {
        aborted: 1,
        blocked: 2,
        ..Counts::default()
    };
    assert_eq!(report.counts(), expected);
}

#[test]
fn without_the_lane_that_they_need_jobs_are_stranded() {
    let tokens = TokenPool::new(count(2));
    let cancel = CancelToken::new();
    for (on_failure, blocked, cancelled) in
        [(OnFailure::KeepGoing, 1, 0), (OnFailure::FailFast, 1, 1)]
    {
        let local = here();
        let options = RunOptions {
            on_failure,
            memory: None,
        };
        let mut builder = GraphBuilder::new();
        let far = builder.add(0, Estimate::default());
        builder.place(far, Placement::RemoteOnly);
        let behind = builder.add(1, Estimate::default());
        builder.depend(behind, far);
        builder.add(2, Estimate::default());
        let graph = Arc::new(builder.build().unwrap());
        let lanes = Lanes::local(&local);
        let (report, _) = run_recorded(&graph, lanes, &tokens, options, &cancel);
        let expected = Counts {
            succeeded: 1 - cancelled,
            stranded: 1,
            blocked,
            cancelled,
            ..Counts::default()
        };
        assert_eq!(report.counts(), expected);
    }
}

#[test]
fn cancelling_reaches_what_runs_elsewhere() {
    let remote = engine(50, |task: Task<usize, Word>| {
        thread::spawn(move || {
            let _ = task.cancel().subscribe().recv();
            let job = *task.payload();
            task.finish(match job % 2 {
                0 => Verdict::Aborted("cancelled there"),
                _ => Verdict::HandBack(HandBack::Retry, "the stream broke"),
            });
        });
    });
    let cancel = CancelToken::new();
    let tokens = TokenPool::new(count(1));
    let mut running = 0;
    let report = run(
        graph(60, &[]),
        Lanes::remote(&remote),
        &tokens,
        RunOptions::default(),
        &cancel,
        &mut |event| {
            running += usize::from(matches!(event, Event::Started { .. }));
            if running == 50 {
                cancel.cancel();
            }
        },
    );
    let expected = Counts {
        aborted: 25,
        cancelled: 35,
        ..Counts::default()
    };
    assert_eq!(report.counts(), expected);
    assert!(report.cancelled);
}
