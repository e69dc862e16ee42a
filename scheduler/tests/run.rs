//! A run at its public API: order, events, ends of every kind, and executors of both kinds.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use kiln_scheduler::{
    CancelToken, Counts, Estimate, Event, GraphBuilder, JobState, Lanes, LocalExecutor, OnFailure,
    RunOptions, Task, TokenPool, Verdict, run,
};
use support::{Scripted, count, graph, run_local, run_recorded, started};

const FAIL_FAST: OnFailure = OnFailure::FailFast;

#[test]
fn the_longest_path_starts_first() {
    let mut builder = GraphBuilder::new();
    let lasting = |seconds| Estimate {
        duration: Duration::from_secs(seconds),
        memory: 0,
    };
    let _short = builder.add(0, lasting(1));
    let _long = builder.add(1, lasting(5));
    let first_of_chain = builder.add(2, lasting(3));
    let second_of_chain = builder.add(3, lasting(4));
    builder.depend(second_of_chain, first_of_chain);
    let graph = Arc::new(builder.build().unwrap());
    let (report, events) = run_local(&graph, 1, RunOptions::default(), |_| Verdict::Succeeded(()));
    assert!(report.all_succeeded());
    assert_eq!(started(&events), [2, 1, 3, 0]);
}

#[test]
fn a_job_tells_its_phases_and_outcome_in_order() {
    let (report, events) = run_local(&graph(1, &[]), 1, RunOptions::default(), |task| {
        task.phase("make");
        task.phase(format!("strip {}", task.payload()));
        Verdict::Failed("no rule")
    });
    let job = kiln_scheduler::GraphBuilder::new().add((), Estimate::default());
    assert_eq!(report.state(job), JobState::Failed);
    let [
        Event::Started { .. },
        Event::Phase { name: first, .. },
        Event::Phase { name: second, .. },
        last,
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((first.as_ref(), second.as_ref()), ("make", "strip 0"));
    assert!(
        matches!(
            last,
            Event::Finished {
                state: JobState::Failed,
                outcome: Some("no rule"),
                ..
            }
        ),
        "{last:?}"
    );
}

#[test]
fn a_failure_blocks_only_what_depends_on_it() {
    let graph = graph(5, &[(1, 0), (2, 1), (4, 3)]);
    let (report, events) = run_local(&graph, 2, RunOptions::default(), |task| {
        match task.payload() {
            0 => Verdict::Failed(()),
            _ => Verdict::Succeeded(()),
        }
    });
    assert_eq!(
        report.counts(),
        Counts {
            succeeded: 2,
            failed: 1,
            blocked: 2,
            ..Counts::default()
        }
    );
    assert_eq!(
        report.count(|state| matches!(state, JobState::Blocked { by } if by.index() == 0)),
        2
    );
    assert_eq!(
        events
            .iter()
            .filter(|event| matches!(event, Event::Blocked { .. }))
            .count(),
        2
    );
}

#[test]
fn fail_fast_lets_running_jobs_finish_and_starts_nothing_more() {
    let together = Barrier::new(2);
    let failed = CancelToken::new();
    let told = failed.clone();
    let executor = LocalExecutor::new(count(2), move |task: &Task<usize, ()>| {
        if *task.payload() < 2 {
            together.wait();
        }
        if *task.payload() == 0 {
            return Verdict::Failed(());
        }
        let _ = failed.subscribe().recv();
        Verdict::Succeeded(())
    })
    .unwrap();
    let tokens = TokenPool::new(count(2));
    let mut sink = |event: Event<()>| {
        if matches!(
            event,
            Event::Finished {
                state: JobState::Failed,
                ..
            }
        ) {
            told.cancel();
        }
    };
    let options = RunOptions {
        on_failure: FAIL_FAST,
        memory: None,
    };
    let graph = graph(5, &[(4, 0)]);
    let report = run(
        graph,
        Lanes::local(&executor),
        &tokens,
        options,
        &CancelToken::new(),
        &mut sink,
    );
    let expected = Counts {
        succeeded: 1,
        failed: 1,
        blocked: 1,
        cancelled: 2,
        ..Counts::default()
    };
    assert_eq!(report.counts(), expected);
    assert!(!report.cancelled);
}

#[test]
fn a_panicking_worker_aborts_its_job_only() {
    let (report, events) = run_local(&graph(3, &[(1, 0)]), 1, RunOptions::default(), |task| {
        assert_ne!(*task.payload(), 0, "this panic is part of the test");
        Verdict::Succeeded(())
    });
    assert_eq!(
        report.counts(),
        Counts {
            succeeded: 1,
            aborted: 1,
            blocked: 1,
            ..Counts::default()
        }
    );
    let lost = |event: &&Event<()>| {
        matches!(
            event,
            Event::Finished {
                state: JobState::Aborted,
                outcome: None,
                ..
            }
        )
    };
    assert_eq!(events.iter().filter(lost).count(), 1);
}

#[test]
fn a_dropped_task_is_aborted() {
    let executor = Scripted {
        slots: 2,
        verdict: |job| (job != 1).then_some(Verdict::Succeeded(())),
    };
    let tokens = TokenPool::new(count(1));
    let (report, _) = run_recorded(
        &graph(3, &[]),
        Lanes::remote(&executor),
        &tokens,
        RunOptions::default(),
        &CancelToken::new(),
    );
    assert_eq!(
        report.counts(),
        Counts {
            succeeded: 2,
            aborted: 1,
            ..Counts::default()
        }
    );
}

#[test]
fn cancelling_awaits_what_runs_and_cancels_the_rest() {
    let executor = LocalExecutor::new(count(2), |task: &Task<usize, ()>| {
        let _ = task.cancel().subscribe().recv();
        Verdict::Aborted(())
    })
    .unwrap();
    let tokens = TokenPool::new(count(2));
    let cancel = CancelToken::new();
    let (mut events, mut running) = (Vec::new(), 0);
    let mut sink = |event: Event<()>| {
        running += usize::from(matches!(event, Event::Started { .. }));
        if running == 2 {
            cancel.cancel();
        }
        events.push(event);
    };
    let report = run(
        graph(5, &[(2, 0)]),
        Lanes::local(&executor),
        &tokens,
        RunOptions::default(),
        &cancel,
        &mut sink,
    );
    assert!(report.cancelled);
    assert_eq!(
        report.counts(),
        Counts {
            aborted: 2,
            cancelled: 3,
            ..Counts::default()
        }
    );
    assert_eq!(
        events
            .iter()
            .filter(|event| matches!(event, Event::Cancelling))
            .count(),
        1
    );
    assert_eq!(tokens.available(), 2);
}

#[test]
fn cancelling_wakes_a_run_that_waits_in_silence() {
    let executor = LocalExecutor::new(count(1), |task: &Task<usize, ()>| {
        let _ = task.cancel().subscribe().recv();
        Verdict::Aborted(())
    })
    .unwrap();
    let tokens = TokenPool::new(count(1));
    let cancel = CancelToken::new();
    let mut ticks = 0;
    let mut sink = |event: Event<()>| {
        ticks += usize::from(matches!(event, Event::Tick));
        if ticks == 2 {
            let cancel = cancel.clone();
            thread::spawn(move || cancel.kill());
        }
    };
    let report = run(
        graph(2, &[]),
        Lanes::local(&executor),
        &tokens,
        RunOptions::default(),
        &cancel,
        &mut sink,
    );
    assert_eq!(
        report.counts(),
        Counts {
            aborted: 1,
            cancelled: 1,
            ..Counts::default()
        }
    );
}

#[test]
fn a_run_cancelled_beforehand_starts_nothing() {
    let cancel = CancelToken::new();
    cancel.cancel();
    let executor = Scripted {
        slots: 1,
        verdict: |_| panic!("nothing may start"),
    };
    let tokens = TokenPool::new(count(1));
    let (report, events) = run_recorded(
        &graph(3, &[(2, 0)]),
        Lanes::remote(&executor),
        &tokens,
        RunOptions::default(),
        &cancel,
    );
    assert_eq!(
        report.counts(),
        Counts {
            cancelled: 3,
            ..Counts::default()
        }
    );
    assert_eq!(events.first(), Some(&Event::Cancelling));
}

#[test]
fn a_cancellation_after_the_last_job_is_not_one_of_the_run() {
    let cancel = CancelToken::new();
    let executor = Scripted {
        slots: 1,
        verdict: |_| Some(Verdict::Succeeded(())),
    };
    let tokens = TokenPool::new(count(1));
    let mut sink = |event: Event<()>| {
        if matches!(event, Event::Finished { .. }) {
            cancel.cancel();
        }
    };
    let report = run(
        graph(1, &[]),
        Lanes::remote(&executor),
        &tokens,
        RunOptions::default(),
        &cancel,
        &mut sink,
    );
    assert!(report.all_succeeded() && !report.cancelled);
}

#[test]
fn an_empty_graph_ends_at_once() {
    let (report, events) = run_local::<(), _>(&graph(0, &[]), 1, RunOptions::default(), |_| {
        Verdict::Succeeded(())
    });
    assert!(report.all_succeeded() && report.states.is_empty() && events.is_empty());
}

#[test]
fn two_runs_share_one_pool() {
    let tokens = TokenPool::new(count(2));
    let busy = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            let (tokens, busy, most) = (&tokens, Arc::clone(&busy), Arc::clone(&most));
            scope.spawn(move || {
                let work = move |_: &Task<usize, ()>| {
                    most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    busy.fetch_sub(1, Ordering::SeqCst);
                    Verdict::Succeeded(())
                };
                let executor = LocalExecutor::new(count(4), work).unwrap();
                let (report, _) = run_recorded(
                    &graph(500, &[]),
                    Lanes::local(&executor),
                    tokens,
                    RunOptions::default(),
                    &CancelToken::new(),
                );
                assert!(report.all_succeeded());
            });
        }
    });
    assert!(most.load(Ordering::SeqCst) <= 2);
    assert_eq!(tokens.available(), 2);
}
