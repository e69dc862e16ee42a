//! Answers to kbuild's option probes, from a cache.
//!
//! At each start kbuild asks the compiler some thirty times whether it knows an option
//! (`cc-option` and its kin, scripts/Makefile.compiler), each time by compiling /dev/null: a
//! quarter of the time of a small module. The answer depends on the command line and the
//! compiler alone. So the compiler's name leads to [`answer_or_compile`] inside the sandbox; that
//! asks the [`ProbeServer`] of the run outside, which asks the real compiler once for each
//! command line and keeps what it certainly said. A job never gives answers, so none can mislead another;
//! whatever is not certainly a probe goes to the real compiler. Jobs on an engine's worker, where no
//! socket reaches, take the answers with them. docs/probes.md.

mod answer;
mod answers;
mod certain;
mod client;
mod compile;
mod consulted;
mod desk;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod hearing;
mod inspection;
mod request;
mod server;
#[cfg(feature = "remote")]
mod sheets;

pub use answers::Trust;
pub use client::{COMPILER_NAME, SOCKET_VARIABLE, answer_or_compile, is_called_as_compiler};
pub use consulted::{Consulted, has_answers};
pub use desk::{Desk, SOCKET_NAME};
pub use inspection::{Inspection, Remedy, inspect};
pub use server::ProbeServer;
#[cfg(feature = "remote")]
pub use sheets::{Sheet, stand_in};

#[cfg(test)]
mod tests;

use answer::Answer;
use answers::Answers;
use request::Request;
