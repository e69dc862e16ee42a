//! `kiln farm`: packages x kernels as a manifest states them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kiln_build::{
    estimates::Estimates,
    plan::{BuildSite, PlanRequest, Planner, SharedUse},
};
use kiln_config::Settings;
use kiln_farm::{
    Addition, FarmKernel, Forecast, KernelFinder, Manifest, Matrix, Outputs, Price, Publisher,
    Scope, check_modules, resolve_packages, write,
};
use kiln_kernel::fingerprints::Fingerprints;
use kiln_scheduler::{CancelToken, TokenPool};

use super::{
    execution::{Execution, shared_use, trust},
    farm_outputs::FarmOutputs,
    session::{cancel_on_signals, open_site},
};
use crate::{
    Exit,
    cli::{
        AddKernelArgs, BuildFlags, ConfFlags, FarmArgs, FarmCommand, FarmPlanArgs, FarmRunArgs,
        Global, RunArgs,
    },
    error::CommandError,
    report::{self, FarmNotice},
};

pub(super) fn run(
    settings: &Settings,
    global: &Global,
    command: &FarmCommand,
) -> Result<Exit, CommandError> {
    let started = Instant::now();
    let cancel = CancelToken::new();
    cancel_on_signals(&cancel);
    match command {
        FarmCommand::Run(arguments) => build(settings, global, arguments, &cancel, started),
        FarmCommand::Plan(arguments) => plan(settings, global, arguments, &cancel),
        FarmCommand::AddKernel(arguments) => {
            add_kernel(settings, global, arguments, &cancel, started)
        }
    }
}

fn build(
    settings: &Settings,
    global: &Global,
    arguments: &FarmRunArgs,
    cancel: &CancelToken,
    started: Instant,
) -> Result<Exit, CommandError> {
    let manifest = Manifest::read(&arguments.manifest)?;
    let run = with_defaults(&arguments.run, &manifest);
    let said = (&arguments.run.settings, &arguments.farm.conf);
    let settings = &settings_for(settings, &manifest, said);
    let site = open_site(settings, cancel)?;
    let mut fingerprints = Fingerprints::new(&site.store)
        .trusting(trust(&run))
        .heeding(cancel);
    let kernels = find_kernels(&manifest, 0, &mut fingerprints)?;
    let farm = Farm {
        manifest: &manifest,
        kernels: &kernels,
        scope: Scope::Whole,
        site: &site,
        settings,
        cancel,
        started,
    };
    farm.execute(global, &arguments.farm, &run, fingerprints)
}

fn plan(
    settings: &Settings,
    global: &Global,
    arguments: &FarmPlanArgs,
    cancel: &CancelToken,
) -> Result<Exit, CommandError> {
    let manifest = Manifest::read(&arguments.manifest)?;
    let said = (&arguments.settings, &arguments.farm.conf);
    let settings = &settings_for(settings, &manifest, said);
    let site = open_site(settings, cancel)?;
    let mut fingerprints = Fingerprints::new(&site.store).heeding(cancel);
    let kernels = find_kernels(&manifest, 0, &mut fingerprints)?;
    let matrix = Matrix::new(&manifest, &kernels, arguments.farm.shard);
    let wishes = |package: &str, kernel: &_| matrix.wish(package, kernel);
    let request = PlanRequest {
        packages: resolve_packages(&manifest)?,
        kernels: kernels.iter().map(|one| one.target.clone()).collect(),
        wishes: Some(&wishes),
        use_cache: !arguments.no_cache,
        retry_failed: arguments.retry_failed || manifest.build().retry_failed,
        shared: SharedUse::LookUp,
    };
    let cores = settings.build.jobs_or_cores();
    let tokens = TokenPool::new(cores);
    let mut planner = Planner::new(&site, fingerprints);
    let mut view = report::live_view().filter(|_| !global.quiet);
    let plan = planner.plan(request, &tokens, cancel, &mut |done, total| {
        if let Some(view) = &mut view {
            view.conf(done, total);
        }
    })?;
    drop(view);
    check_modules(&plan)?;
    let mut fingerprints = planner.into_fingerprints();
    let estimates = Estimates::new(fingerprints.costs());
    fingerprints.close();
    let forecast = Forecast::new(&plan, &estimates, cores);
    let price = Price::of(manifest.cost());
    let mut report = report::farm_report(arguments.json, global.quiet);
    for idle in matrix.idle() {
        report.notice(&FarmNotice::Idle(idle));
    }
    if let Some(shared) = &site.shared {
        report.shared(&shared.take_notices());
    }
    report.forecast(&plan, &forecast, price.as_ref());
    Ok(Exit::Success)
}

