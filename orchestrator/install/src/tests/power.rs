//! Power failures: what is on disk when only that lasts which was synced, and any part of the rest.

use std::sync::Arc;

use kiln_durable::power::{Machine, Process};

use super::{
    begin_watched,
    ground::{self, Ground},
};

/// Images of the disk for each step: nothing unsynced, everything, and some in between.
const IMAGES: u64 = 8;

/// A machine with a ground, and a process on it for which the power fails at a step.
fn fails_at(step: usize, ground: &Ground) -> (Arc<Machine>, Arc<Process>) {
    let machine = Machine::new(ground.root()).unwrap();
    let process = machine.process(step);
    (machine, process)
}

/// Makes the changes until the power fails. Whether they were committed.
fn change(ground: &Ground, power: &Arc<Process>) -> bool {
    let mut transaction = begin_watched(&ground.kernel(), power.clone()).unwrap();
    ground::record(&mut transaction, ground.root());
    transaction.commit().is_ok()
}

#[test]
fn after_a_power_failure_at_any_step_all_is_old_or_new() {
    let states = ground::states();
    let mut ends = [0; 2];
    for step in 0.. {
        let mut has_failed = false;
        for image in 0..IMAGES {
            let ground = Ground::new();
            let (machine, power) = fails_at(step, &ground);
            let is_committed = change(&ground, &power);
            has_failed |= power.has_ended();
            machine.fail(image).unwrap();

            let when = format!("power failed at {step}, image {image}");
            ground::check(&ground.tree(), &states, &when);
            let is_over = ground.path("K/.kiln/depmod").exists();
            assert!(is_over || !is_committed, "{when}: it would be done again");
            ground.recover();
            let end = states.iter().position(|state| *state == ground.tree());
            let end = end.unwrap_or_else(|| panic!("{when}: {:#?}", ground.tree()));
            ends[end] += 1;
            assert!(
                end == 1 || !is_committed,
                "{when}: what was committed did not last"
            );
        }
        if !has_failed {
            break;
        }
    }
    assert!(ends.iter().all(|end| *end > 100), "{ends:?}");
}

#[test]
fn a_power_failure_while_recovering_changes_nothing() {
    let states = ground::states();
    for step in (0..).step_by(9) {
        if !fail_at_any_step_of_recovery(step, &states) {
            break;
        }
    }
}

/// Has the power fail at a step of the changes, and then at any step of the recovery. Whether there was such a step.
fn fail_at_any_step_of_recovery(step: usize, states: &[ground::Tree; 2]) -> bool {
    for again in 0.. {
        let mut has_failed = false;
        for image in 1..4 {
            let ground = Ground::new();
            let (machine, power) = fails_at(step, &ground);
            change(&ground, &power);
            if !power.has_ended() {
                return false;
            }
            machine.fail(1).unwrap();

            let (machine, power) = fails_at(again, &ground);
            if let Ok(mut transaction) = begin_watched(&ground.kernel(), power.clone()) {
                let _ = transaction.finish();
            }
            has_failed |= power.has_ended();
            machine.fail(image).unwrap();

            let when = format!("power failed at {step}, then at {again}, image {image}");
            ground::check(&ground.tree(), states, &when);
            ground.recover();
            assert!(
                states.contains(&ground.tree()),
                "{when}: {:#?}",
                ground.tree()
            );
        }
        if !has_failed {
            break;
        }
    }
    true
}
