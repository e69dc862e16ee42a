//! Where the results of a farm go: the manifest's folder, in the forms that it asks for.

use std::{path::Path, sync::Arc};

use kiln_build::{
    outcome::Outcome,
    plan::{BuildSite, CellId, Plan},
    results,
};
use kiln_cache::{ActionRecord, Syncing};
use kiln_farm::{Leftovers, Matrix, Publisher, check_modules};
use kiln_scheduler::CancelToken;

use super::execution::Destination;
use crate::{
    error::CommandError,
    report::{FarmNotice, Fate, Report},
};

/// The outputs of one run.
pub(super) struct FarmOutputs<'a> {
    /// Whose store has the results.
    pub(super) site: &'a BuildSite,
    /// How the run is stopped.
    pub(super) cancel: &'a CancelToken,
    /// The folder, if there is one.
    pub(super) directory: Option<&'a Path>,
    /// What is made of modules, if the manifest says.
    pub(super) publisher: Option<Publisher>,
    /// The rules, if the user should hear of those without effect.
    pub(super) matrix: Option<&'a Matrix<'a>>,
}

impl Destination for FarmOutputs<'_> {
    fn planned(&mut self, plan: &Plan, report: &mut dyn Report) -> Result<(), CommandError> {
        for idle in self.matrix.iter().flat_map(|matrix| matrix.idle()) {
            report.notice(&FarmNotice::Idle(idle));
        }
        Ok(check_modules(plan)?)
    }

    fn deliver(
        &self,
        plan: &Plan,
        cell: CellId,
        record: &Arc<ActionRecord>,
    ) -> Result<(), CommandError> {
        let store = &self.site.store;
        match (&self.publisher, self.directory) {
            (Some(publisher), _) if publisher.wants_plain_modules() => {
                publisher.deliver(store, plan, cell, record)?;
            }
            (None, Some(directory)) => {
                results::deliver(store, directory, plan, cell, record, Syncing::First)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(
        &mut self,
        plan: &Plan,
        outcome: &Outcome,
        report: &mut dyn Report,
    ) -> Result<(), CommandError> {
        let (Some(publisher), Some(directory)) = (&self.publisher, self.directory) else {
            return Ok(());
        };
        let Leftovers {
            removed,
            changed,
            unknown,
            aside,
        } = publisher.publish(self.site, plan, outcome, self.cancel)?;
        for (files, fate) in [
            (removed, Fate::Removed),
            (changed, Fate::Changed),
            (unknown, Fate::Unknown),
            (aside, Fate::Aside),
        ] {
            if !files.is_empty() {
                let directory = directory.to_owned();
                report.notice(&FarmNotice::Leftover {
                    directory,
                    files,
                    fate,
                });
            }
        }
        Ok(())
    }
}
