//! `kiln config`: what is set, where, and whether it is right.

use std::path::{Path, absolute};

use kiln_config::{ConfigError, Configuration, FileState, Problem};
use kiln_sandbox::{BuildUser, Isolation, Protection};

use crate::{
    Exit,
    cli::{ConfigCommand, ConfigShowArgs},
    error::CommandError,
    report,
};

pub(super) fn run(
    configuration: Configuration,
    command: &ConfigCommand,
) -> Result<Exit, CommandError> {
    match command {
        ConfigCommand::Show(arguments) => show(configuration, arguments),
        ConfigCommand::Path => {
            for file in &configuration.files {
                report::path(&file.path);
            }
            Ok(Exit::Success)
        }
        ConfigCommand::Check { file: None } => check(configuration),
        ConfigCommand::Check { file: Some(path) } => check_file(path),
    }
}

/// Shows what is right also where something is wrong.
fn show(configuration: Configuration, arguments: &ConfigShowArgs) -> Result<Exit, CommandError> {
    let bubblewrap = Isolation::probe(BuildUser::detect());
    let protection = Protection::of(Isolation::after(&bubblewrap));
    report::settings(&configuration, protection, arguments.json);
    configuration.into_settings()?;
    Ok(Exit::Success)
}

fn check(mut configuration: Configuration) -> Result<Exit, CommandError> {
    configuration.check_named_files();
    report::checked_files(&configuration.files);
    configuration.into_settings()?;
    Ok(Exit::Success)
}

fn check_file(path: &Path) -> Result<Exit, CommandError> {
    let unreadable = |source| {
        let path = path.to_owned();
        ConfigError {
            problems: vec![Problem::Unreadable { path, source }],
        }
    };
    let configuration = Configuration::of_file(&absolute(path).map_err(unreadable)?);
    let found = configuration.files.iter();
    if found.clone().any(|file| file.state != FileState::Read) && configuration.problems.is_empty()
    {
        // What is no file of settings elsewhere was asked for here.
        path.metadata().map_err(unreadable)?;
    }
    check(configuration)
}
