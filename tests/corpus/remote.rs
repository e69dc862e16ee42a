//! The packages of the corpus on a real remote execution engine: each comes to what it comes to here.

use std::process::Command;

use crate::{
    casd::Casd,
    kiln::{build, open_directory, run},
    matrix::{Matrix, matrix},
};

#[test]
fn every_package_comes_to_the_same_on_an_engine() {
    let [(packages, kernels), _] = Matrix::runs();
    let here = &matrix().wide;
    let (cache, engine) = (open_directory(), Casd::engine());
    let mut command: Command = build(&cache.path().join("cache"), &packages, &kernels);
    command.args(["--remote-exec", &engine.endpoint()]);
    let there = run(command);
    assert_eq!(there.exit, here.exit);
    let (one, other) = (here.cells(), there.cells());
    assert!(one.keys().eq(other.keys()));
    for (cell, local) in one {
        let remote = other[&cell];
        assert_eq!(remote["result"], local["result"], "{cell:?}: {remote}");
        assert_eq!(remote["first_error"], local["first_error"], "{cell:?}");
    }
    assert_eq!(there.digests(), here.digests());
    for (cell, remote) in other {
        // Of a job that it ran an engine says nothing of memory.
        let ran = matches!(remote["result"].as_str(), Some("built" | "failed"));
        assert!(
            !ran || remote["cost"]["peak_memory_bytes"] == 0,
            "{cell:?} ran here"
        );
    }
}
