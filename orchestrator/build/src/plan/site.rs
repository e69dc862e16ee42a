//! Where actions of one run take place: the store, the user, the sandbox, the scratch space.

use std::{
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use kiln_cache::{Index, Lease, Store, StoreError};
use kiln_config::Allowance;
use kiln_sandbox::{
    BuildUser, Isolation, IsolationError, Layout, Protection, Scratch, ScratchBase,
};

use crate::{
    conf::Framework,
    shared::SharedCache,
    sight::{Audit, SystemFiles},
};

/// How long a dkms.conf may take, unless the caller says otherwise.
const CONF_TIME_LIMIT: Duration = Duration::from_secs(30);

/// How long the index is waited for where one can do without.
const INDEX_WAIT: Duration = Duration::from_millis(100);

/// The place of one run; shared by all its actions.
pub struct BuildSite {
    /// The store.
    pub store: Store,
    /// The user that actions run as.
    pub user: BuildUser,
    /// The isolation in use.
    pub isolation: Isolation,
    /// Why it is not bubblewrap, if it is not.
    pub bare_because: Option<IsolationError>,
    /// The shared cache, if there is one.
    pub shared: Option<SharedCache>,
    /// The engine that jobs may run on, if there is one.
    #[cfg(feature = "remote")]
    pub engine: Option<crate::shared::Engine>,
    /// What is known of the system's files.
    pub system_files: SystemFiles,
    /// Whether all that actions see is in their keys.
    pub audit: Audit,
    /// framework.conf.
    pub framework: Framework,
    /// How long a dkms.conf may take.
    pub conf_time_limit: Duration,
    /// How long a job may take.
    pub job_time_limit: Option<Duration>,
    /// What an action may use up.
    pub allowance: Allowance,
    base: OnceLock<ScratchBase>,
    /// Keeps garbage collection away from what this run uses.
    _lease: Lease,
}

/// Why no actions can take place.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No scratch directory can be made.
    #[error("cannot make a scratch directory in {path}")]
    Scratch {
        /// Where it was to be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl BuildSite {
    /// Takes the store into use; `bubblewrap` says whether that may run.
    ///
    /// # Errors
    /// Fails if the store cannot be leased.
    pub fn new(store: Store, bubblewrap: Result<(), IsolationError>) -> Result<Self, SiteError> {
        let lease = store.lease()?;
        Ok(Self {
            isolation: Isolation::after(&bubblewrap),
            bare_because: bubblewrap.err(),
            store,
            user: BuildUser::detect(),
            shared: None,
            #[cfg(feature = "remote")]
            engine: None,
            system_files: SystemFiles::default(),
            audit: Audit::default(),
            framework: Framework::default(),
            conf_time_limit: CONF_TIME_LIMIT,
            job_time_limit: None,
            allowance: Allowance::default(),
            base: OnceLock::new(),
            _lease: lease,
        })
    }

    /// What keeps actions from this machine.
    #[must_use]
    pub fn protection(&self) -> Protection {
        Protection::of(self.isolation)
    }

    /// How many jobs may be at the engine at once; none without an engine.
    #[must_use]
    pub fn remote_slots(&self) -> usize {
        #[cfg(feature = "remote")]
        let slots = self.engine.as_ref().map_or(0, |engine| engine.slots.get());
        #[cfg(not(feature = "remote"))]
        let slots = 0;
        slots
    }

    /// The index, for a look or a note that can be done without; none if somebody else has it open for long.
    pub fn index(&self) -> Option<Index> {
        Index::burst(&self.store, INDEX_WAIT).unwrap_or_default()
    }

    /// The scratch space, made at first need.
    ///
    /// # Errors
    /// Fails if no directory can be made.
    pub fn base(&self) -> Result<&ScratchBase, SiteError> {
        if let Some(base) = self.base.get() {
            return Ok(base);
        }
        let preferred = self.store.directory().join("tmp");
        let base =
            ScratchBase::new(&preferred, self.user).map_err(|source| SiteError::Scratch {
                path: preferred,
                source,
            })?;
        Ok(self.base.get_or_init(|| base))
    }

    /// The paths inside for the action called `name`.
    pub fn layout(&self, name: &str) -> Layout {
        self.isolation
            .layout(self.framework.trees(), &self.bare_directory().join(name))
    }

    /// A fresh scratch directory for the action called `name`.
    ///
    /// # Errors
    /// Fails if it cannot be made.
    pub fn scratch(&self, name: &str) -> Result<Scratch, SiteError> {
        let made = match self.isolation {
            Isolation::Bubblewrap => self.base()?.scratch(),
            Isolation::Bare => ScratchBase::named(&self.bare_directory(), name, self.user),
        };
        made.map_err(|source| SiteError::Scratch {
            path: self.store.directory().to_owned(),
            source,
        })
    }

    /// Where bare actions run: their paths show in their results, so they must not vary.
    fn bare_directory(&self) -> PathBuf {
        let uid = rustix::process::geteuid().as_raw();
        Path::new("/var/tmp").join(format!("kiln-bare-{uid}"))
    }
}
