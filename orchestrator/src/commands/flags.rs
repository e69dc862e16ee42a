//! What the command line says about settings, command by command.

use crate::{
    cli::{
        BuildFlags, CacheCommand, CellArgs, Cli, Command, ConfFlags, ConfigCommand, FarmCommand,
        LogArgs, RemoteFlags, RunArgs,
    },
    config::{Flags, NamedText, Platform},
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
            flags.of_runs(&arguments.run);
            flags.of_confs(&arguments.selection.conf);
        }
        Command::Farm { command } => match command {
            FarmCommand::Run(arguments) => {
                flags.of_runs(&arguments.run);
                flags.of_confs(&arguments.farm.conf);
            }
            FarmCommand::AddKernel(arguments) => {
                flags.of_runs(&arguments.run);
                flags.of_confs(&arguments.farm.conf);
            }
            FarmCommand::Plan(arguments) => {
                flags.of_builds(&arguments.settings);
                flags.of_confs(&arguments.farm.conf);
                flags.of_remotes(&arguments.remote);
            }
        },
        Command::Explain(CellArgs { selection })
        | Command::Log(LogArgs {
            cells: CellArgs { selection },
            ..
        }) => flags.of_confs(&selection.conf),
        Command::Config {
            command: ConfigCommand::Show(arguments),
        } => {
            flags.of_builds(&arguments.build);
            flags.of_confs(&arguments.conf);
            flags.of_remotes(&arguments.remote);
        }
        Command::Cache {
            command: CacheCommand::Gc { max_size, .. },
        } => flags.max_size = *max_size,
        #[cfg(feature = "remote")]
        Command::Remote { command } => {
            if let crate::cli::RemoteCommand::Status(remote) = command {
                flags.of_remotes(remote);
            }
        }
        Command::Cache { .. }
        | Command::Config { .. }
        | Command::Report { .. }
        | Command::Dkms { .. } => {}
    }
    flags
}

impl Flags {
    fn of_runs(&mut self, said: &RunArgs) {
        self.of_builds(&said.settings);
        self.of_remotes(&said.remote);
    }

    fn of_builds(&mut self, said: &BuildFlags) {
        self.jobs = said.jobs;
        self.timeout = said.timeout;
    }

    fn of_confs(&mut self, said: &ConfFlags) {
        self.conf_timeout = said.conf_timeout;
    }

    fn of_remotes(&mut self, said: &RemoteFlags) {
        self.remote_cache = said.remote_cache.clone();
        self.remote_upload =
            (said.remote_upload || said.no_remote_upload).then_some(said.remote_upload);
        self.remote_exec = said.remote_exec.clone();
        self.remote_jobs = said.remote_jobs;
        let properties = said.remote_platform.iter().cloned();
        self.remote_platform = (!said.remote_platform.is_empty())
            .then(|| Platform(properties.map(|NamedText(k, v)| (k, v)).collect()));
    }
}
