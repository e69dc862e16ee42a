//! dkms.conf: what bash makes of it, and what that means for one kernel.
//!
//! [`RawConf`] is bash's answer; [`Conf`] is its meaning, which is what a conf action
//! stores. Behaviour follows dkms 3.4.3 (dkms.8 and its source).

mod evaluate;
mod exclusive;
mod framework;
mod literal;
mod literal_input;
mod modules;
mod problem;
mod raw;
mod resolve;

pub use evaluate::framework_driver;
pub use evaluate::{
    ConfError, EvaluateInput, Evaluated, Evaluation, driver_digest, evaluate, read_result,
};
pub use exclusive::Exclusion;
pub use framework::Framework;
pub use framework::owners_text;
pub use literal::evaluate_literal;
pub use literal_input::{ConfTarget, LiteralInput};
pub use modules::ModuleSpec;
pub use problem::ConfProblem;
pub use raw::{DIRECTIVES, DumpError, FRAMEWORK_VARIABLES, RawConf};
pub use resolve::{Compiler, Conf, Patch, ResolveInput, resolve};
