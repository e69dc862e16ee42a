//! Actions on an engine with a queue and workers of its own.

use std::time::Duration;

use kiln_remote::{RemoteError, Stage};

use crate::execution::{executor, is_running, script, submit, wait_until};
use crate::grid::Grid;

/// One server for all of it: it takes seconds to start.
#[test]
fn a_queue_and_its_workers() {
    let grid = Grid::start();
    let executor = executor(&grid.endpoint());
    assert!(executor.check().unwrap().execution);

    // Nobody is there: it waits, for as long as it may, or until nobody wants it any more.
    let mut work = script("echo never >out", &[]);
    work.deadline = Some(Duration::from_secs(2));
    let error = executor.run(work).unwrap_err();
    assert!(matches!(error, RemoteError::TimedOut { .. }), "{error:?}");
    let waiting = submit(&executor, script("echo unwanted >out", &[]));
    waiting.wait_for(Stage::Queued);
    waiting.handle.cancel();
    assert!(matches!(waiting.end(), Err(RemoteError::Cancelled)));

    let first = grid.worker("first");
    let folder = tempfile::tempdir().unwrap();
    let mut work = script(
        "mkdir out; cat in >out/copy; echo said",
        &[("in", "content\n")],
    );
    work.download = Some(folder.path().to_owned());
    let action = submit(&executor, work.clone());
    action.wait_for(Stage::Executing);
    let done = action.end().unwrap();
    assert_eq!((done.exit_code, done.worker.as_str()), (0, "first"));
    assert_eq!(done.stdout, b"said\n");
    assert_eq!(
        std::fs::read(folder.path().join("out/copy")).unwrap(),
        b"content\n"
    );
    assert!(executor.run(work).unwrap().cached);

    // Cancelled while it runs.
    let long = submit(&executor, script("sleep 1000.0000601", &[]));
    wait_until("it runs", || is_running("1000.0000601"));
    long.handle.cancel();
    assert!(matches!(long.end(), Err(RemoteError::Cancelled)));
    wait_until("it has gone", || !is_running("1000.0000601"));

    // Its worker is killed: the server gives it to another, once it has noticed.
    let moved = submit(&executor, script("sleep 1.0000602; echo made >out", &[]));
    wait_until("it runs", || is_running("1.0000602"));
    drop(first);
    let _second = grid.worker("second");
    let done = moved.end().unwrap();
    assert_eq!((done.exit_code, done.worker.as_str()), (0, "second"));
    assert!(executor.gave_up().is_none());
}
