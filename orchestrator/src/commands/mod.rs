//! One file a verb; each reads as the verb's story: plan, run, report.

mod build;
mod cache;
mod compare;
mod explain;
mod log;
mod session;

use std::{ffi::OsStr, process::ExitCode};

use crate::{
    cli::{Cli, Color, Command},
    dkms, report,
};

pub(crate) use session::{cancel_on_signals, open_site_for};

pub(crate) fn run(cli: &Cli) -> ExitCode {
    match cli.global.color {
        Color::Auto => {}
        Color::Always => report::set_color(true),
        Color::Never => report::set_color(false),
    }
    let result = match &cli.command {
        Command::Build(arguments) => build::run(&cli.global, arguments),
        Command::Explain(arguments) => explain::run(&cli.global, arguments),
        Command::Log(arguments) => log::run(&cli.global, arguments),
        Command::Report { command } => compare::run(command),
        Command::Cache { command } => cache::run(&cli.global, command),
        Command::Dkms { arguments } => {
            return dkms::run(OsStr::new("dkms"), arguments.iter().cloned());
        }
    };
    let exit = result.unwrap_or_else(|error| {
        report::command_error(&error);
        error.exit()
    });
    exit.into()
}
