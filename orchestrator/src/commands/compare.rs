//! `kiln report compare`: what changed from one report to another.

use kiln_report::{compare, load};

use crate::{Exit, cli::ReportCommand, error::CommandError, report};

pub(super) fn run(command: &ReportCommand) -> Result<Exit, CommandError> {
    let ReportCommand::Compare {
        before,
        after,
        json,
    } = command;
    let comparison = compare(&load(before)?, &load(after)?);
    report::comparison(&comparison, *json);
    Ok(if comparison.broke() {
        Exit::Failed
    } else {
        Exit::Success
    })
}
