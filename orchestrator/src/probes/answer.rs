//! What the compiler did when it was asked.

use serde::{Deserialize, Serialize};

/// How a probe ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// The exit code.
    pub(super) code: u8,
    /// What it printed.
    pub(super) out: Vec<u8>,
    /// What it complained of.
    pub(super) err: Vec<u8>,
    /// The file that it wrote, if it wrote one.
    pub(super) output: Option<Vec<u8>>,
}
