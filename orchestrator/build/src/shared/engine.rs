//! The remote execution engine that the settings name.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc, time::Duration};

use kiln_config::Settings;
use kiln_remote::{Budget, Executor};

use super::{SharedCacheError, options};

/// An engine, and how jobs are put to it. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    /// The client.
    pub(crate) client: Arc<Executor>,
    /// How many jobs may be there at once.
    pub(crate) slots: NonZeroUsize,
    /// What a worker must be.
    pub(crate) platform: BTreeMap<String, String>,
    /// What a worker must be that brings no programs, if there are such.
    pub(crate) root_platform: Option<BTreeMap<String, String>>,
    /// How long a job may run there.
    pub(crate) timeout: Option<Duration>,
}

impl Engine {
    /// The engine that the settings name, if they name one. Nothing is connected yet.
    pub fn of(settings: &Settings) -> Result<Option<Self>, SharedCacheError> {
        let Some(exec) = &settings.remote_exec else {
            return Ok(None);
        };
        let mut options = options(settings, &exec.endpoint)?;
        options.budget = Budget::execution();
        Ok(Some(Self {
            client: Arc::new(Executor::new(options)?),
            slots: exec.jobs,
            platform: exec.platform.0.clone(),
            root_platform: exec.root_platform.clone().map(|platform| platform.0),
            timeout: exec.timeout,
        }))
    }
}
