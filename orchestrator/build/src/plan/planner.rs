//! Makes the plan: finds what belongs to it, evaluates confs, and says what each job would be.
//! `look_up.rs` decides which of them have to run.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use kiln_cache::{ActionKey, ActionKind, ActionRecord, StoreError, Subject};
use kiln_kernel::{
    KernelInput, TargetKernel,
    fingerprints::Fingerprints,
    package::{Found, PackageSource, find_package},
    toolbox::SystemRoot,
    witness::Witness,
};
use kiln_sandbox::Layout;
use kiln_scheduler::{CancelToken, TokenPool};

use super::{
    BuildSite, Cell, CellFault, CellId, CellPlan, GivenCell, GivenRequest, Ingredient, JobSpec,
    PackageInput, Plan, PlanError, PlanRequest, PlannedPackage, SharedUse, Tools,
    cell::{Dependency, scratch_name},
    confs::{ConfResult, ConfRun},
    dependencies::{dependencies, given_dependencies, order_and_mark_cycles, package_named},
    look_up::LookUp,
    tools::{compilers, extra_tool_directories},
    wish,
};
use crate::{conf::Conf, sight::Looker};

/// Makes plans at one site.
pub struct Planner<'s> {
    pub(super) site: &'s Arc<BuildSite>,
    pub(super) fingerprints: Fingerprints<'s>,
    tools: HashMap<SystemRoot, Tools>,
    pub(super) overrides: Option<Arc<Witness>>,
    /// The keys that the shared cache was asked for.
    pub(super) asked: HashSet<ActionKey>,
    /// The keys of outcomes that this run made: they count whatever counts else.
    pub(super) made: HashSet<ActionKey>,
    lookers: HashMap<SystemRoot, Looker<'s>>,
}

impl<'s> Planner<'s> {
    /// Starts planning with what has been fingerprinted so far.
    pub fn new(site: &'s Arc<BuildSite>, fingerprints: Fingerprints<'s>) -> Self {
        Self {
            site,
            fingerprints,
            tools: HashMap::new(),
            overrides: None,
            asked: HashSet::new(),
            made: HashSet::new(),
            lookers: HashMap::new(),
        }
    }

    /// Plans for a run that has made outcomes already: they are not made again, though no cache is used or
    /// failures are tried again.
    #[must_use]
    pub fn after(self, made: HashSet<ActionKey>) -> Self {
        Self { made, ..self }
    }

