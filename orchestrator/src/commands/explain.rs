//! `kiln explain`: why the next build is a hit or a miss, down to the file that changed.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

use kiln_build::plan::{
    BuildSite, CellId, CellPlan, Difference, Plan, PlanRequest, Planner, SharedUse, differences,
};
use kiln_cache::ActionKind;
use kiln_config::Settings;
use kiln_kernel::fingerprints::Fingerprints;
use kiln_scheduler::{CancelToken, TokenPool};

use super::session::{cancel_on_signals, kernels, open_site, packages};
use crate::{Exit, cli::CellArgs, error::CommandError, report};

pub(super) fn run(settings: &Settings, arguments: &CellArgs) -> Result<Exit, CommandError> {
    let cancel = CancelToken::new();
    cancel_on_signals(&cancel);
    let (site, plan, differences) = plan_only(settings, arguments, &cancel)?;
    report::explain(&plan, &differences, &site.store);
    Ok(Exit::Success)
}

/// What differs for each cell that has to be built.
pub(super) type Differences = BTreeMap<CellId, Vec<Difference>>;

/// Plans without building anything.
pub(super) fn plan_only(
    settings: &Settings,
    arguments: &CellArgs,
    cancel: &CancelToken,
) -> Result<(Arc<BuildSite>, Plan, Differences), CommandError> {
    let site = open_site(settings, cancel)?;
    let mut fingerprints = Fingerprints::new(&site.store);
    let request = PlanRequest {
        packages: packages(&arguments.selection, false, &site)?,
        kernels: kernels(&arguments.selection, false, &mut fingerprints)?,
        wishes: None,
        use_cache: true,
        retry_failed: false,
        shared: SharedUse::Take,
    };
    let tokens = TokenPool::new(NonZeroUsize::MIN);
    let (plan, differences) = {
        let mut planner = Planner::new(&site, fingerprints);
        let plan = planner.plan(request, &tokens, cancel, &mut |_, _| {})?;
        let differences = differences_of_misses(&site, &plan, &mut planner)?;
        (plan, differences)
    };
    Ok((site, plan, differences))
}

/// Compares each job that has to be built with the nearest earlier one.
pub(super) fn differences_of_misses(
    site: &BuildSite,
    plan: &Plan,
    planner: &mut Planner<'_>,
) -> Result<Differences, CommandError> {
    let mut found = BTreeMap::new();
    for (index, cell) in plan.cells.iter().enumerate() {
        let (CellPlan::Build { .. }, Some(keys)) = (&cell.plan, &cell.keys) else {
            continue;
        };
        let id = CellId::new(index);
        let nearest = planner.nearest(&plan.subject(id), ActionKind::Job)?;
        if let Some(record) = nearest {
            found.insert(
                id,
                differences(&site.store, &record, &keys.shown().ingredients),
            );
        }
    }
    Ok(found)
}
