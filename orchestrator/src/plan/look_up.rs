//! Decides about cells: what the store has, what the shared cache adds to it, what is missing and why.

use std::sync::Arc;

use kiln_cache::{ActionKey, ActionKind, Status};

use super::{
    CellId, CellPlan, JobKey, MissReason, Plan, PlanError, Planner, keys::job_key,
    reason::miss_reason,
};

impl Planner<'_> {
    /// Decides about all cells, with what the store has and what the shared cache adds to it.
    pub(super) fn look_up_all(
        &mut self,
        plan: &mut Plan,
        order: &[CellId],
        use_cache: bool,
        retry_failed: bool,
    ) -> Result<(), PlanError> {
        let site = Arc::clone(self.site);
        loop {
            for cell in order {
                self.look_up(plan, *cell, use_cache, retry_failed)?;
            }
            let Some(shared) = site.shared.as_ref().filter(|_| use_cache) else {
                return Ok(());
            };
            let missing: Vec<CellId> = order
                .iter()
                .copied()
                .filter(|id| is_missing(&plan.cells[id.0].plan))
                .filter(|id| self.asked.insert(*id))
                .collect();
            let keys: Vec<ActionKey> = missing
                .iter()
                .filter_map(|id| plan.cells[id.0].key.as_ref())
                .map(|key| key.key)
                .collect();
            // Other processes may have the index while the network is waited for.
            if !keys.is_empty() {
                self.fingerprints.close();
            }
            let found = shared.fetch_many(&keys, &site.store)?;
            if !found.contains(&true) {
                return Ok(());
            }
            for (id, _) in missing.iter().zip(&found).filter(|(_, found)| **found) {
                plan.cells[id.0].plan = CellPlan::AfterDependencies;
            }
        }
    }

    /// Decides about one cell, after those that it depends on.
    fn look_up(
        &mut self,
        plan: &mut Plan,
        id: CellId,
        use_cache: bool,
        retry_failed: bool,
    ) -> Result<(), PlanError> {
        let Some(spec) = plan.cells[id.0].spec.clone() else {
            return Ok(());
        };
        if !matches!(plan.cells[id.0].plan, CellPlan::AfterDependencies) {
            return Ok(());
        }
        let mut records = Vec::new();
        for dependency in &spec.dependencies {
            match &plan.cells[dependency.cell.0].plan {
                CellPlan::Hit(record) => records.push(Arc::clone(record)),
                CellPlan::Build { .. } | CellPlan::AfterDependencies => return Ok(()),
                _ => {
                    plan.cells[id.0].plan = CellPlan::Blocked {
                        by: dependency.cell,
                    };
                    return Ok(());
                }
            }
        }
        let key = job_key(&spec, &records);
        plan.cells[id.0].plan = self.judge(plan, id, &key, use_cache, retry_failed)?;
        plan.cells[id.0].key = Some(Arc::new(key));
        Ok(())
    }

    fn judge(
        &mut self,
        plan: &Plan,
        id: CellId,
        key: &JobKey,
        use_cache: bool,
        retry_failed: bool,
    ) -> Result<CellPlan, PlanError> {
        if !use_cache {
            return Ok(CellPlan::Build {
                reason: MissReason::CacheUnused,
            });
        }
        Ok(match self.site.store.lookup_verified(&key.key)? {
            Some(record) => match record.status {
                Status::Success => CellPlan::Hit(Arc::new(record)),
                Status::Failure { .. } if retry_failed => CellPlan::Build {
                    reason: MissReason::RetryFailed,
                },
                Status::Failure { .. } => CellPlan::KnownFailure(Arc::new(record)),
            },
            None => {
                let subject = plan.subject(id);
                let nearest = self.fingerprints.nearest(&subject, ActionKind::Job)?;
                CellPlan::Build {
                    reason: miss_reason(nearest.as_ref(), &subject.target, &key.components),
                }
            }
        })
    }
}

/// Whether a job is to be built because nobody here knows its outcome.
fn is_missing(plan: &CellPlan) -> bool {
    match plan {
        CellPlan::Build { reason } => !matches!(reason, MissReason::RetryFailed),
        _ => false,
    }
}
