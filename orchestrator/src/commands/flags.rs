//! What the command line says about settings, command by command.

use kiln_config::{Flags, NamedText, Platform};

use crate::cli::{
    BuildFlags, CacheCommand, CellArgs, Cli, Command, ConfFlags, ConfigCommand, FarmCommand,
    LogArgs, RemoteFlags, RunArgs,
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
            arguments.run.set(&mut flags);
            arguments.selection.conf.set(&mut flags);
        }
        Command::Farm { command } => match command {
            FarmCommand::Run(arguments) => {
                arguments.run.set(&mut flags);
                arguments.farm.conf.set(&mut flags);
            }
            FarmCommand::AddKernel(arguments) => {
                arguments.run.set(&mut flags);
                arguments.farm.conf.set(&mut flags);
            }
            FarmCommand::Plan(arguments) => {
                arguments.settings.set(&mut flags);
                arguments.farm.conf.set(&mut flags);
                arguments.remote.set(&mut flags);
            }
        },
        Command::Explain(CellArgs { selection })
        | Command::Log(LogArgs {
            cells: CellArgs { selection },
            ..
        }) => selection.conf.set(&mut flags),
        Command::Config {
            command: ConfigCommand::Show(arguments),
        } => {
            arguments.build.set(&mut flags);
            arguments.conf.set(&mut flags);
            arguments.remote.set(&mut flags);
        }
        Command::Cache {
            command: CacheCommand::Gc { max_size, .. },
        } => flags.max_size = *max_size,
        #[cfg(feature = "remote")]
        Command::Remote { command } => {
            if let crate::cli::RemoteCommand::Status(remote) = command {
                remote.set(&mut flags);
            }
        }
        Command::Cache { .. }
        | Command::Config { .. }
        | Command::Report { .. }
        | Command::Dkms { .. } => {}
    }
    flags
}

impl RunArgs {
    fn set(&self, flags: &mut Flags) {
        self.settings.set(flags);
        self.remote.set(flags);
    }
}

impl BuildFlags {
    fn set(&self, flags: &mut Flags) {
        flags.jobs = self.jobs;
        flags.timeout = self.timeout;
    }
}

impl ConfFlags {
    fn set(&self, flags: &mut Flags) {
        flags.conf_timeout = self.conf_timeout;
    }
}

impl RemoteFlags {
    fn set(&self, flags: &mut Flags) {
        flags.remote_cache = self.remote_cache.clone();
        flags.remote_upload =
            (self.remote_upload || self.no_remote_upload).then_some(self.remote_upload);
        flags.remote_exec = self.remote_exec.clone();
        flags.remote_jobs = self.remote_jobs;
        let properties = self.remote_platform.iter().cloned();
        flags.remote_platform = (!self.remote_platform.is_empty())
            .then(|| Platform(properties.map(|NamedText(k, v)| (k, v)).collect()));
    }
}
