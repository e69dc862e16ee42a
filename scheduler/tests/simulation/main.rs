//! Local and remote side by side at scale, by simulation: engines that lose attempts, refuse jobs and die.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod world;

use kiln_scheduler::JobState;
use proptest::prelude::*;
use world::{Odds, SECOND, Shape, Site, simulate};

fn any_shape() -> impl Strategy<Value = Shape> {
    let odds = (
        0u16..3000,
        0u16..7000,
        0u16..2000,
        0u16..2000,
        0u16..3000,
        0u16..10_000,
    );
    let odds = odds.prop_map(
        |(fails, lost, refused, local_only, remote_only, depends)| Odds {
            fails,
            lost,
            refused,
            local_only,
            remote_only,
            depends,
            unknown: 2000,
        },
    );
    (1usize..5, 1usize..40, odds).prop_map(|(kernels, packages, odds)| Shape {
        kernels,
        packages,
        odds,
    })
}

fn any_site() -> impl Strategy<Value = Site> {
    let dies = prop::option::of(0..1200 * SECOND);
    (1usize..24, 1usize..32, 1usize..4, dies).prop_map(|(workers, remote_jobs, cores, dies)| Site {
        workers,
        remote_jobs,
        cores,
        dies,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_job_ends_once_and_as_its_dice_say(seed: u64, shape in any_shape(), site in any_site()) {
        let figures = simulate(seed, shape, site);
        prop_assert!(figures.is_ok(), "{:?}", figures);
        let figures = figures.unwrap();
        prop_assert!(figures.makespan >= figures.ideal);
        prop_assert_eq!(figures, simulate(seed, shape, site).unwrap(), "a seed has one run");
    }
}

const FARM: Shape = Shape {
    kernels: 20,
    packages: 250,
    odds: Odds {
        fails: 200,
        lost: 50,
        refused: 10,
        local_only: 10,
        remote_only: 50,
        depends: 1500,
        unknown: 500,
    },
};

const WELL: Site = Site {
    workers: 100,
    remote_jobs: 105,
    cores: 4,
    dies: None,
};

#[test]
fn a_farm_keeps_its_workers_busy() {
    for seed in 0..5 {
        let figures = simulate(seed, FARM, WELL).unwrap();
        let efficiency = figures.efficiency();
        assert!(efficiency > 0.96, "{efficiency} with seed {seed}");
        assert!(figures.wasted > 0 && figures.handed_back > 0);
        assert!(figures.count(|state| matches!(state, JobState::Blocked { .. })) > 0);
    }
}

#[test]
fn what_a_dead_engine_had_runs_here() {
    let mut shape = FARM;
    shape.packages = 10;
    shape.odds.remote_only = 0;
    let well = simulate(1, shape, WELL).unwrap();
    let dies = Some(30 * SECOND);
    let figures = simulate(1, shape, Site { dies, ..WELL }).unwrap();
    assert!(figures.makespan > 2 * well.makespan);
    assert!(figures.handed_back > WELL.workers / 2);
    let ended = |state| matches!(state, JobState::Succeeded | JobState::Failed);
    assert_eq!(figures.count(ended), well.count(ended));
}
