//! The memory guard in a real run: jobs wait for each other's memory, and none waits for ever.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kiln_scheduler::{
    Estimate, Event, Graph, GraphBuilder, MemoryGuard, OnFailure, RunOptions, Verdict,
};
use support::{run_local, started};

const AVAILABLE: u64 = 100;
const RESERVE: u64 = 10;

fn jobs_of(needs: &[u64]) -> Arc<Graph<usize>> {
    let mut builder = GraphBuilder::new();
    for (job, &memory) in needs.iter().enumerate() {
        builder.add(
            job,
            Estimate {
                duration: Duration::ZERO,
                memory,
            },
        );
    }
    Arc::new(builder.build().unwrap())
}

fn guarded() -> RunOptions {
    let memory = Some(MemoryGuard::new(RESERVE, || Some(AVAILABLE)));
    RunOptions {
        on_failure: OnFailure::KeepGoing,
        memory,
    }
}

/// Runs jobs with these needs on four threads; returns the order of starts, the most memory in use, and who waited.
fn run_jobs(needs: &'static [u64]) -> (Vec<usize>, usize, Vec<usize>) {
    let used = AtomicUsize::new(0);
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let (report, events) = run_local(&jobs_of(needs), 4, guarded(), move |task| {
        let memory = needs[*task.payload()] as usize;
        seen.fetch_max(
            used.fetch_add(memory, Ordering::SeqCst) + memory,
            Ordering::SeqCst,
        );
        std::thread::sleep(Duration::from_millis(5));
        used.fetch_sub(memory, Ordering::SeqCst);
        Verdict::Succeeded(())
    });
    assert!(report.all_succeeded());
    let waited = |event: &Event<()>| {
        if let Event::MemoryWait { job } = event {
            Some(job.index())
        } else {
            None
        }
    };
    let waited = events.iter().filter_map(waited).collect();
    (started(&events), most.load(Ordering::SeqCst), waited)
}

#[test]
fn jobs_that_do_not_fit_together_run_one_after_another() {
    let (order, most, waited) = run_jobs(&[60, 60, 60]);
    assert_eq!(order, [0, 1, 2]);
    assert_eq!(most, 60);
    assert_eq!(waited, [1, 2]);
}

#[test]
fn what_fits_runs_together_up_to_the_reserve() {
    let (_, most, _) = run_jobs(&[30; 12]);
    assert!(
        most <= usize::try_from(AVAILABLE - RESERVE).unwrap(),
        "{most}"
    );
}

#[test]
fn a_job_larger_than_the_machine_still_runs_alone() {
    let (order, most, waited) = run_jobs(&[40, 5000, 40]);
    assert_eq!(order, [0, 2, 1]);
    assert_eq!(most, 5000);
    assert_eq!(waited, [1]);
}
