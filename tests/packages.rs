//! Makes the packages of kiln, and installs them on throw-away copies of this machine with
//! the package managers that people use.
//!
//! `make test` provides what is needed: kernel headers, the corpus, dkms to be replaced, rpm.
//! The packages are made once, by the first test that needs them, from the program under test.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "packages/machine.rs"]
mod machine;
#[path = "packages/made.rs"]
mod made;

#[path = "packages/debian.rs"]
mod debian;
#[path = "packages/red_hat.rs"]
mod red_hat;
