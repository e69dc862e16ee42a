//! The second run of the matrix finds everything in the cache and starts no process.

use std::{fs, process::Command};

use crate::{
    kiln::{self, Run, open_directory, run},
    matrix::{Matrix, matrix},
    provisions::program,
};

#[test]
fn a_second_run_is_all_hits_and_executes_nothing() {
    let first = [&matrix().wide, &matrix().deep];
    for (before, (packages, kernels)) in first.into_iter().zip(Matrix::runs()) {
        let directory = open_directory();
        let trace = directory.path().join("trace");
        let mut command: Command = program("strace");
        command
            .args(["-f", "-e", "trace=execve,execveat", "-o"])
            .arg(&trace)
            .arg(kiln::PROGRAM);
        kiln::arguments(&mut command, &matrix().cache(), &packages, &kernels);
        let after = run(command);

        assert_eq!(after.exit, before.exit);
        assert_eq!(after.digests(), before.digests());
        assert_all_known(before, &after);
        let trace = fs::read_to_string(&trace).unwrap();
        let executed: Vec<&str> = trace.lines().filter(|l| l.contains("execve")).collect();
        assert_eq!(executed.len(), 1, "only kiln itself: {executed:#?}");
    }
}

fn assert_all_known(before: &Run, after: &Run) {
    let before = before.cells();
    let after = after.cells();
    assert!(before.keys().eq(after.keys()));
    for (cell, after) in after {
        let expected = match before[&cell]["result"].as_str().unwrap() {
            "built" => "hit",
            other => other,
        };
        assert_eq!(after["result"], expected, "{cell:?}");
        if expected != "excluded" {
            assert_eq!(after["cached"], true, "{cell:?}");
        }
    }
}
