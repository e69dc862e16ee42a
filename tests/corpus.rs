//! Builds the real packages of `corpus/` for real kernels with the real binary, and holds
//! the results against those of the distribution's own dkms.
//!
//! `make test` provides the corpus, the kernels and dkms. A test whose provisions are
//! missing fails and says so. The matrix is built once, by the first test that needs it.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "the black-box tests do more with it")]
#[path = "../remote/tests/engines/casd.rs"]
mod casd;
#[path = "corpus/kiln.rs"]
mod kiln;
#[path = "corpus/matrix.rs"]
mod matrix;
#[path = "../remote/tests/engines/mounts.rs"]
mod mounts;
#[path = "../remote/tests/engines/process.rs"]
mod process;
#[path = "corpus/provisions.rs"]
mod provisions;
#[path = "../remote/tests/engines/worker.rs"]
mod worker;

#[path = "corpus/dkms.rs"]
mod dkms;
#[path = "corpus/remote.rs"]
mod remote;
#[path = "corpus/reproducible.rs"]
mod reproducible;
#[path = "corpus/second_run.rs"]
mod second_run;
