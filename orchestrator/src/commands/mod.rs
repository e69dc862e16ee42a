//! One file a verb; each reads as the verb's story: plan, run, report.

mod build;
mod cache;
mod compare;
mod config;
mod delivery;
mod execution;
mod explain;
mod farm;
mod farm_outputs;
mod flags;
mod log;
#[cfg(feature = "remote")]
mod remote;
mod session;
mod verify;

use std::{ffi::OsStr, process::ExitCode};

use kiln_config::{Color, Configuration};

use crate::{
    Exit,
    cli::{Cli, Command},
    dkms,
    error::CommandError,
    report,
};

pub(crate) use session::{cancel_on_signals, open_site_for};

pub(crate) fn run(cli: &Cli) -> ExitCode {
    let exit = command(cli).unwrap_or_else(|error| {
        report::command_error(&error);
        error.exit().into()
    });
    match report::has_lost_output() && exit == ExitCode::SUCCESS {
        true => Exit::Failed.into(),
        false => exit,
    }
}

fn command(cli: &Cli) -> Result<ExitCode, CommandError> {
    let settings = || configuration(cli).into_settings();
    let exit = match &cli.command {
        Command::Build(arguments) => build::run(&settings()?, &cli.global, arguments)?,
        Command::Explain(arguments) => explain::run(&settings()?, arguments)?,
        Command::Log(arguments) => log::run(&settings()?, arguments)?,
        Command::Farm { command } => farm::run(&settings()?, &cli.global, command)?,
        #[cfg(feature = "remote")]
        Command::Remote { command } => remote::run(&settings()?, command)?,
        Command::Report { command } => compare::run(command)?,
        Command::Cache { command } => cache::run(&settings()?, command)?,
        Command::Config { command } => config::run(configuration(cli), command)?,
        Command::Dkms { arguments } => {
            return Ok(dkms::run(OsStr::new("dkms"), arguments.iter().cloned()));
        }
    };
    Ok(exit.into())
}

/// Reads the settings; from here on output is coloured as they say.
fn configuration(cli: &Cli) -> Configuration {
    let configuration = Configuration::of_user(&flags::flags(cli));
    match configuration.settings().build.color {
        Color::Auto => {}
        Color::Always => report::set_color(true),
        Color::Never => report::set_color(false),
    }
    configuration
}
