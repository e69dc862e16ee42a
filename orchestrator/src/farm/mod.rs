//! A farm: packages x kernels as a manifest states them, whether or not a kernel is installed.
//!
//! This module reads the manifest and turns it into what a plan is made from: sources,
//! kernels, and which pairs are wanted. It builds nothing and prints nothing; docs/farm.md
//! describes the manifest.

mod addition;
mod conflict;
mod error;
mod family;
mod forecast;
mod kernels;
pub(crate) mod manifest;
mod matrix;
mod outputs;
mod paths;
mod shard;
mod sources;

pub(crate) use addition::{Addition, write};
pub(crate) use conflict::check_modules;
pub(crate) use error::{FarmError, KernelProblem, Located};
pub(crate) use forecast::{Forecast, Price};
pub(crate) use kernels::{FarmKernel, KernelFinder};
#[cfg(feature = "fuzzing")]
pub(crate) use manifest::read_for_fuzzing;
pub(crate) use manifest::{KernelSource, Manifest, Outputs};
pub(crate) use matrix::{IdleRule, Matrix};
pub(crate) use outputs::{Leftovers, Publisher, Scope};
pub(crate) use shard::Shard;
pub(crate) use sources::resolve_packages;
