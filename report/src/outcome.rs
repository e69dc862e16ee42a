//! What can become of a cell. The words are part of `report.json` and of the page; they are only added to.

use serde::{Deserialize, Serialize};

/// What became of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was built in this run.
    Built,
    /// Its outcome was in the local cache.
    Hit,
    /// Its outcome came from a remote cache.
    RemoteHit,
    /// It failed in this run.
    Failed,
    /// It failed in an earlier run with the same inputs.
    KnownFailure,
    /// Something that it depends on came to no good end.
    Blocked,
    /// It ended without an outcome: killed, out of disk, stopped by a limit.
    Aborted,
    /// A rule of its own or of the matrix leaves it out.
    Excluded,
    /// The run ended before its turn.
    NotRun,
}

/// How an outcome counts when two runs are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// There are modules.
    Good,
    /// There should be modules and there are none.
    Bad,
    /// Nothing was tried.
    Void,
}

impl Outcome {
    /// All outcomes, in the order in which they are listed.
    pub const ALL: [Self; 9] = [
        Self::Failed,
        Self::KnownFailure,
        Self::Blocked,
        Self::Aborted,
        Self::Built,
        Self::RemoteHit,
        Self::Hit,
        Self::Excluded,
        Self::NotRun,
    ];

    /// The word in files that programs read.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Hit => "hit",
            Self::RemoteHit => "remote_hit",
            Self::Failed => "failed",
            Self::KnownFailure => "known_failure",
            Self::Blocked => "blocked",
            Self::Aborted => "aborted",
            Self::Excluded => "excluded",
            Self::NotRun => "not_run",
        }
    }

    /// The words for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::RemoteHit => "remote hit",
            Self::KnownFailure => "known failure",
            Self::NotRun => "not run",
            other => other.id(),
        }
    }

    /// Whether its cost was spent in this run, and not when an earlier one filled a cache.
    #[must_use]
    pub fn is_from_this_run(self) -> bool {
        matches!(self, Self::Built | Self::Failed | Self::Aborted)
    }

    /// How it counts.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::Built | Self::Hit | Self::RemoteHit => Class::Good,
            Self::Failed | Self::KnownFailure | Self::Blocked | Self::Aborted => Class::Bad,
            Self::Excluded | Self::NotRun => Class::Void,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_serde_writes() {
        for outcome in Outcome::ALL {
            let written = serde_json::to_string(&outcome).unwrap();
            assert_eq!(written, format!("{:?}", outcome.id()));
        }
    }
}
