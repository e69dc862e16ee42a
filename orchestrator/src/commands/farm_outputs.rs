//! Where the results of a farm go: the manifest's folder, in the forms that it asks for.

use std::{path::Path, sync::Arc};

use kiln_cache::ActionRecord;

use super::execution::Destination;
use crate::{
    error::CommandError,
    farm::{Matrix, check_modules},
    plan::{BuildSite, CellId, Plan},
    report::{FarmNotice, Report},
    results,
};

/// The outputs of one run.
pub(super) struct FarmOutputs<'a> {
    /// Whose store has the results.
    pub(super) site: &'a BuildSite,
    /// The folder, if there is one.
    pub(super) directory: Option<&'a Path>,
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
        &mut self,
        plan: &Plan,
        cell: CellId,
        record: &Arc<ActionRecord>,
    ) -> Result<(), CommandError> {
        match self.directory {
            Some(directory) => results::deliver(&self.site.store, directory, plan, cell, record),
            None => Ok(()),
        }
    }
}
