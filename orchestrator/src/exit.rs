//! Exit codes: part of kiln's interface, documented in docs/cli.md and in `kiln --help`.

use kiln_build::{
    job::Abort,
    outcome::{CellResult, Outcome},
    plan::CellFault,
};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Everything is built, was in the cache, or is excluded by its own conf.
    Success = 0,
    /// Some job failed.
    Failed = 1,
    /// The command line does not make sense, or names what is not there.
    Usage = 2,
    /// The environment lacks something: headers, a compiler, bash, make.
    Environment = 3,
    /// The cache cannot be used.
    Cache = 4,
    /// The user stopped the run.
    Interrupted = 130,
}

impl Exit {
    /// The exit code of a run: the most telling of its cells' codes.
    pub(crate) fn of_run(outcome: &Outcome) -> Self {
        if outcome.interrupted {
            return Self::Interrupted;
        }
        let cells = outcome.results.iter().map(Self::of_cell);
        cells.max().unwrap_or(Self::Success)
    }

    fn of_cell(result: &CellResult) -> Self {
        match result {
            CellResult::NotAsked
            | CellResult::LeftOut(_)
            | CellResult::Hit(_)
            | CellResult::Built(_)
            | CellResult::Excluded(_) => Self::Success,
            CellResult::Fault(CellFault::Unreachable { .. }) => Self::Environment,
            CellResult::Failed(_)
            | CellResult::KnownFailure(_)
            | CellResult::Blocked { .. }
            | CellResult::Fault(_)
            | CellResult::Pending
            | CellResult::Cancelled => Self::Failed,
            CellResult::Aborted(abort) => match abort {
                Abort::Lack(_) | Abort::Sandbox { .. } => Self::Environment,
                Abort::Store(_) => Self::Cache,
                Abort::Interrupted => Self::Interrupted,
                _ => Self::Failed,
            },
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
