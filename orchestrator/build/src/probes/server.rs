//! The outer side: keeps the answers of each toolbox, and opens a desk for each job.
//!
//! A job may send what it likes: what is no probe of the job's own compilers is not answered.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use kiln_cache::ObjectDigest;

use super::{Answers, Desk, Trust};
use crate::plan::{BuildSite, Ingredient};

/// Answers the probes of the jobs of one run.
pub struct ProbeServer {
    pub(super) site: Arc<BuildSite>,
    pub(super) trust: Trust,
    /// By the digest of the toolbox, each with the toolbox itself.
    answers: Mutex<HashMap<ObjectDigest, (Ingredient, Arc<Answers>)>>,
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

    /// A desk for a job with this toolbox, for questions to compilers of these names.
    ///
    /// # Errors
    /// Fails if a socket cannot be made; jobs then do without.
    pub fn desk(&self, toolbox: &Ingredient, compilers: Vec<String>) -> io::Result<Desk> {
        Desk::open(&self.site, self.answers(toolbox), compilers, None)
    }

    /// The answers of a toolbox.
    pub(super) fn answers(&self, toolbox: &Ingredient) -> Arc<Answers> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, of_toolbox) = answers.entry(toolbox.digest).or_insert_with(|| {
            let index = match self.trust {
                Trust::Stored => self.site.index(),
                Trust::Nothing => None,
            };
            let known = Answers::load(toolbox.digest, index.as_ref());
            (toolbox.clone(), Arc::new(known))
        });
        Arc::clone(of_toolbox)
    }

    /// Keeps the answers for the next run.
    pub fn close(&self) {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.is_empty() {
            return;
        }
        let over = Instant::now();
        let index = self.site.index();
        for (toolbox, answers) in answers.values() {
            // Another compiler may have answered in between.
            let moved = toolbox.moved(over).is_some();
            if let Some(index) = index.as_ref().filter(|_| !moved) {
                answers.save(index);
            }
        }
    }
}
