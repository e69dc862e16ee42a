//! A fake engine and this machine, in virtual time, below the real coordinator.
//!
//! Jobs, durations, failures and delays come from a seed. All happens on the coordinator's thread, so that a seed always
//! gives the same run. Also used by the example `simulation`.

mod clock;
mod engine;
mod plan;
mod simulate;

#[path = "../../support/audit.rs"]
mod audit;

pub(crate) use clock::SECOND;
pub(crate) use engine::Site;
pub(crate) use plan::{Odds, Shape};
pub(crate) use simulate::simulate;
