//! Why there is no plan.

use kiln_cache::{ScanError, StoreError};
use kiln_kernel::fingerprints::FingerprintError;
use kiln_sandbox::IsolationError;
use kiln_scheduler::WorkerError;

use super::SiteError;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A kernel cannot be read.
    #[error("kernel {kernel} cannot be used")]
    Kernel {
        /// The kernel.
        kernel: String,
        /// Why.
        source: FingerprintError,
    },
    /// A kernel or its toolchain can only be shown by a sandbox, and there is none.
    #[error("kernel {kernel} is not installed here: only a sandbox can build for it")]
    NeedsSandbox {
        /// The kernel.
        kernel: String,
        /// Why there is no sandbox.
        #[source]
        source: IsolationError,
    },
    /// The toolbox or the overrides cannot be read.
    #[error("this machine's tools cannot be read")]
    Tools(#[source] FingerprintError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no place to work in.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Workers cannot be started.
    #[error("cannot start workers")]
    Workers(#[from] WorkerError),
    /// The user stopped the run.
    #[error("interrupted")]
    Interrupted,
}

impl PlanError {
    /// The same, but what the user has stopped is no fault of what was read just then.
    #[must_use]
    pub fn or_interrupted(self) -> Self {
        let (Self::Kernel { source, .. } | Self::Tools(source)) = &self else {
            return self;
        };
        match source {
            FingerprintError::Scan(ScanError::Stopped { .. }) => Self::Interrupted,
            FingerprintError::Scan(_) => self,
        }
    }
}
