//! Decides about cells: what the store has, what the shared cache adds to it, what is missing and why.

use std::sync::Arc;

use kiln_cache::{ActionKey, ActionKind, ActionRecord, Status};

use super::{
    CellId, CellPlan, JobKey, MissReason, Plan, PlanError, Planner, SharedUse, keys::job_key,
    reason::miss_reason,
};
use crate::job::doubt_of;

/// Which outcomes count, and where they are looked for.
#[derive(Clone, Copy)]
pub(super) struct LookUp {
    /// Whether any does.
    pub(super) use_cache: bool,
    /// Whether failures do not.
    pub(super) retry_failed: bool,
    /// What is wanted of the shared cache.
    pub(super) shared: SharedUse,
}

impl Planner<'_> {
    /// Decides about all cells, with what the store has and what the shared cache adds to it.
    pub(super) fn look_up_all(
        &mut self,
        plan: &mut Plan,
        order: &[CellId],
        how: LookUp,
    ) -> Result<(), PlanError> {
        let site = Arc::clone(self.site);
        loop {
            for cell in order {
                self.look_up(plan, *cell, how)?;
            }
            let Some(shared) = site.shared.as_ref().filter(|_| how.use_cache) else {
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
            // What came is judged as the store's own is; what is only there is judged here.
            let found: Vec<Option<CellPlan>> = match how.shared {
                SharedUse::Take => {
                    let came = shared.fetch_many(&keys, &site.store)?.into_iter();
                    came.map(|came| came.then_some(CellPlan::AfterDependencies))
                        .collect()
                }
                SharedUse::LookUp => {
                    let there = shared.look_up_many(&keys, &site.store)?.into_iter();
                    there.map(|record| Some(judged(record?, how))).collect()
                }
            };
            if found.iter().all(Option::is_none) {
                return Ok(());
            }
            for (id, found) in missing.iter().zip(found) {
                if let Some(found) = found {
                    plan.cells[id.0].plan = found;
                }
            }
        }
    }

    /// Decides about one cell, after those that it depends on.
    fn look_up(&mut self, plan: &mut Plan, id: CellId, how: LookUp) -> Result<(), PlanError> {
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
        plan.cells[id.0].plan = self.judge(plan, id, &key, how)?;
        plan.cells[id.0].key = Some(Arc::new(key));
        Ok(())
    }

    fn judge(
        &mut self,
        plan: &Plan,
        id: CellId,
        key: &JobKey,
        how: LookUp,
    ) -> Result<CellPlan, PlanError> {
        if !how.use_cache {
            return Ok(CellPlan::Build {
                reason: MissReason::CacheUnused,
            });
        }
        Ok(match self.site.store.lookup_verified(&key.key)? {
            Some(record) => judged(record, how),
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

/// What a known outcome means.
fn judged(record: ActionRecord, how: LookUp) -> CellPlan {
    if doubt_of(&record).is_some() {
        return CellPlan::Build {
            reason: MissReason::Doubtful,
        };
    }
    match record.status {
        Status::Success => CellPlan::Hit(Arc::new(record)),
        Status::Failure { .. } if how.retry_failed => CellPlan::Build {
            reason: MissReason::RetryFailed,
        },
        Status::Failure { .. } => CellPlan::KnownFailure(Arc::new(record)),
    }
}

/// Whether a job is to be built because nobody here knows its outcome.
fn is_missing(plan: &CellPlan) -> bool {
    match plan {
        CellPlan::Build { reason } => !matches!(reason, MissReason::RetryFailed),
        _ => false,
    }
}
