//! Changes one input of a job at a time, before, while and after it runs, and asserts that the cache never tells: what
//! it gives is what a build with an empty cache gives.
//!
//! A [`stage::Stage`] is a machine, a kernel and packages with a list of inputs, each with the states that it may be in. Changes
//! are drawn from a seed. In the *fake* form the compiler writes down what it sees of everything that a job may look at, so
//! that no difference can hide; in the *real* form it is the machine's own.
//!
//! `cargo test --test mutation` makes a core of some sixty changes. KILN_SOAK=1 makes many; KILN_MUTATIONS says how many, and
//! KILN_SEED repeats a run.

#![allow(clippy::disallowed_methods)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests are tests too"
)]

#[path = "mutation/caller.rs"]
mod caller;
#[path = "mutation/fake.rs"]
mod fake;
#[path = "mutation/fake_inputs.rs"]
mod fake_inputs;
#[path = "mutation/gate.rs"]
mod gate;
#[path = "mutation/ground.rs"]
mod ground;
#[path = "mutation/input.rs"]
mod input;
#[allow(dead_code, reason = "other tests do more with it")]
#[path = "blackbox/machine.rs"]
mod machine;
#[path = "mutation/outcome.rs"]
mod outcome;
#[path = "mutation/real.rs"]
mod real;
#[allow(dead_code, reason = "other tests do more with it")]
#[path = "blackbox/run.rs"]
mod run;
#[path = "mutation/stage.rs"]
mod stage;
#[path = "mutation/walk.rs"]
mod walk;

/// So many changes of the fake form are enough for a soak.
const FAKE_SOAK: usize = 100_000;

/// So many of the real form.
const REAL_SOAK: usize = 500;

#[test]
fn fake_core() {
    ground::inside("fake_core", || walk::each(&mut fake::stage(8)));
}

/// Where a compiler that is not real shows little.
const REAL_CORE: [&str; 9] = [
    "cc1",
    "as",
    "ld",
    "strip",
    "modpost",
    "used header",
    "auto.conf",
    "Module.symvers",
    "sh",
];

#[test]
fn real_core() {
    ground::inside("real_core", || walk::some(&mut real::stage(), &REAL_CORE));
}

#[test]
fn fake_soak() {
    if let Some(mutations) = walk::wanted(FAKE_SOAK) {
        ground::inside("fake_soak", || {
            walk::random(&mut fake::stage(24), mutations)
        });
    }
}

#[test]
fn real_soak() {
    if let Some(mutations) = walk::wanted(REAL_SOAK) {
        ground::inside("real_soak", || walk::random(&mut real::stage(), mutations));
    }
}
