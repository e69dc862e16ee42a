//! What the command line says about settings, command by command.

use crate::{
    cli::{BuildFlags, CacheCommand, Cli, Command, ConfFlags, ConfigCommand},
    config::Flags,
};

/// Gathers what was said, whichever command it was said to.
pub(super) fn flags(cli: &Cli) -> Flags {
    let mut flags = Flags {
        cache_dir: cli.global.cache_dir.clone(),
        color: cli.global.color,
        ..Flags::default()
    };
    match &cli.command {
        Command::Build(arguments) => {
            flags.of_builds(&arguments.settings);
            flags.of_confs(&arguments.selection.conf);
        }
        Command::Explain(arguments) | Command::Log(arguments) => {
            flags.of_confs(&arguments.selection.conf);
        }
        Command::Config {
            command: ConfigCommand::Show(arguments),
        } => {
            flags.of_builds(&arguments.build);
            flags.of_confs(&arguments.conf);
        }
        Command::Cache {
            command: CacheCommand::Gc { max_size, .. },
        } => flags.max_size = *max_size,
        Command::Cache { .. } | Command::Config { .. } | Command::Dkms { .. } => {}
    }
    flags
}

impl Flags {
    fn of_builds(&mut self, said: &BuildFlags) {
        self.jobs = said.jobs;
        self.timeout = said.timeout;
    }

    fn of_confs(&mut self, said: &ConfFlags) {
        self.conf_timeout = said.conf_timeout;
    }
}
