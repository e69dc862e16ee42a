//! Processes killed with SIGKILL, at every step and while they recover.

use std::{
    io,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use kiln_durable::{Step, Watch};
use rustix::process::{Signal, getpid, kill_process};

use super::{
    begin_watched,
    ground::{self, Ground},
};

/// Where the other process works, and at which step it dies.
const GROUND: &str = "KILN_TRANSACTION_GROUND";
const STEP: &str = "KILN_TRANSACTION_STEP";

struct Death {
    step: usize,
    done: AtomicUsize,
}

impl Watch for Death {
    fn before(&self, _: &Step<'_>) -> io::Result<()> {
        if self.done.fetch_add(1, Ordering::SeqCst) == self.step {
            kill_process(getpid(), Signal::KILL)?;
        }
        Ok(())
    }
}

/// Makes the changes in another process, which dies at a step. Whether it got that far.
fn change_and_die(ground: &Ground, step: usize) -> bool {
    let name = module_path!().split_once("::").unwrap().1;
    let status = Command::new(std::env::current_exe().unwrap())
        .args([&format!("{name}::play"), "--exact", "--ignored", "--quiet"])
        .env(GROUND, ground.root())
        .env(STEP, step.to_string())
        .output()
        .unwrap()
        .status;
    assert!(status.success() || status.code().is_none(), "{status}");
    !status.success()
}

#[test]
fn whenever_it_is_killed_the_next_one_finishes_or_takes_back() {
    let states = ground::states();
    let mut ends = Vec::new();
    for step in 0.. {
        let ground = Ground::new();
        let was_killed = change_and_die(&ground, step);
        ground::check(&ground.tree(), &states, &format!("killed at {step}"));
        if !was_killed {
            break;
        }
        ground.recover();
        let end = states.iter().position(|state| *state == ground.tree());
        ends.push(end.unwrap_or_else(|| panic!("killed at {step}: {:#?}", ground.tree())));
    }
    assert!(ends.len() > 40 && ends.is_sorted(), "{ends:?}");
    assert_eq!((ends[0], ends[ends.len() - 1]), (0, 1));
}

#[test]
#[ignore = "the other process of a test"]
fn play() {
    let root = std::env::var_os(GROUND).unwrap();
    let step = std::env::var(STEP).unwrap().parse().unwrap();
    let root = Path::new(&root);
    let death = Arc::new(Death {
        step,
        done: AtomicUsize::new(0),
    });
    let mut transaction = begin_watched(&root.join("K"), death).unwrap();
    ground::record(&mut transaction, root);
    transaction.commit().unwrap();
    transaction.finish().unwrap();
}
