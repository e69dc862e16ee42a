//! The graph at its public API, on random inputs: order, cycles, remaining paths, and whom a failure blocks.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use kiln_scheduler::{
    CancelToken, Estimate, Graph, GraphBuilder, JobId, JobState, Lanes, RunOptions, TokenPool,
    Verdict,
};
use proptest::prelude::*;
use support::{Scripted, count, run_recorded, started};

type Edges = Vec<(usize, usize)>;

/// Jobs with durations in seconds, and edges between any two of them.
fn any_graph() -> impl Strategy<Value = (Vec<u64>, Edges)> {
    prop::collection::vec(0u64..50, 1..24).prop_flat_map(|durations| {
        let jobs = durations.len();
        (
            Just(durations),
            prop::collection::vec((0..jobs, 0..jobs), 0..48),
        )
    })
}

/// The same with every edge from a later job to an earlier one.
fn acyclic_graph() -> impl Strategy<Value = (Vec<u64>, Edges)> {
    any_graph().prop_map(|(durations, edges)| {
        let edges = edges
            .into_iter()
            .filter(|(job, on)| job != on)
            .map(|(a, b)| (a.max(b), a.min(b)))
            .collect();
        (durations, edges)
    })
}

fn builder_of(durations: &[u64], edges: &Edges) -> GraphBuilder<usize> {
    let mut builder = GraphBuilder::with_capacity(durations.len());
    let estimate = |&seconds: &u64| Estimate {
        duration: Duration::from_secs(seconds),
        memory: 0,
    };
    let ids: Vec<JobId> = durations
        .iter()
        .map(estimate)
        .enumerate()
        .map(|(job, cost)| builder.add(job, cost))
        .collect();
    for &(job, on) in edges {
        builder.depend(ids[job], ids[on]);
    }
    builder
}

/// Everything that waits for a job, however indirectly, found without the scheduler's help.
fn reachable(edges: &Edges, roots: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
    let mut found: BTreeSet<usize> = roots.into_iter().collect();
    loop {
        let more: Vec<usize> = edges
            .iter()
            .filter(|(_, on)| found.contains(on))
            .map(|&(job, _)| job)
            .collect();
        let before = found.len();
        found.extend(more);
        if found.len() == before {
            return found;
        }
    }
}

fn longest_path(graph: &Graph<usize>, job: JobId) -> Duration {
    let behind = graph
        .dependents(job)
        .iter()
        .map(|&next| longest_path(graph, next))
        .max();
    graph.estimate(job).duration + behind.unwrap_or_default()
}

fn verdict_of(code: u8) -> Option<Verdict<()>> {
    match code {
        0 => Some(Verdict::Failed(())),
        1 => Some(Verdict::Aborted(())),
        2 => None,
        _ => Some(Verdict::Succeeded(())),
    }
}

proptest! {
    #[test]
    fn edges_are_kept_in_both_directions((durations, edges) in acyclic_graph()) {
        let graph = builder_of(&durations, &edges).build().unwrap();
        let mut expected: Vec<_> = edges;
        expected.sort_unstable();
        expected.dedup();
        let forward: Vec<_> = graph.jobs().flat_map(|job| {
            graph.dependencies(job).iter().map(move |on| (job.index(), on.index()))
        }).collect();
        let mut backward: Vec<_> = graph.jobs().flat_map(|on| {
            graph.dependents(on).iter().map(move |job| (job.index(), on.index()))
        }).collect();
        backward.sort_unstable();
        prop_assert_eq!(&forward, &expected);
        prop_assert_eq!(&backward, &expected);
    }

    #[test]
    fn remaining_path_is_the_longest((durations, edges) in acyclic_graph()) {
        let graph = builder_of(&durations, &edges).build().unwrap();
        for job in graph.jobs() {
            prop_assert_eq!(graph.remaining_path(job), longest_path(&graph, job));
        }
    }

    #[test]
    fn a_reported_cycle_is_genuine_and_none_is_missed((durations, edges) in any_graph()) {
        let on_cycle = |&job: &usize| {
            let next = edges.iter().filter(|(_, on)| *on == job).map(|&(next, _)| next);
            reachable(&edges, next).contains(&job)
        };
        let cyclic = (0..durations.len()).any(|job| on_cycle(&job));
        match builder_of(&durations, &edges).build() {
            Ok(_) => prop_assert!(!cyclic, "a cycle was missed"),
            Err(error) => {
                let cycle = error.cycle;
                prop_assert!(!cycle.is_empty());
                for (index, (job, payload)) in cycle.iter().enumerate() {
                    let (next, _) = cycle[(index + 1) % cycle.len()];
                    prop_assert_eq!(job.index(), *payload);
                    prop_assert!(edges.contains(&(job.index(), next.index())), "{} does not wait for {}", job, next);
                }
                let distinct: BTreeSet<_> = cycle.iter().map(|(job, _)| job).collect();
                prop_assert_eq!(distinct.len(), cycle.len());
                prop_assert_eq!(distinct.first().copied(), cycle.first().map(|(job, _)| job));
            }
        }
    }

    #[test]
    fn a_run_respects_dependencies_and_blocks_exactly_those_behind_a_failure(
        (durations, edges) in acyclic_graph(),
        codes in prop::collection::vec(0u8..12, 24),
        slots in 1usize..5,
    ) {
        let graph = std::sync::Arc::new(builder_of(&durations, &edges).build().unwrap());
        let script = codes.clone();
        let executor = Scripted { slots, verdict: move |job: usize| verdict_of(script[job]) };
        let tokens = TokenPool::new(count(1));
        let (report, events) = run_recorded(&graph, Lanes::remote(&executor), &tokens, RunOptions::default(), &CancelToken::new());

        let order = started(&events);
        let position = |job: usize| order.iter().position(|&started| started == job);
        for &(job, on) in &edges {
            if let Some(at) = position(job) {
                prop_assert!(position(on).is_some_and(|before| before < at), "{} before {}", job, on);
            }
        }
        let bad: Vec<usize> = order.iter().copied().filter(|&job| codes[job] <= 2).collect();
        for job in graph.jobs() {
            match report.state(job) {
                JobState::Blocked { by } => {
                    prop_assert!(bad.contains(&by.index()));
                    prop_assert!(by != job && reachable(&edges, [by.index()]).contains(&job.index()));
                    prop_assert_eq!(position(job.index()), None);
                }
                JobState::Succeeded => prop_assert!(codes[job.index()] > 2),
                JobState::Failed => prop_assert_eq!(codes[job.index()], 0),
                JobState::Aborted => prop_assert!([1, 2].contains(&codes[job.index()])),
                other => prop_assert!(false, "{} ended as {:?}", job, other),
            }
            let behind = graph.dependencies(job).iter().all(|&on| report.state(on) == JobState::Succeeded);
            prop_assert_eq!(position(job.index()).is_some(), behind);
        }
    }
}

#[test]
fn a_job_that_waits_for_itself_is_a_cycle_of_one() {
    let mut builder = GraphBuilder::new();
    builder.add("fine", Estimate::default());
    let own = builder.add("own tail", Estimate::default());
    builder.depend(own, own);
    let error = builder.build().unwrap_err();
    assert_eq!(error.cycle, [(own, "own tail")]);
    assert_eq!(error.to_string(), "dependency cycle of 1 jobs");
}

#[test]
fn an_empty_graph_is_a_graph() {
    let graph = GraphBuilder::<()>::new().build().unwrap();
    assert!(graph.is_empty());
    assert_eq!(graph.jobs().len(), 0);
}
