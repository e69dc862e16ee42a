//! What a running process holds: its lease, the actions it runs, its scratch directories.
//!
//! All three are claims, so they end with the process, however it ends.

use std::path::Path;

use super::claim::{Claim, Purpose};
use super::{Store, StoreError};
use crate::digest::ActionKey;

/// While it is held, nothing that any process used since it began is collected.
///
/// A process takes one before its first lookup and keeps it until it has restored the last object.
#[derive(Debug)]
pub struct Lease {
    _claim: Claim,
}

/// The right to run one action; others who want to run it wait, and look it up again.
#[derive(Debug)]
pub struct ActionLock {
    _claim: Claim,
}

/// A directory under the cache's `tmp/`, removed with all that is in it when dropped.
#[derive(Debug)]
pub struct Scratch {
    claim: Claim,
}

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.claim.path()
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        self.path()
    }
}

impl Store {
    /// Keeps what is used from now on from being collected, until the lease is dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError::ReadOnly`] for a store opened for reading, from which nothing is collected by us.
    pub fn lease(&self) -> Result<Lease, StoreError> {
        self.require_write()?;
        let claim = Claim::file(self, Purpose::Lease)?;
        Ok(Lease { _claim: claim })
    }

    /// Claims the right to run an action; `None` while somebody else, in any process, has it.
    ///
    /// Never waits. The lock of a process that died is free.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be made.
    pub fn lock_action(&self, key: &ActionKey) -> Result<Option<ActionLock>, StoreError> {
        self.require_write()?;
        let claim = Claim::named(self, Purpose::Action, &key.to_string())?;
        Ok(claim.map(|claim| ActionLock { _claim: claim }))
    }

    /// Makes an empty directory on the cache's file system. The prefix is for people who look in.
    ///
    /// Its mode is 0700. If the process dies, whoever opens the cache next removes it.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn scratch(&self, prefix: &str) -> Result<Scratch, StoreError> {
        self.require_write()?;
        let claim = Claim::directory(self, Purpose::Scratch, prefix)?;
        Ok(Scratch { claim })
    }
}
