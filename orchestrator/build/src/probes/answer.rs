//! What the compiler did when it was asked.

use kiln_cache::ObjectDigest;
use serde::{Deserialize, Serialize};

use super::Request;

/// Half of a digest, in hexadecimal digits: records name some thirty answers.
const NAME: usize = 32;

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

impl Answer {
    /// How many bytes it has.
    pub(super) fn size(&self) -> u64 {
        let output = self.output.as_ref().map_or(0, Vec::len);
        (self.out.len() + self.err.len() + output) as u64
    }

    /// A name for this answer to a question, the question's first: `QUESTION=ANSWER`.
    pub(super) fn name(&self, request: &Request) -> String {
        let digest = |text: serde_json::Result<Vec<u8>>| {
            let digest = ObjectDigest::of(&text.unwrap_or_default()).to_string();
            digest.chars().take(NAME).collect::<String>()
        };
        let (question, answer) = (serde_json::to_vec(request), serde_json::to_vec(self));
        format!("{}={}", digest(question), digest(answer))
    }
}
