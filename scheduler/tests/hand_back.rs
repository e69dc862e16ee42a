//! What comes back from a lane, and what becomes of it.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::sync::{Arc, Mutex};

use kiln_scheduler::{
    CancelToken, Counts, Estimate, Event, GraphBuilder, HandBack, JobState, Lane, Lanes, Placement,
    RunOptions, Task, TokenPool, Verdict, run,
};
use support::engine::{Engine, Stepping, Word, engine, run_both, run_well, started_in};
use support::{count, graph, run_recorded};

fn number(events: &[Event<Word>], of: impl Fn(&Event<Word>) -> bool) -> usize {
    events.iter().filter(|event| of(event)).count()
}

/// Keeps what it is given until it has so many, says of the last that the lane is lost, and gives the others out.
fn dying(
    after: usize,
    kept: &Mutex<Vec<Task<usize, Word>>>,
) -> Engine<impl Fn(Task<usize, Word>) + Sync> {
    engine(after, move |task| {
        let mut kept = kept.lock().unwrap();
        if kept.len() + 1 == after {
            task.finish(Verdict::HandBack(HandBack::LaneLost, "connection refused"));
        } else {
            kept.push(task);
        }
    })
}

#[test]
fn what_a_lost_lane_had_runs_here_and_late_words_change_nothing() {
    let kept = Mutex::default();
    let remote = dying(8, &kept);
    let late = Mutex::new(0);
    let local = engine(1, |task| {
        // The engine's own tasks end only after the loss was seen, each in another way. The first job here starts before.
        let seen = *task.payload() != 8;
        if let Some(straggler) = seen.then(|| kept.lock().unwrap().pop()).flatten() {
            *late.lock().unwrap() += 1;
            straggler.phase("still there");
            match straggler.payload() % 3 {
                0 => straggler.finish(Verdict::Failed("there")),
                1 => straggler.finish(Verdict::HandBack(HandBack::LaneLost, "me too")),
                _ => drop(straggler),
            }
        }
        task.finish(Verdict::Succeeded("here"));
    });
    let (options, cancel) = (RunOptions::default(), CancelToken::new());
    let graph = graph(20, &[(19, 0)]);
    let (report, events) = run_both(&graph, &local, &remote, options, &cancel);
    assert!(report.all_succeeded());
    assert_eq!(*late.lock().unwrap(), 7);
    assert_eq!(started_in(&events, Lane::Remote), [0, 1, 2, 3, 4, 5, 6, 7]);
    let order: Vec<usize> = [8].into_iter().chain(0..8).chain(9..20).collect();
    assert_eq!(started_in(&events, Lane::Local), order);
    let lost = |why| {
        number(
            &events,
            |event| matches!(event, Event::HandedBack { outcome, .. } if *outcome == why),
        )
    };
    assert_eq!((lost(Some("connection refused")), lost(None)), (1, 7));
    assert_eq!(
        number(&events, |event| matches!(
            event,
            Event::LaneLost { lane: Lane::Remote }
        )),
        1
    );
    assert_eq!(
        number(&events, |event| matches!(event, Event::Phase { .. })),
        0
    );
}

#[test]
fn what_ended_before_the_loss_counts() {
    let kept = Mutex::<Vec<Task<usize, Word>>>::default();
    let remote = engine(4, |task| {
        let mut kept = kept.lock().unwrap();
        kept.push(task);
        if kept.len() == 4 {
            let verdicts = [
                Verdict::HandBack(HandBack::LaneLost, "gone"),
                Verdict::Succeeded("there"),
                Verdict::Failed("there"),
            ];
            for verdict in verdicts {
                kept.remove(0).finish(verdict);
            }
        }
    });
    let (options, cancel) = (RunOptions::default(), CancelToken::new());
    let local = Stepping::new(1);
    let (report, events) = run_both(&graph(4, &[]), &local, &remote, options, &cancel);
    let expected = Counts {
        succeeded: 3,
        failed: 1,
        ..Counts::default()
    };
    assert_eq!(report.counts(), expected);
    assert_eq!(started_in(&events, Lane::Local), [0, 3]);
}

