//! The outer side: listens on sockets that jobs can reach, one for each toolbox.
//!
//! A job may send what it likes: what is no probe of a system compiler is not answered.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use kiln_cache::ObjectDigest;

use super::{Answers, Desk};
use crate::plan::{BuildSite, Ingredient};

/// Answers the probes of the jobs of one run.
pub struct ProbeServer {
    pub(super) site: Arc<BuildSite>,
    /// By the digest of the toolbox, each with the toolbox itself.
    desks: Mutex<HashMap<ObjectDigest, (Ingredient, Desk)>>,
    #[cfg(feature = "remote")]
    pub(super) sheets: super::sheets::Sheets,
}

impl ProbeServer {
    /// A server that listens nowhere yet.
    pub fn new(site: Arc<BuildSite>) -> Self {
        Self {
            site,
            desks: Mutex::default(),
            #[cfg(feature = "remote")]
            sheets: super::sheets::Sheets::default(),
        }
    }

    /// The socket for jobs with this toolbox.
    ///
    /// # Errors
    /// Fails if a socket cannot be made; jobs then do without.
    pub fn socket(&self, toolbox: &Ingredient) -> io::Result<PathBuf> {
        self.at_desk(toolbox, |desk| desk.socket.clone())
    }

    /// Asks something of the desk for a toolbox, which is opened at first need.
    pub(super) fn at_desk<T>(
        &self,
        toolbox: &Ingredient,
        ask: impl FnOnce(&Desk) -> T,
    ) -> io::Result<T> {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, desk) = match desks.entry(toolbox.digest) {
            Entry::Occupied(desk) => desk.into_mut(),
            Entry::Vacant(free) => {
                let answers = Answers::load(toolbox.digest, self.site.index().as_ref());
                let desk = Desk::open(&self.site, Arc::new(answers), None)?;
                free.insert((toolbox.clone(), desk))
            }
        };
        Ok(ask(desk))
    }

    /// Hears no more questions, and keeps the answers for the next run.
    pub fn close(&self) {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        if desks.is_empty() {
            return;
        }
        let desks: Vec<(Ingredient, Desk)> = desks.drain().map(|(_, desk)| desk).collect();
        let over = Instant::now();
        let index = self.site.index();
        for (toolbox, desk) in desks {
            // Another compiler may have answered in between.
            let moved = toolbox.moved(over).is_some();
            if let Some(index) = index.as_ref().filter(|_| !moved) {
                desk.answers.save(index);
            }
        }
    }
}
