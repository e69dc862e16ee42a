//! `kiln log`: the whole log of the job of a package for a kernel, as all its inputs are now, else of
//! its newest job.

use kiln_build::{job::open_log, plan::CellId};
use kiln_cache::ActionKind;
use kiln_config::Settings;
use kiln_scheduler::CancelToken;

use super::{explain::plan_only, session::cancel_on_signals};
use crate::{Exit, cli::LogArgs, error::CommandError, report};

pub(super) fn run(settings: &Settings, arguments: &LogArgs) -> Result<Exit, CommandError> {
    let cancel = CancelToken::new();
    cancel_on_signals(&cancel);
    let (site, plan, _) = plan_only(settings, &arguments.cells, &cancel)?;
    for index in 0..plan.cells.len() {
        let subject = plan.subject(CellId::new(index));
        let missing = || CommandError::NoRecord {
            package: subject.name.clone(),
            kernel: subject.target.clone(),
        };
        let gone = || CommandError::NoLog {
            package: subject.name.clone(),
            kernel: subject.target.clone(),
        };
        let present = match plan.cells[index].key() {
            Some(key) => site.store.lookup(&key)?,
            None => None,
        };
        let record = match present {
            Some(record) => record,
            None => site
                .store
                .nearest(&subject, ActionKind::Job)?
                .filter(|record| record.subject.target == subject.target)
                .ok_or_else(missing)?,
        };
        let log = record.log.ok_or_else(gone)?;
        let file = site.store.open_object(&log)?.ok_or_else(gone)?;
        let text = open_log(file).map_err(|_| gone())?;
        let copied = match arguments.raw {
            true => report::copy_raw_log(text),
            false => report::copy_log(text),
        };
        copied.map_err(|_| gone())?;
    }
    Ok(Exit::Success)
}
