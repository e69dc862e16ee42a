//! From what the user named to what has to run: inputs, keys, hits and misses.
//!
//! A plan is made before anything is built, and can be printed and explained without
//! building. The only thing that runs while planning is bash, on each dkms.conf that has
//! not been evaluated before.

mod cell;
mod components;
mod conf_action;
mod confs;
mod dependencies;
mod error;
mod lack;
mod look_up;
mod lookout;
mod matrix;
mod packages;
mod planner;
mod reason;
mod request;
mod rereading;
mod site;
mod tools;
mod wish;

pub use cell::scratch_name_of;
pub use cell::{Cell, CellFault, CellId, CellPlan, Dependency, DependencyRecords, JobSpec};
pub(crate) use components::key_of;
pub use components::{Content, Ingredient};
pub use conf_action::{Answer, ConfAction, ConfFault, ConfOutcome, unix_time};
pub use error::PlanError;
pub use lack::{Lack, Need};
pub use lookout::Lookout;
pub use matrix::{Plan, PlannedPackage};
pub use packages::{PackageInput, PackageInputError, SourceLocation};
pub use planner::Planner;
pub use reason::differing;
pub use reason::{Change, Difference, MissReason, differences};
pub use request::{GivenCell, GivenRequest, PlanRequest, SharedUse, find_packages};
pub use rereading::{Rereading, read_again};
pub use site::{BuildSite, SiteError};
pub(crate) use tools::compilers;
pub use tools::{PROGRAMS, Tools};
pub use wish::{Wish, Wishes};
