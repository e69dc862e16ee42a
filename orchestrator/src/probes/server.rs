//! The outer side: keeps the answers of each toolbox, and opens a desk for each job.
//!
//! A job may send what it likes: what is no probe of a system compiler is not answered.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use kiln_cache::ObjectDigest;

use super::{Answers, Desk, Trust};
use crate::plan::BuildSite;

/// Answers the probes of the jobs of one run.
pub struct ProbeServer {
    pub(super) site: Arc<BuildSite>,
    pub(super) trust: Trust,
    answers: Mutex<HashMap<ObjectDigest, Arc<Answers>>>,
    #[cfg(feature = "remote")]
    pub(super) sheets: super::sheets::Sheets,
}

impl ProbeServer {
    /// A server that has been asked nothing yet.
    pub fn new(site: Arc<BuildSite>, trust: Trust) -> Self {
        Self {
            site,
            trust,
            answers: Mutex::default(),
            #[cfg(feature = "remote")]
            sheets: super::sheets::Sheets::default(),
        }
    }

    /// A desk for a job with this toolbox.
    ///
    /// # Errors
    /// Fails if a socket cannot be made; jobs then do without.
    pub fn desk(&self, toolbox: ObjectDigest) -> io::Result<Desk> {
        Desk::open(&self.site, self.answers(toolbox), None)
    }

    /// The answers of a toolbox.
    pub(super) fn answers(&self, toolbox: ObjectDigest) -> Arc<Answers> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let of_toolbox = answers.entry(toolbox).or_insert_with(|| {
            let index = match self.trust {
                Trust::Stored => self.site.index(),
                Trust::Nothing => None,
            };
            Arc::new(Answers::load(toolbox, index.as_ref()))
        });
        Arc::clone(of_toolbox)
    }

    /// Keeps the answers for the next run.
    pub fn close(&self) {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.is_empty() {
            return;
        }
        if let Some(index) = self.site.index() {
            answers.values().for_each(|answers| answers.save(&index));
        }
    }
}
