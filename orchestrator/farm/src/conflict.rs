//! What a farm must not ship: two packages that make one module for the same kernel, and two
//! sources of one package and version.

use std::collections::HashMap;

use kiln_build::plan::{CellId, CellPlan, Plan, SourceLocation};

use super::FarmError;

/// Checks all pairs that are wanted.
///
/// Several versions of one package are no conflict: their results lie in different folders,
/// and a package manager installs one of them.
///
/// # Errors
/// Fails with the first conflict, in the plan's order.
pub fn check_modules(plan: &Plan) -> Result<(), FarmError> {
    check_sources(plan)?;
    let mut makers: HashMap<(usize, String), usize> = HashMap::new();
    for (index, cell) in plan.cells.iter().enumerate() {
        let leaves_nothing = matches!(
            cell.plan,
            CellPlan::NotAsked
                | CellPlan::LeftOut { .. }
                | CellPlan::Excluded(_)
                | CellPlan::Fault(_)
        );
        let Some(spec) = cell.spec.as_ref().filter(|_| !leaves_nothing) else {
            continue;
        };
        for module in spec.conf.modules.iter().filter(|m| m.excluded.is_none()) {
            // The kernel takes both for the same character.
            let name = module.dest_name.replace('-', "_");
            let maker = *makers.entry((cell.kernel, name)).or_insert(index);
            let (first, second) = (
                plan.subject(CellId::new(maker)),
                plan.subject(CellId::new(index)),
            );
            if package_name(&first.name) != package_name(&second.name) {
                return Err(FarmError::SameModule {
                    module: format!("{}.ko", module.dest_name),
                    kernel: plan.kernels[cell.kernel].tree.release.to_string(),
                    first: first.name,
                    second: second.name,
                });
            }
        }
    }
    Ok(())
}

fn package_name(label: &str) -> &str {
    label.split_once('/').map_or(label, |(name, _)| name)
}

/// One package and version must not come from two sources.
fn check_sources(plan: &Plan) -> Result<(), FarmError> {
    let mut seen = HashMap::new();
    for package in &plan.packages {
        let Ok(input) = &package.input else { continue };
        let earlier = seen.entry(package.label.as_str()).or_insert(input);
        let path = |location: &SourceLocation| match location {
            SourceLocation::Directory(path) | SourceLocation::Archive { file: path, .. } => {
                path.clone()
            }
        };
        if earlier.location != input.location {
            return Err(FarmError::SamePackage {
                label: package.label.clone(),
                first: path(&earlier.location),
                second: path(&input.location),
            });
        }
    }
    Ok(())
}
