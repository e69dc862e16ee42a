//! A job: the whole build of one package for one kernel, from its recipe to a checked,
//! stored outcome.

mod abort;
mod check;
mod collect;
mod compilers;
mod doubt;
#[cfg(feature = "remote")]
mod engine;
mod execute;
#[cfg(feature = "remote")]
mod input_root;
mod installed;
mod judge;
mod local;
mod log;
mod makes;
mod phases;
mod record;
mod script;
mod stage;
#[cfg(feature = "remote")]
mod survey;
mod traced;
#[cfg(feature = "remote")]
mod wire_tree;
#[cfg(feature = "remote")]
mod worker_compiler;

pub use abort::Abort;
pub use check::{CheckFailure, check_module};
pub use collect::built_path;
pub use doubt::doubt_of;
#[cfg(feature = "remote")]
pub(crate) use engine::RemoteLane;
pub use execute::{FIRST_ERROR_NOTE, JobEnd, JobPayload, JobRunner};
use log::first_error;
#[cfg(feature = "fuzzing")]
pub use log::read_log_for_fuzzing;
pub use log::{FirstError, LogWriter, open_log};
pub use record::{HIDDEN_NOTE, UNTRACED_NOTE};
pub(crate) use script::BODY as SCRIPT_BODY;
pub use script::parallel_make;
