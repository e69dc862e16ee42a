//! Processes that stop, and operations that fail, at every step there is.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use kiln_durable::{Operation, Step, Watch};

use super::{
    super::{Recovered, TransactionError},
    begin, begin_watched,
    ground::{self, Ground},
};

/// What happens at the step that is chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accident {
    /// Nothing is done from there on, and what is being written is cut short.
    Stop,
    /// It fails for lack of space, and nothing else does.
    Full,
}

struct At {
    step: usize,
    accident: Accident,
    done: AtomicUsize,
}

impl At {
    fn step(step: usize, accident: Accident) -> Arc<Self> {
        let done = AtomicUsize::new(0);
        Arc::new(Self {
            step,
            accident,
            done,
        })
    }

    fn has_happened(&self) -> bool {
        self.done.load(Ordering::SeqCst) > self.step
    }
}

impl Watch for At {
    fn before(&self, step: &Step<'_>) -> io::Result<()> {
        let now = self.done.fetch_add(1, Ordering::SeqCst);
        match self.accident {
            Accident::Stop if now >= self.step => {
                if now == self.step && step.operation == Operation::Write {
                    fs::write(step.path, "cut sho")?;
                }
                Err(io::Error::other("stopped"))
            }
            Accident::Full if now == self.step => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

/// Makes the changes, with an accident at a step. Nothing if that step was not reached.
fn change(ground: &Ground, watch: &Arc<At>) -> Option<Result<(), TransactionError>> {
    let mut transaction = begin_watched(&ground.kernel(), watch.clone()).unwrap();
    ground::record(&mut transaction, ground.root());
    let done = transaction.commit().and_then(|()| transaction.finish());
    watch.has_happened().then_some(done)
}

#[test]
fn whatever_step_it_stops_at_the_next_one_finishes_or_takes_back() {
    let states = ground::states();
    let mut ends = Vec::new();
    for step in 0.. {
        let ground = Ground::new();
        let watch = At::step(step, Accident::Stop);
        let Some(_) = change(&ground, &watch) else {
            break;
        };
        ground::check(&ground.tree(), &states, &format!("stopped at {step}"));
        ground.recover();
        let end = states.iter().position(|state| *state == ground.tree());
        ends.push(end.unwrap_or_else(|| panic!("stopped at {step}: {:#?}", ground.tree())));
    }
    assert!(ends.len() > 40 && ends.is_sorted(), "{ends:?}");
    assert_eq!((ends[0], ends[ends.len() - 1]), (0, 1));
}

#[test]
fn stopping_again_while_recovering_changes_nothing() {
    let states = ground::states();
    for step in (0..).step_by(3) {
        let ground = Ground::new();
        let Some(_) = change(&ground, &At::step(step, Accident::Stop)) else {
            break;
        };
        for again in 0.. {
            let watch = At::step(again, Accident::Stop);
            let recovered = begin_watched(&ground.kernel(), watch.clone());
            ground::check(
                &ground.tree(),
                &states,
                &format!("stopped at {step}, then at {again}"),
            );
            if !watch.has_happened() {
                recovered.unwrap();
                break;
            }
        }
        ground.recover();
        assert!(states.contains(&ground.tree()), "stopped at {step}");
    }
}

#[test]
fn whatever_step_fails_all_is_as_before_or_done_by_the_next_one() {
    let states = ground::states();
    let mut seen = [0; 3];
    for step in 0.. {
        let ground = Ground::new();
        let Some(done) = change(&ground, &At::step(step, Accident::Full)) else {
            break;
        };
        ground::check(&ground.tree(), &states, &format!("failed at {step}"));
        let (kind, end) = match done {
            Ok(()) => (0, 1),
            Err(TransactionError::Write { path, source }) => {
                assert!(path.starts_with(ground.root()), "{path:?}");
                assert_eq!(source.kind(), io::ErrorKind::StorageFull);
                assert_eq!(ground.tree(), states[0], "failed at {step}: not taken back");
                (1, 0)
            }
            Err(TransactionError::Unfinished { .. }) => (2, 1),
            Err(error) => panic!("failed at {step}: {error:?}"),
        };
        seen[kind] += 1;
        ground.recover();
        assert_eq!(ground.tree(), states[end], "failed at {step}");
    }
    assert!(seen.iter().all(|seen| *seen > 0), "{seen:?}");
}

#[test]
fn after_a_failure_in_the_middle_nothing_else_is_committed() {
    let states = ground::states();
    let mut failures = 0;
    for step in 0.. {
        let ground = Ground::new();
        let watch = At::step(step, Accident::Full);
        let mut transaction = begin_watched(&ground.kernel(), watch.clone()).unwrap();
        ground::record(&mut transaction, ground.root());
        let committed = transaction.commit();
        if !watch.has_happened() {
            break;
        }
        // Where only the last sync has failed, there is nothing left to finish.
        let is_over = !ground.path("K/.kiln/commit").exists();
        if is_over || !matches!(committed, Err(TransactionError::Unfinished { .. })) {
            continue;
        }
        failures += 1;
        transaction.forget();
        transaction.put_bytes("x", &ground.path("K/x.ko")).unwrap();
        let error = transaction.commit().unwrap_err();
        assert!(matches!(error, TransactionError::Unfinished { .. }));
        drop(transaction);
        assert_eq!(ground.recover(), Recovered::Finished);
        assert_eq!(ground.tree(), states[1], "failed at {step}");
    }
    assert!(failures > 10, "{failures}");
}

#[test]
fn depmod_stays_due_until_it_is_said_to_be_done() {
    let ground = Ground::new();
    let commit = |content: &str| {
        let mut transaction = begin(&ground.kernel());
        transaction
            .put_bytes(content, &ground.path("K/x.ko"))
            .unwrap();
        transaction.commit().unwrap();
        transaction
    };
    assert_eq!(commit("1").recovered(), Recovered::Nothing);
    assert_eq!(commit("2").recovered(), Recovered::Finished);
    // A later change that comes to nothing does not make it forgotten.
    let stopped = At::step(5, Accident::Stop);
    let mut failing = begin_watched(&ground.kernel(), stopped).unwrap();
    failing.put_bytes("3", &ground.path("K/x.ko")).unwrap();
    failing.commit().unwrap_err();
    drop(failing);
    assert!(ground.path("K/.kiln/prepare").exists());
    let mut transaction = begin(&ground.kernel());
    assert!(transaction.recovered().needs_depmod());
    transaction.finish().unwrap();
    drop(transaction);
    assert_eq!(begin(&ground.kernel()).recovered(), Recovered::Nothing);
    assert!(!ground.path("K/.kiln").exists());
}

#[test]
fn a_kernel_that_is_removed_meanwhile_takes_its_journal_with_it() {
    for gone in ["K", "K/updates", "dkms"] {
        for step in 0.. {
            let ground = Ground::new();
            let Some(_) = change(&ground, &At::step(step, Accident::Stop)) else {
                break;
            };
            fs::remove_dir_all(ground.path(gone)).unwrap();
            ground.recover();
            assert!(!ground.path(gone).exists(), "{gone} at {step}");
            assert!(!ground.path("K/.kiln").exists(), "{gone} at {step}");
        }
    }
}

#[test]
fn a_damaged_journal_leaves_modules_as_they_are() {
    let states = ground::states();
    for step in 0.. {
        let ground = Ground::new();
        let Some(_) = change(&ground, &At::step(step, Accident::Stop)) else {
            break;
        };
        let journal = ground.path("K/.kiln/commit");
        if journal.exists() {
            fs::write(&journal, "kiln-transaction 1 what is this").unwrap();
            assert_eq!(ground.recover(), Recovered::Damaged);
            let tree = ground.tree();
            ground::check(&tree, &states, &format!("stopped at {step}"));
            let mut inside = tree.keys().filter(|path| path.starts_with("K"));
            assert!(
                !inside.any(|path| path.to_str().unwrap().contains(".kiln")),
                "{tree:#?}"
            );
        }
    }
}
