//! Exit codes: part of kiln's interface, documented in docs/cli.md and in `kiln --help`.

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

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
