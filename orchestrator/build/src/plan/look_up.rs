//! Decides about cells: what the store has, what the shared cache adds to it, what is missing and why.

use std::sync::Arc;

use kiln_cache::{ActionKey, ActionKind, ActionRecord, Status};

use super::{
    CellId, CellPlan, MissReason, Plan, PlanError, Planner, SharedUse, reason::miss_reason,
};
use crate::{
    job::doubt_of,
    keys::{Keys, job_keys},
    sight::find_candidates,
};

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
            let wanted = self.not_asked(plan, order);
            if wanted.is_empty() {
                return Ok(());
            }
            // Other processes may have the index while the network is waited for.
            self.fingerprints.close();
            let (traces, outcomes): (Vec<Wanted>, Vec<Wanted>) =
                wanted.into_iter().partition(|one| one.is_trace);
            let keys = |wanted: &[Wanted]| wanted.iter().map(|one| one.key).collect::<Vec<_>>();
            let mut found: Vec<(CellId, CellPlan)> = Vec::new();
            let came = shared.fetch_many(&keys(&traces), &site.store)?;
            found.extend(judge_anew(&traces, came));
            // What came is judged as the store's own is; what is only there is judged here.
            match how.shared {
                SharedUse::Take => {
                    let came = shared.fetch_many(&keys(&outcomes), &site.store)?;
                    found.extend(judge_anew(&outcomes, came));
                }
                SharedUse::LookUp => {
                    let there = shared.look_up_many(&keys(&outcomes), &site.store)?;
                    found.extend(
                        outcomes
                            .iter()
                            .zip(there)
                            .filter_map(|(one, record)| Some((one.cell, judged(record?, how)))),
                    );
                }
            };
            if found.is_empty() {
                return Ok(());
            }
            for (cell, found) in found {
                plan.cells[cell.0].plan = found;
            }
        }
    }

    /// The keys of missing outcomes that the shared cache was not asked for.
    fn not_asked(&mut self, plan: &Plan, order: &[CellId]) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for cell in order.iter().copied() {
            let planned = &plan.cells[cell.0];
            let Some(keys) = planned.keys.as_ref().filter(|_| is_missing(&planned.plan)) else {
                continue;
            };
            let trace = (keys.trace.key, true);
            let outcomes = keys.outcomes().map(|key| (key.key, false));
            for (key, is_trace) in [trace].into_iter().chain(outcomes) {
                if self.asked.insert(key) {
                    wanted.push(Wanted {
                        cell,
                        key,
                        is_trace,
                    });
                }
            }
        }
        wanted
    }

    /// Decides about one cell, after those that it depends on.
    fn look_up(&mut self, plan: &mut Plan, id: CellId, how: LookUp) -> Result<(), PlanError> {
        let Some(spec) = plan.cells[id.0].spec.clone() else {
            return Ok(());
        };
        if !matches!(plan.cells[id.0].plan, CellPlan::AfterDependencies) {
            return Ok(());
        }
        for dependency in &spec.dependencies {
            match &plan.cells[dependency.cell.0].plan {
                CellPlan::Hit(_) => {}
                CellPlan::Build { .. } | CellPlan::AfterDependencies => return Ok(()),
                _ => {
                    plan.cells[id.0].plan = CellPlan::Blocked {
                        by: dependency.cell,
                    };
                    return Ok(());
                }
            }
        }
        let records = spec.resolve(|cell| match &plan.cells[cell.0].plan {
            CellPlan::Hit(record) => Some(Arc::clone(record)),
            _ => None,
        });
        let Ok(records) = records else {
            return Ok(());
        };
        let mut keys = job_keys(&spec, &records);
        let store = &Arc::clone(self.site).store;
        let looker = self.looker(&spec.kernel.system);
        find_candidates(store, &mut keys, &spec.layout, looker)?;
        plan.cells[id.0].plan = self.judge(plan, id, &mut keys, how)?;
        plan.cells[id.0].keys = Some(Arc::new(keys));
        Ok(())
    }

    fn judge(
        &mut self,
        plan: &Plan,
        id: CellId,
        keys: &mut Keys,
        how: LookUp,
    ) -> Result<CellPlan, PlanError> {
        let made = keys.outcomes().any(|key| self.made.contains(&key.key));
        if !how.use_cache && !made {
            return Ok(CellPlan::Build {
                reason: MissReason::CacheUnused,
            });
        }
        let how = |key: &ActionKey| LookUp {
            retry_failed: how.retry_failed && !self.made.contains(key),
            ..how
        };
        for key in keys.outcomes() {
            if let Some(record) = self.site.store.lookup_verified(&key.key)? {
                return Ok(judged(record, how(&key.key)));
            }
        }
        let subject = plan.subject(id);
        let nearest = self.fingerprints.nearest(&subject, ActionKind::Job)?;
        if let (Some(record), Some(spec)) = (&nearest, &plan.cells[id.0].spec) {
            let site = Arc::clone(self.site);
            let looker = self.looker(&spec.kernel.system);
            keys.compare_with(record, &site.store, looker)?;
        }
        Ok(CellPlan::Build {
            reason: miss_reason(nearest.as_ref(), &subject.target, &keys.shown().components),
        })
    }
}

/// A key to ask the shared cache for.
struct Wanted {
    cell: CellId,
    key: ActionKey,
    is_trace: bool,
}

/// The cells for which something came, to be decided about once more.
fn judge_anew(wanted: &[Wanted], came: Vec<bool>) -> impl Iterator<Item = (CellId, CellPlan)> + '_ {
    wanted
        .iter()
        .zip(came)
        .filter(|(_, came)| *came)
        .map(|(one, _)| (one.cell, CellPlan::AfterDependencies))
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
