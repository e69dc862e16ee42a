//! A farm: packages x kernels as a manifest states them, whether or not a kernel is installed.
//!
//! This module reads the manifest and turns it into what a plan is made from: sources,
//! kernels, and which pairs are wanted. It builds nothing and prints nothing; docs/farm.md
//! describes the manifest.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod addition;
mod conflict;
mod error;
mod family;
mod forecast;
mod kernels;
pub mod manifest;
mod matrix;
mod outputs;
mod paths;
mod shard;
mod sources;

pub use addition::{Addition, write};
pub use conflict::check_modules;
pub use error::{FarmError, KernelProblem, Located};
pub use forecast::{Forecast, Price};
pub use kernels::{FarmKernel, KernelFinder};
#[cfg(feature = "fuzzing")]
pub use manifest::read_for_fuzzing;
pub use manifest::{KernelSource, Manifest, Outputs};
pub use matrix::{IdleRule, Matrix};
pub use outputs::{Leftovers, OutputError, Publisher, Scope};
pub use shard::{Shard, ShardError};
pub use sources::resolve_packages;
