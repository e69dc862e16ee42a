//! From what the user named to what has to run: inputs, keys, hits and misses.
//!
//! A plan is made before anything is built, and can be printed and explained without
//! building. The only thing that runs while planning is bash, on each dkms.conf that has
//! not been evaluated before.

mod cell;
mod components;
mod confs;
mod dependencies;
mod error;
mod fingerprints;
mod kernels;
mod keys;
mod look_up;
mod matrix;
mod packages;
mod planner;
mod reason;
mod request;
mod site;
mod targets;
mod tools;
mod wish;

pub(crate) use cell::scratch_name_of;
pub use cell::{Cell, CellFault, CellId, CellPlan, Dependency, JobSpec};
pub use components::{Content, Ingredient};
pub(crate) use confs::unix_time;
pub use error::PlanError;
pub use fingerprints::{FingerprintError, Fingerprints};
pub(crate) use kernels::parts_referred_to;
pub use kernels::{KernelInput, KernelRoot};
pub(crate) use keys::job_keys;
pub use keys::{JobKey, JobKeys};
pub use matrix::{Plan, PlannedPackage};
pub use packages::{PackageInput, PackageInputError, SourceLocation};
pub use planner::Planner;
pub use reason::{Change, Difference, MissReason, differences};
pub use request::{GivenCell, GivenRequest, PlanRequest, SharedUse, find_packages};
pub use site::{BuildSite, SiteError};
pub use targets::{KernelRequest, KernelSource, TargetKernel, distinct};
pub(crate) use tools::compilers;
pub use tools::{PROGRAMS, Tools};
pub use wish::{Wish, Wishes};