    /// Gives the fingerprints back, for noting what came of the plan.
    pub fn into_fingerprints(self) -> Fingerprints<'s> {
        self.fingerprints
    }

    /// Makes the plan. Runs bash on those dkms.conf that are not in the cache, and nothing else.
    ///
    /// # Errors
    /// Fails if a kernel, the toolbox or the store cannot be used. A package that cannot be
    /// used is a faulty row of the plan.
    pub fn plan(
        &mut self,
        request: PlanRequest<'_>,
        tokens: &TokenPool,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Plan, PlanError> {
        let etc = Path::new("/etc/dkms");
        if etc.is_dir() {
            let seen = self.fingerprints.overrides_witness(etc);
            self.overrides = Some(seen.map_err(PlanError::Tools)?);
        }
        let mut plan = self.empty_plan(request.kernels)?;
        let how = LookUp {
            use_cache: request.use_cache,
            retry_failed: request.retry_failed,
            shared: request.shared,
        };
        let mut confs: Vec<ConfResult> = Vec::new();
        let mut wanted: Vec<(Found, bool)> = request
            .packages
            .into_iter()
            .map(|found| (found, true))
            .collect();
        let mut run = ConfRun {
            tokens,
            cancel,
            progress,
            how,
        };
        let faults = self.kernel_variables(&plan.kernels, &mut run)?;
        while !wanted.is_empty() {
            let first = plan.packages.len();
            for (found, asked_for) in wanted.drain(..) {
                self.add_package(&found, asked_for, &mut plan)?;
            }
            let new = self.confs(&plan, first, &faults, &mut run)?;
            name_packages(&mut plan, first, &new);
            confs.extend(new);
            wanted = self.absent_dependencies(&plan, &confs);
        }
        self.cells(&mut plan, confs)?;
        let order = order_and_mark_cycles(&mut plan);
        if let Some(wishes) = request.wishes {
            wish::apply(&mut plan, wishes);
        }
        self.look_up_all(&mut plan, &order, how)?;
        self.close(&plan);
        Ok(plan)
    }

    /// Makes a plan of cells whose confs are known. Runs make on those `.kernelvariables` that are not in the cache,
    /// and nothing else.
    ///
    /// # Errors
    /// Fails if a kernel, the toolbox or the store cannot be used.
    pub fn plan_given(
        &mut self,
        request: GivenRequest,
        tokens: &TokenPool,
        cancel: &CancelToken,
    ) -> Result<Plan, PlanError> {
        let mut plan = self.empty_plan(
            request
                .kernels
                .into_iter()
                .map(TargetKernel::from)
                .collect(),
        )?;
        for found in &request.packages {
            self.add_package(found, true, &mut plan)?;
        }
        let how = LookUp {
            use_cache: true,
            retry_failed: request.retry_failed,
            shared: SharedUse::Take,
        };
        let mut run = ConfRun {
            tokens,
            cancel,
            progress: &mut |_, _| {},
            how,
        };
        let faults = self.kernel_variables(&plan.kernels, &mut run)?;
        let width = plan.kernels.len();
        for (index, cell) in request.cells.iter().enumerate() {
            let kernel = index % width;
            let (spec, cell_plan) = match cell {
                GivenCell::NotAsked => (None, CellPlan::NotAsked),
                GivenCell::Provided { record, .. } => (None, CellPlan::Hit(Arc::clone(record))),
                GivenCell::Build(conf) => {
                    match (&plan.packages[index / width].input, &faults[kernel]) {
                        (Err(error), _) => {
                            (None, CellPlan::Fault(CellFault::Source(Arc::clone(error))))
                        }
                        (_, Some(fault)) => (None, CellPlan::Fault(fault.clone())),
                        (Ok(_), None) => {
                            let dependencies =
                                given_dependencies(&plan, &request.cells, conf, kernel);
                            let mut conf = Conf::clone(conf);
                            let required = plan.kernels[kernel].required_compiler();
                            conf.compiler.required = required.map(str::to_owned);
                            let spec =
                                self.spec(&plan, CellId(index), &Arc::new(conf), dependencies)?;
                            (spec, CellPlan::AfterDependencies)
                        }
                    }
                }
            };
            plan.cells.push(Cell {
                package: index / width,
                kernel,
                spec: spec.map(Arc::new),
                asked_for: !matches!(cell, GivenCell::NotAsked),
                keys: None,
                plan: cell_plan,
            });
        }
        let order = order_and_mark_cycles(&mut plan);
        self.look_up_all(&mut plan, &order, how)?;
        self.close(&plan);
        Ok(plan)
    }

    /// What looks at the files of a system, each path once for the whole plan.
    pub(super) fn looker(&mut self, system: &SystemRoot) -> &mut Looker<'s> {
        let files = &self.site.system_files;
        if !files.is_loaded() {
            files.load(self.fingerprints.index());
        }
        self.lookers
            .entry(system.clone())
            .or_insert_with(|| Looker::new(system.clone(), files))
    }

    /// Closes the index, with what running the plan wants of it.
    fn close(&mut self, plan: &Plan) {
        if self.site.system_files.is_changed() {
            self.site.system_files.save(self.fingerprints.index());
        }
        let is_job = |cell: &Cell| {
            matches!(
                cell.plan,
                CellPlan::Build { .. } | CellPlan::AfterDependencies
            )
        };
        if plan.cells.iter().any(is_job) {
            self.fingerprints.costs();
        }
        self.fingerprints.close();
    }

    fn empty_plan(&mut self, targets: Vec<TargetKernel>) -> Result<Plan, PlanError> {
        let mut kernels = Vec::new();
        for target in targets {
            let kernel = target.tree.target();
            if let (Some(reason), true) = (&self.site.bare_because, target.needs_sandbox()) {
                return Err(PlanError::NeedsSandbox {
                    kernel,
                    source: reason.clone(),
                });
            }
            let input = KernelInput::new(target, &mut self.fingerprints)
                .map_err(|source| PlanError::Kernel { kernel, source })?;
            kernels.push(Arc::new(input));
        }
        Ok(Plan {
            packages: Vec::new(),
            kernels,
            cells: Vec::new(),
        })
    }

    /// The newest earlier record to compare a miss with.
    ///
    /// # Errors
    /// Fails if the store cannot be read.
    pub fn nearest(
        &mut self,
        subject: &Subject,
        kind: ActionKind,
    ) -> Result<Option<ActionRecord>, StoreError> {
        self.fingerprints.nearest(subject, kind)
    }

    fn add_package(
        &mut self,
        found: &Found,
        asked_for: bool,
        plan: &mut Plan,
    ) -> Result<(), PlanError> {
        let base = match found.source {
            PackageSource::Tree(_) => None,
            PackageSource::Archive(_) => Some(self.site.base()?),
        };
        match PackageInput::new(found, &mut self.fingerprints, base) {
            Ok(inputs) => {
                for input in inputs {
                    plan.packages.push(PlannedPackage {
                        label: input.label.clone(),
                        input: Ok(Arc::new(input)),
                        asked_for,
                    });
                }
            }
            Err(error) => plan.packages.push(PlannedPackage {
                label: found.label(),
                input: Err(Arc::new(error)),
                asked_for,
            }),
        }
        Ok(())
    }

    /// Packages that BUILD_DEPENDS names and the plan does not hold yet.
    fn absent_dependencies(&self, plan: &Plan, confs: &[ConfResult]) -> Vec<(Found, bool)> {
        let mut names: Vec<&str> = confs
            .iter()
            .flatten()
            .flat_map(|conf| conf.build_depends.iter().map(String::as_str))
            .collect();
        names.sort_unstable();
        names.dedup();
        let framework = &self.site.framework;
        names
            .into_iter()
            .filter(|name| package_named(plan, confs, name).is_none())
            .filter_map(|name| {
                find_package(name, &framework.source_tree, &framework.dkms_tree).ok()
            })
            .filter(|found| found.registered.is_some())
            .filter(|found| !plan.packages.iter().any(|p| p.label == found.label()))
            .map(|found| (found, false))
            .collect()
    }

    fn cells(&mut self, plan: &mut Plan, confs: Vec<ConfResult>) -> Result<(), PlanError> {
        let width = plan.kernels.len();
        for (index, conf) in confs.iter().enumerate() {
            let (package, kernel) = (index / width, index % width);
            let (spec, cell_plan) = match conf {
                Err(fault) => (None, CellPlan::Fault(fault.clone())),
                Ok(conf) => match dependencies(plan, &confs, conf, kernel) {
                    Err(name) => (None, CellPlan::Fault(CellFault::MissingDependency { name })),
                    Ok(dependencies) => {
                        let spec = self.spec(plan, CellId(index), conf, dependencies)?;
                        let cell_plan = match &conf.excluded {
                            Some(rule) => CellPlan::Excluded(rule.clone()),
                            None => CellPlan::AfterDependencies,
                        };
                        (spec, cell_plan)
                    }
                },
            };
            plan.cells.push(Cell {
                asked_for: plan.packages[package].asked_for,
                package,
                kernel,
                spec: spec.map(Arc::new),
                keys: None,
                plan: cell_plan,
            });
        }
        Ok(())
    }

    fn spec(
        &mut self,
        plan: &Plan,
        cell: CellId,
        conf: &Arc<Conf>,
        dependencies: Vec<Dependency>,
    ) -> Result<Option<JobSpec>, PlanError> {
        let width = plan.kernels.len();
        let Ok(package) = &plan.packages[cell.0 / width].input else {
            return Ok(None);
        };
        let kernel = &plan.kernels[cell.0 % width];
        let llvm = conf.compiler.clang || conf.compiler.lld;
        let tools = self.tools(&kernel.system, &compilers(conf), llvm)?;
        let overrides = Layout::overrides(&conf.package.name);
        let overrides = if overrides.is_dir() {
            Some(
                self.fingerprints
                    .tree_witness(&overrides)
                    .map_err(PlanError::Tools)?,
            )
        } else {
            None
        };
        let mut extra_tools = Vec::new();
        for path in extra_tool_directories(conf, &kernel.system) {
            let host = kernel.system.host_path(&path);
            let seen = self.fingerprints.tree_witness(&host);
            extra_tools.push((path, seen.map_err(PlanError::Tools)?));
        }
        Ok(Some(JobSpec {
            cell,
            layout: self.site.layout(&scratch_name(package, kernel)),
            package: Arc::clone(package),
            kernel: Arc::clone(kernel),
            conf: Arc::clone(conf),
            tools,
            extra_tools,
            overrides,
            dependencies,
        }))
    }

    /// The toolbox of an action on a system.
    fn tools(
        &mut self,
        system: &SystemRoot,
        compilers: &[String],
        llvm: bool,
    ) -> Result<Vec<Ingredient>, PlanError> {
        let tools = self
            .tools
            .entry(system.clone())
            .or_insert_with(|| Tools::of(system.clone()));
        tools
            .components(compilers, llvm, &mut self.fingerprints)
            .map_err(PlanError::Tools)
    }
}

/// Replaces labels by names and versions where a conf has told them.
fn name_packages(plan: &mut Plan, first: usize, confs: &[ConfResult]) {
    let width = plan.kernels.len().max(1);
    for (offset, row) in confs.chunks(width).enumerate() {
        if let Some(conf) = row.iter().flatten().next() {
            plan.packages[first + offset].label = conf.package.to_string();
        }
    }
}
