//! Ends of a job that say nothing about its inputs, and are therefore never stored.

use std::{io, path::PathBuf, time::Duration};

use kiln_cache::StoreError;
use kiln_kernel::{SymversError, package::PackageId};
use kiln_sandbox::Shortage;
use kiln_scheduler::{ProcessError, TokenError};

use super::collect::CollectError;
use crate::plan::{Lack, PackageInputError};

/// Why a job ended without an outcome.
#[derive(Debug, thiserror::Error)]
pub enum Abort {
    /// The user stopped the run.
    #[error("interrupted")]
    Interrupted,
    /// It took longer than allowed.
    #[error("stopped after the time limit of {} s", limit.as_secs())]
    TimeLimit {
        /// The limit.
        limit: Duration,
    },
    /// It printed more than allowed.
    #[error("stopped after printing {} MiB", limit >> 20)]
    OutputLimit {
        /// The limit in bytes.
        limit: u64,
    },
    /// It left more than allowed.
    #[error(transparent)]
    Results(CollectError),
    /// The disk that the build is on filled up.
    #[error("no space left in {path}")]
    DiskFull {
        /// The scratch directory.
        path: PathBuf,
    },
    /// A process of the build was killed from outside.
    #[error("killed by signal {signal}{}", if *signal == 9 { ", perhaps for lack of memory" } else { "" })]
    Killed {
        /// The signal.
        signal: i32,
    },
    /// The machine had not enough of something.
    #[error("the build met a shortage: {0}")]
    Shortage(Shortage),
    /// An input changed while the job ran.
    #[error("{path} changed during the build")]
    InputChanged {
        /// The file.
        path: PathBuf,
    },
    /// A package that it depends on has come to no end.
    #[error("{package}, which it depends on, has no results")]
    NoDependency {
        /// The package.
        package: PackageId,
    },
    /// Something that the build needs is not there.
    #[error(transparent)]
    Lack(#[from] Lack),
    /// The sandbox could not be set up.
    #[error("the sandbox could not be set up: {message}")]
    Sandbox {
        /// Its own words.
        message: String,
    },
    /// A file of kiln's own cannot be made or read.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The source cannot be laid out.
    #[error(transparent)]
    Package(#[from] PackageInputError),
    /// The process cannot be started or watched.
    #[error("cannot run the build")]
    Process(#[from] ProcessError),
    /// The jobserver of the build cannot be set up.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The outcome cannot be stored.
    #[error("cannot store the result")]
    Store(#[from] StoreError),
    /// The kernel's symbols cannot be read.
    #[error(transparent)]
    Symvers(#[from] SymversError),
    /// No engine could run it, and this machine may not.
    #[error("no engine is left to run it")]
    NoEngine,
    /// The engine that it was sent to failed.
    #[error("the engine failed")]
    Engine(#[source] std::sync::Arc<dyn std::error::Error + Send + Sync>),
    /// A worker of kiln's own came to grief.
    #[error("internal error: a worker panicked")]
    Panicked,
}
