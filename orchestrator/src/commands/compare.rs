//! `kiln report compare`: what changed from one report to another.

use kiln_report::{compare, load, write_comparison_page};

use crate::{Exit, cli::ReportCommand, error::CommandError, report};

pub(super) fn run(command: &ReportCommand) -> Result<Exit, CommandError> {
    let ReportCommand::Compare {
        before,
        after,
        json,
        html,
    } = command;
    let (before, after) = (load(before)?, load(after)?);
    let comparison = compare(&before, &after);
    if let Some(file) = html {
        write_comparison_page(file, &comparison, &before, &after)?;
    }
    report::comparison(&comparison, *json);
    Ok(if comparison.broke() {
        Exit::Failed
    } else {
        Exit::Success
    })
}
