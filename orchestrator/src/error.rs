//! Errors that end a command, each with its exit code.

use std::{io, path::PathBuf};

use kiln_cache::StoreError;
use kiln_report::ReportError;
use kiln_scheduler::{TokenError, WorkerError};

use crate::{
    Exit,
    kernel::{KernelSelectionError, KernelTreeError},
    package::FindError,
    plan::{PlanError, SiteError},
};

/// Why a command cannot do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Find(#[from] FindError),
    #[error(transparent)]
    Kernels(#[from] KernelSelectionError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Site(#[from] SiteError),
    #[error("no package is named; give one, or --all")]
    NoPackages,
    #[error("{program} is not installed")]
    NoProgram { program: &'static str },
    #[error("cannot set up the jobserver")]
    Tokens(#[from] TokenError),
    #[error("cannot start workers")]
    Workers(#[from] WorkerError),
    #[error("framework.conf cannot be evaluated")]
    Framework(#[source] crate::conf::ConfError),
    #[error("cannot write {path}")]
    Output { path: PathBuf, source: io::Error },
    #[error("no home directory: set KILN_CACHE or XDG_CACHE_HOME")]
    NoCacheDirectory,
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("{package} was not built for {kernel} yet")]
    NoRecord { package: String, kernel: String },
    #[error("the log of {package} for {kernel} is gone from the cache")]
    NoLog { package: String, kernel: String },
}

impl CommandError {
    /// The exit code for this error.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Find(_) | Self::NoPackages => Exit::Usage,
            Self::Kernels(error) => match error {
                KernelSelectionError::NoMatch { .. }
                | KernelSelectionError::Pattern { .. }
                | KernelSelectionError::Ambiguous { .. }
                | KernelSelectionError::Tree(KernelTreeError::Release { .. }) => Exit::Usage,
                KernelSelectionError::NoneInstalled | KernelSelectionError::Tree(_) => {
                    Exit::Environment
                }
            },
            Self::Plan(error) => match error {
                PlanError::Store(_) | PlanError::Site(SiteError::Store(_)) => Exit::Cache,
                PlanError::Interrupted => Exit::Interrupted,
                _ => Exit::Environment,
            },
            Self::Store(_) | Self::Site(_) | Self::NoCacheDirectory => Exit::Cache,
            Self::NoProgram { .. } | Self::Tokens(_) | Self::Workers(_) => Exit::Environment,
            Self::Framework(_) => Exit::Environment,
            Self::Report(ReportError::Write { .. }) => Exit::Failed,
            Self::Report(_) => Exit::Usage,
            Self::Output { .. } | Self::NoRecord { .. } | Self::NoLog { .. } => Exit::Failed,
        }
    }
}
