//! `kiln build`: what the user named, for the kernels that they named, into one folder.

use std::{path::Path, sync::Arc, time::Instant};

use kiln_build::{
    plan::{CellId, Plan, PlanRequest},
    results,
};
use kiln_cache::{ActionRecord, Store, Syncing};
use kiln_config::Settings;
use kiln_kernel::fingerprints::Fingerprints;
use kiln_scheduler::CancelToken;

use super::{
    execution::{Destination, Execution, shared_use, trust},
    session::{cancel_on_signals, kernels, open_site, packages},
};
use crate::{
    Exit,
    cli::{BuildArgs, Global},
    error::CommandError,
    report,
};

pub(super) fn run(
    settings: &Settings,
    global: &Global,
    arguments: &BuildArgs,
) -> Result<Exit, CommandError> {
    let started = Instant::now();
    let cancel = CancelToken::new();
    cancel_on_signals(&cancel);
    let (selection, run) = (&arguments.selection, &arguments.run);
    let site = open_site(settings, &cancel)?;
    let mut report = report::choose(global, run);
    let mut fingerprints = Fingerprints::new(&site.store)
        .trusting(trust(run))
        .heeding(&cancel);
    let request = PlanRequest {
        packages: packages(selection, arguments.all, &site)?,
        kernels: kernels(selection, arguments.all_kernels, &mut fingerprints)?,
        wishes: None,
        use_cache: run.use_cache(),
        retry_failed: run.retry_failed,
        shared: shared_use(run),
    };
    let mut folder = Folder {
        store: &site.store,
        directory: run.output.as_deref(),
    };
    let execution = Execution {
        site: &site,
        settings,
        arguments: run,
        cancel: &cancel,
        started,
    };
    execution.run(request, fingerprints, &mut folder, report.as_mut())
}

/// The folder that `-o` names, if any.
struct Folder<'a> {
    store: &'a Store,
    directory: Option<&'a Path>,
}

impl Destination for Folder<'_> {
    fn deliver(
        &self,
        plan: &Plan,
        cell: CellId,
        record: &Arc<ActionRecord>,
    ) -> Result<(), CommandError> {
        if let Some(directory) = self.directory {
            // The next run compares what is there, and puts right what was lost.
            results::deliver(self.store, directory, plan, cell, record, Syncing::Not)?;
        }
        Ok(())
    }
}
