//! Errors that end a command, each with its exit code.

use std::{io, path::PathBuf};

use kiln_build::{
    plan::{PackageInputError, PlanError, SiteError},
    results::DeliveryError,
    shared::SharedCacheError,
};
use kiln_cache::StoreError;
use kiln_config::ConfigError;
use kiln_farm::{FarmError, KernelProblem, OutputError};
use kiln_kernel::{KernelSelectionError, KernelStoreError, KernelTreeError, package::FindError};
use kiln_report::ReportError;
use kiln_sandbox::IsolationError;
use kiln_scheduler::WorkerError;

use crate::Exit;

/// Why a command cannot do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    #[error(transparent)]
    Farm(#[from] FarmError),
    #[error("no package is named; give one, or --all")]
    NoPackages,
    #[error("{program} is not installed")]
    NoProgram { program: &'static str },
    #[error("cannot start workers")]
    Workers(#[from] WorkerError),
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    #[error("cannot tell whether builds can have a sandbox")]
    Isolation(#[source] IsolationError),
    #[error("framework.conf cannot be evaluated")]
    Framework(#[source] kiln_build::conf::ConfError),
    #[error("cannot write {path}")]
    Output { path: PathBuf, source: io::Error },
    #[error("the source of {package} cannot be read any more")]
    Source {
        package: String,
        source: PackageInputError,
    },
    #[error("no home directory: set KILN_CACHE, XDG_CACHE_HOME or cache.dir")]
    NoCacheDirectory,
    #[error("the shared cache cannot be used")]
    Shared(#[from] SharedCacheError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("{package} was not built for {kernel} yet")]
    NoRecord { package: String, kernel: String },
    #[error("the log of {package} for {kernel} is gone from the cache")]
    NoLog { package: String, kernel: String },
}

impl From<DeliveryError> for CommandError {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Output { path, source } => Self::Output { path, source },
            DeliveryError::Store(error) => error.into(),
        }
    }
}

impl From<OutputError> for CommandError {
    fn from(error: OutputError) -> Self {
        match error {
            OutputError::Delivery(error) => error.into(),
            OutputError::Site(error) => error.into(),
            OutputError::Farm(error) => error.into(),
            OutputError::Source { package, source } => Self::Source { package, source },
        }
    }
}

impl CommandError {
    /// The exit code for this error.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Shared(_) | Self::Find(_) | Self::NoPackages => Exit::Usage,
            Self::Kernels(error) => kernel_exit(error),
            Self::Farm(error) => match error.kernel() {
                Some(KernelProblem::Selection(error)) => kernel_exit(error),
                Some(KernelProblem::Fingerprint(_)) => Exit::Environment,
                Some(KernelProblem::Glob { .. }) => Exit::Usage,
                None => match error {
                    FarmError::Write { .. } | FarmError::Publish { .. } => Exit::Failed,
                    _ => Exit::Usage,
                },
            },
            Self::Plan(error) => match error {
                PlanError::Store(_) | PlanError::Site(SiteError::Store(_)) => Exit::Cache,
                PlanError::Interrupted => Exit::Interrupted,
                _ => Exit::Environment,
            },
            Self::Store(_) | Self::Site(_) | Self::NoCacheDirectory => Exit::Cache,
            Self::NoProgram { .. } | Self::Workers(_) | Self::Thread(_) => Exit::Environment,
            Self::Framework(_) | Self::Isolation(_) => Exit::Environment,
            Self::Output { .. }
            | Self::Source { .. }
            | Self::NoRecord { .. }
            | Self::NoLog { .. } => Exit::Failed,
            Self::Report(ReportError::Write { .. }) => Exit::Failed,
            Self::Report(_) => Exit::Usage,
        }
    }
}

fn kernel_exit(error: &KernelSelectionError) -> Exit {
    match error {
        KernelSelectionError::NoMatch { .. }
        | KernelSelectionError::Pattern { .. }
        | KernelSelectionError::Ambiguous { .. }
        | KernelSelectionError::NoFile { .. }
        | KernelSelectionError::Tree(KernelTreeError::Release { .. }) => Exit::Usage,
        KernelSelectionError::Store(KernelStoreError::Io { .. }) => Exit::Cache,
        KernelSelectionError::Store(_) => Exit::Usage,
        KernelSelectionError::NoneInstalled
        | KernelSelectionError::ForeignArch { .. }
        | KernelSelectionError::Root(_)
        | KernelSelectionError::Tree(_) => Exit::Environment,
    }
}