#[test]
fn a_lost_attempt_is_tried_again_there_but_not_for_ever() {
    let remote = engine(1, |task| {
        task.finish(Verdict::HandBack(HandBack::Retry, "the worker is gone"));
    });
    let mut builder = GraphBuilder::new();
    let wherever = builder.add(0, Estimate::default());
    let stuck = builder.add(1, Estimate::default());
    builder.place(stuck, Placement::RemoteOnly);
    let behind = builder.add(2, Estimate::default());
    builder.depend(behind, stuck);
    let graph = Arc::new(builder.build().unwrap());
    let busy = engine(1, |task: Task<usize, Word>| {
        assert_eq!(*task.payload(), 0);
        task.finish(Verdict::Succeeded("here"));
    });
    let (report, events) = run_both(
        &graph,
        &busy,
        &remote,
        RunOptions::default(),
        &CancelToken::new(),
    );
    assert_eq!(report.state(wherever), JobState::Succeeded);
    assert_eq!(report.state(stuck), JobState::Stranded);
    assert_eq!(report.state(behind), JobState::Blocked { by: stuck });
    let attempts = started_in(&events, Lane::Remote);
    assert_eq!(attempts.iter().filter(|&&job| job == 1).count(), 4);
}

#[test]
fn a_refused_job_runs_here_and_the_lane_goes_on() {
    let remote = engine(3, |task: Task<usize, Word>| {
        let verdict = match *task.payload() % 2 {
            0 => Verdict::HandBack(HandBack::Refused, "too large"),
            _ => Verdict::Succeeded("there"),
        };
        task.finish(verdict);
    });
    let chain = [(1, 0), (2, 1), (3, 2), (4, 3)];
    let (report, events) = run_well(&graph(5, &chain), &remote);
    assert!(report.all_succeeded());
    assert_eq!(started_in(&events, Lane::Remote), [0, 1, 2, 3, 4]);
    assert_eq!(started_in(&events, Lane::Local), [0, 2, 4]);
}

#[test]
fn with_no_lane_left_everything_is_stranded() {
    let kept = Mutex::default();
    let remote = dying(3, &kept);
    let tokens = TokenPool::new(count(1));
    let (options, cancel) = (RunOptions::default(), CancelToken::new());
    let graph = graph(6, &[(5, 0), (4, 5)]);
    let lanes = Lanes::remote(&remote);
    let (report, _) = run_recorded(&graph, lanes, &tokens, options, &cancel);
    let expected = Counts {
        stranded: 4,
        blocked: 2,
        ..Counts::default()
    };
    assert_eq!(report.counts(), expected);
}

#[test]
fn a_cancelled_run_does_not_wait_for_a_lost_lane() {
    let kept = Mutex::<Vec<Task<usize, Word>>>::default();
    let remote = engine(5, |task| kept.lock().unwrap().push(task));
    let cancel = CancelToken::new();
    let tokens = TokenPool::new(count(1));
    let report = run(
        graph(9, &[(8, 0)]),
        Lanes::remote(&remote),
        &tokens,
        RunOptions::default(),
        &cancel,
        &mut |event| match event {
            Event::Tick => cancel.cancel(),
            Event::Cancelling => {
                let task = kept.lock().unwrap().pop().unwrap();
                task.finish(Verdict::HandBack(HandBack::LaneLost, "no answer"));
            }
            _ => {}
        },
    );
    let expected = Counts {
        cancelled: 9,
        ..Counts::default()
    };
    assert_eq!(report.counts(), expected);
    assert_eq!(kept.lock().unwrap().len(), 4);
}

#[test]
fn a_lost_local_lane_is_awaited_and_the_rest_goes_elsewhere() {
    let first = Mutex::<Option<Task<usize, Word>>>::default();
    let local = engine(2, |task: Task<usize, Word>| {
        let mut first = first.lock().unwrap();
        if first.is_none() {
            first.replace(task);
        } else {
            task.finish(Verdict::HandBack(HandBack::LaneLost, "the disk is gone"));
        }
    });
    let remote = engine(1, |task: Task<usize, Word>| {
        if *task.payload() == 4 {
            let waiting = first.lock().unwrap().take();
            waiting.unwrap().finish(Verdict::Succeeded("here"));
        }
        task.finish(Verdict::Succeeded("there"));
    });
    let graph = graph(5, &[]);
    let (options, cancel) = (RunOptions::default(), CancelToken::new());
    let (report, events) = run_both(&graph, &local, &remote, options, &cancel);
    assert!(report.all_succeeded());
    assert_eq!(started_in(&events, Lane::Local), [1, 2]);
    assert_eq!(started_in(&events, Lane::Remote), [0, 2, 3, 4]);
}