fn add_kernel(
    settings: &Settings,
    global: &Global,
    arguments: &AddKernelArgs,
    cancel: &CancelToken,
    started: Instant,
) -> Result<Exit, CommandError> {
    let before = Manifest::read(&arguments.manifest)?;
    let run = with_defaults(&arguments.run, &before);
    let name = arguments.name.as_deref();
    let addition = Addition::new(&arguments.kernels, &before, name, arguments.root.as_deref());
    let after = addition.to(&before)?;
    let said = (&arguments.run.settings, &arguments.farm.conf);
    let settings = &settings_for(settings, &after, said);
    let site = open_site(settings, cancel)?;
    let mut fingerprints = Fingerprints::new(&site.store)
        .trusting(trust(&run))
        .heeding(cancel);
    let known = find_kernels(&before, 0, &mut fingerprints)?;
    // Finds conflicts with those that are there.
    find_kernels(&after, 0, &mut fingerprints)?;
    let new = find_kernels(&after, before.kernels().len(), &mut fingerprints)?;
    let is_known = |kernel: &FarmKernel| {
        let target = kernel.target.tree.target();
        known.iter().any(|one| one.target.tree.target() == target)
    };
    let targets: Vec<String> = new.iter().map(|one| one.target.tree.target()).collect();
    let manifest = arguments.manifest.clone();
    let (manifest, notice) = if new.iter().all(is_known) {
        (before, FarmNotice::Known { targets, manifest })
    } else if run.dry_run {
        (after, FarmNotice::WouldAdd { targets, manifest })
    } else {
        write(&after)?;
        (after, FarmNotice::Added { targets, manifest })
    };
    report::farm_report(run.json, global.quiet).notice(&notice);
    if arguments.no_build {
        return Ok(Exit::Success);
    }
    let farm = Farm {
        manifest: &manifest,
        kernels: &new,
        scope: Scope::Addition,
        site: &site,
        settings,
        cancel,
        started,
    };
    farm.execute(global, &arguments.farm, &run, fingerprints)
}

/// What a run builds.
struct Farm<'a> {
    manifest: &'a Manifest,
    kernels: &'a [FarmKernel],
    /// Whether these are all kernels of the manifest, so that its rules can be judged.
    scope: Scope,
    site: &'a Arc<BuildSite>,
    settings: &'a Settings,
    cancel: &'a CancelToken,
    started: Instant,
}

impl Farm<'_> {
    fn execute(
        &self,
        global: &Global,
        farm: &FarmArgs,
        run: &RunArgs,
        fingerprints: Fingerprints<'_>,
    ) -> Result<Exit, CommandError> {
        let matrix = Matrix::new(self.manifest, self.kernels, farm.shard);
        let wishes = |package: &str, kernel: &_| matrix.wish(package, kernel);
        let request = PlanRequest {
            packages: resolve_packages(self.manifest)?,
            kernels: self.kernels.iter().map(|one| one.target.clone()).collect(),
            wishes: Some(&wishes),
            use_cache: run.use_cache(),
            retry_failed: run.retry_failed,
            shared: shared_use(run),
        };
        let manifest = self.manifest;
        let publisher = match (manifest.outputs(), &run.output) {
            (Some(outputs), Some(directory)) => Some(Publisher::new(
                manifest,
                self.kernels,
                outputs,
                directory,
                (farm.shard, self.scope),
            )?),
            _ => None,
        };
        let mut outputs = FarmOutputs {
            site: self.site,
            cancel: self.cancel,
            directory: run.output.as_deref(),
            publisher,
            matrix: (self.scope == Scope::Whole).then_some(&matrix),
        };
        let mut report = report::choose(global, run);
        let execution = Execution {
            site: self.site,
            settings: self.settings,
            arguments: run,
            cancel: self.cancel,
            started: self.started,
        };
        execution.run(request, fingerprints, &mut outputs, report.as_mut())
    }
}

/// What the command line says, and for the rest what the manifest says.
fn with_defaults(run: &RunArgs, manifest: &Manifest) -> RunArgs {
    let build = manifest.build();
    let mut run = run.clone();
    run.fail_fast |= build.fail_fast;
    run.retry_failed |= build.retry_failed;
    let directory = |outputs: &Outputs| manifest.path().with_file_name(&outputs.directory);
    run.output = run.output.or_else(|| manifest.outputs().map(directory));
    run
}

/// What is set, with what the manifest says where the command line says nothing.
fn settings_for(
    settings: &Settings,
    manifest: &Manifest,
    (builds, confs): (&BuildFlags, &ConfFlags),
) -> Settings {
    let mut settings = settings.clone();
    let build = manifest.build();
    if builds.jobs.is_none() {
        settings.build.jobs = build.jobs.or(settings.build.jobs);
    }
    if builds.timeout.is_none() {
        let said = build.timeout.map(Duration::from_secs);
        settings.build.timeout = said.or(settings.build.timeout);
    }
    if confs.conf_timeout.is_none()
        && let Some(seconds) = build.conf_timeout
    {
        settings.build.conf_timeout = Duration::from_secs(seconds);
    }
    settings
}

/// The kernels of the entries from the `first` on.
fn find_kernels(
    manifest: &Manifest,
    first: usize,
    fingerprints: &mut Fingerprints<'_>,
) -> Result<Vec<FarmKernel>, CommandError> {
    let mut finder = KernelFinder {
        manifest,
        fingerprints,
    };
    Ok(finder.from(first)?)
}
