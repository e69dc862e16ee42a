//! BUILD_DEPENDS: which cells a cell waits for, in which order they are decided, and circles.

use std::{path::Path, sync::Arc};

use kiln_kernel::{KernelInput, package::PackageId, toolbox::Distribution, version};

use super::{CellFault, CellId, CellPlan, GivenCell, Plan, cell::Dependency, confs::ConfResult};
use crate::conf::Conf;

/// The newest package of a name in the plan.
pub(super) fn package_named(plan: &Plan, confs: &[ConfResult], name: &str) -> Option<usize> {
    let width = plan.kernels.len().max(1);
    let mut found: Vec<(usize, &PackageId)> = confs
        .chunks(width)
        .enumerate()
        .filter_map(|(package, row)| Some((package, &row.iter().flatten().next()?.package)))
        .filter(|(_, id)| id.name.as_str() == name)
        .collect();
    found.sort_by(|a, b| version::compare(a.1.version.as_str(), b.1.version.as_str()));
    found.last().map(|(package, _)| *package)
}

/// The cells that a conf's BUILD_DEPENDS stand for, or the first name that stands for none.
pub(super) fn dependencies(
    plan: &Plan,
    confs: &[ConfResult],
    conf: &Conf,
    kernel: usize,
) -> Result<Vec<Dependency>, String> {
    conf.build_depends
        .iter()
        .map(|name| {
            let package = package_named(plan, confs, name).ok_or_else(|| name.clone())?;
            let cell = plan.cell(package, kernel);
            let input = plan.packages[package]
                .input
                .as_ref()
                .map_err(|_| name.clone())?;
            let id = confs[package * plan.kernels.len()..]
                .iter()
                .take(plan.kernels.len())
                .flatten()
                .next()
                .map(|conf| conf.package.clone())
                .ok_or_else(|| name.clone())?;
            let own = confs.get(package * plan.kernels.len() + kernel);
            let own = own.and_then(|conf| conf.as_ref().ok());
            Ok(Dependency {
                cell,
                package_id: id,
                package: Arc::clone(input),
                places: own.map_or_else(Vec::new, |own| places(own, &plan.kernels[kernel])),
            })
        })
        .collect()
}

/// The cells among those given that a conf's BUILD_DEPENDS stand for.
pub(super) fn given_dependencies(
    plan: &Plan,
    cells: &[GivenCell],
    conf: &Conf,
    kernel: usize,
) -> Vec<Dependency> {
    let width = plan.kernels.len();
    let given = |name: &String| {
        plan.packages.iter().enumerate().find_map(|(row, package)| {
            let input = package.input.as_ref().ok()?;
            let id = input.registered.as_ref()?;
            let own = match &cells[row * width + kernel] {
                GivenCell::NotAsked => return None,
                GivenCell::Build(conf) => Some(conf),
                GivenCell::Provided { conf, .. } => conf.as_ref(),
            };
            (id.name.as_str() == name).then(|| Dependency {
                cell: plan.cell(row, kernel),
                package_id: id.clone(),
                package: Arc::clone(input),
                places: own.map_or_else(Vec::new, |own| places(own, &plan.kernels[kernel])),
            })
        })
    };
    conf.build_depends.iter().filter_map(given).collect()
}

/// Where dkms installs a package's modules.
fn places(conf: &Conf, kernel: &KernelInput) -> Vec<(String, String)> {
    let distribution = Distribution::of(&kernel.system);
    let one = distribution.as_ref().and_then(Distribution::destination);
    let built = conf.modules.iter().filter(|one| one.excluded.is_none());
    built
        .map(|module| {
            let directory = one.unwrap_or(&module.dest_location);
            let directory = kiln_trace::by_name(Path::new("/"), Path::new(directory));
            let directory = directory.to_string_lossy().trim_matches('/').to_owned();
            (format!("{}.ko", module.dest_name), directory)
        })
        .collect()
}

/// Marks the cells of dependency circles as faulty, and gives all cells in an order in which
/// each comes after what it depends on.
pub(super) fn order_and_mark_cycles(plan: &mut Plan) -> Vec<CellId> {
    let mut order = Vec::with_capacity(plan.cells.len());
    let mut state = vec![Visit::New; plan.cells.len()];
    for index in 0..plan.cells.len() {
        visit(plan, index, &mut state, &mut Vec::new(), &mut order);
    }
    order.into_iter().map(CellId).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    Open,
    Done,
}

fn visit(
    plan: &mut Plan,
    index: usize,
    state: &mut [Visit],
    path: &mut Vec<usize>,
    order: &mut Vec<usize>,
) {
    match state[index] {
        Visit::Done => return,
        Visit::Open => {
            let start = path.iter().position(|i| *i == index).unwrap_or(0);
            let mut names: Vec<String> = path[start..]
                .iter()
                .map(|i| plan.packages[plan.cells[*i].package].label.clone())
                .collect();
            names.extend(names.first().cloned());
            for i in &path[start..] {
                plan.cells[*i].plan = CellPlan::Fault(CellFault::Cycle {
                    path: names.clone(),
                });
            }
            return;
        }
        Visit::New => {}
    }
    state[index] = Visit::Open;
    path.push(index);
    let next: Vec<usize> = plan.cells[index]
        .spec
        .iter()
        .flat_map(|spec| spec.dependencies.iter().map(|d| d.cell.0))
        .collect();
    for dependency in next {
        visit(plan, dependency, state, path, order);
    }
    path.pop();
    state[index] = Visit::Done;
    order.push(index);
}
