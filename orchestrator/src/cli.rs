//! The command line, as types.

use std::{ffi::OsString, num::NonZeroUsize, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use kiln_config::{Color, NamedText, Seconds, Server, Size, TimeLimit};

use crate::rebuild::Sample;

mod farm;

pub(crate) use farm::{AddKernelArgs, FarmArgs, FarmCommand, FarmPlanArgs, FarmRunArgs};

/// The text under `kiln --help`.
const EXIT_CODES: &str = "Exit codes: 0 all built, in the cache or excluded by their own conf; 1 some job failed; \
2 usage, or a configuration that is wrong; 3 the environment lacks something (headers, compiler, bash, make); 4 the cache cannot be used; 130 interrupted.";

/// Builds out-of-tree Linux kernel modules in parallel, from a content-addressed cache.
#[derive(Debug, Parser)]
#[command(name = "kiln", bin_name = "kiln", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Directory of the cache [env: KILN_CACHE] [default: /var/cache/kiln as root, else
    /// $XDG_CACHE_HOME/kiln]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// When to use colour [env: KILN_COLOR, NO_COLOR] [default: auto]
    #[arg(long, global = true, value_enum, value_name = "WHEN")]
    pub(crate) color: Option<Color>,
    /// Print only errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build packages for kernels
    Build(BuildArgs),
    /// Say why the next build is a hit or a miss
    Explain(CellArgs),
    /// Show the whole log of a job: that of the present inputs if it has run, else the newest
    Log(LogArgs),
    /// Build packages x kernels as a manifest states them, installed or not
    Farm {
        #[command(subcommand)]
        command: FarmCommand,
    },
    /// Look after the cache
    Cache {
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// Show and check the settings
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Make keys for a shared cache, and look whether servers can be used
    #[cfg(feature = "remote")]
    Remote {
        #[command(subcommand)]
        command: RemoteCommand,
    },
    /// Look at reports that `build --report` wrote
    Report {
        #[command(subcommand)]
        command: ReportCommand,
    },
    /// Do what dkms does: register, build, install and remove packages (see dkms(8))
    ///
    /// The same as calling this program by the name dkms.
    #[command(disable_help_flag = true)]
    Dkms {
        /// dkms's own command line
        #[arg(
            value_name = "ARGUMENT",
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        arguments: Vec<OsString>,
    },
}

/// What to build, and for which kernels.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// A directory with a dkms.conf; a .deb, .rpm or tarball that holds one; NAME or
    /// NAME/VERSION found in /usr/src or registered in /var/lib/dkms
    #[arg(value_name = "PACKAGE")]
    pub(crate) packages: Vec<String>,
    /// A kernel release, a glob over releases, a path to a kernel build tree; or header packages
    /// (.deb, .rpm) of kernels that are not installed, each with an option of its own
    #[arg(short, long = "kernel", value_name = "KERNEL")]
    pub(crate) kernels: Vec<String>,
    /// Build with the programs of the system in DIR (a debootstrap folder, an unpacked container
    /// image), and for the kernels in it, if they are named and have headers there
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) conf: ConfFlags,
}

/// Settings of the evaluation of dkms.conf.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfFlags {
    /// How long a dkms.conf may take to evaluate, in seconds [env: KILN_CONF_TIMEOUT] [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) conf_timeout: Option<Seconds>,
}

/// Settings of builds.
#[derive(Debug, Clone, Args)]
pub(crate) struct BuildFlags {
    /// Compile with at most N processes at once [env: KILN_JOBS] [default: the number of cores]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Stop a job after this many seconds; 0 for no limit [env: KILN_TIMEOUT] [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<TimeLimit>,
}

/// Settings of remote caches and engines.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Remote")]
pub(crate) struct RemoteFlags {
    /// Take results from a shared cache: grpc(s)://HOST[:PORT][/INSTANCE], or none
    /// [env: KILN_REMOTE_CACHE]
    #[arg(long, value_name = "URL")]
    pub(crate) remote_cache: Option<Server>,
    /// Put results into the shared cache [env: KILN_REMOTE_UPLOAD]
    #[arg(long, overrides_with = "no_remote_upload")]
    pub(crate) remote_upload: bool,
    /// Put nothing into the shared cache
    #[arg(long, overrides_with = "remote_upload")]
    pub(crate) no_remote_upload: bool,
    /// Run jobs on a remote execution engine, named as a shared cache is [env: KILN_REMOTE_EXEC]
    #[arg(long, value_name = "URL")]
    pub(crate) remote_exec: Option<Server>,
    /// Have at most N jobs there at once [env: KILN_REMOTE_JOBS] [default: 64]
    #[arg(long, value_name = "N")]
    pub(crate) remote_jobs: Option<NonZeroUsize>,
    /// A property that a worker must have; may be given again [env: KILN_REMOTE_PLATFORM]
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) remote_platform: Vec<NamedText>,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Build every package in /usr/src and /var/lib/dkms, each in its newest version
    #[arg(long, conflicts_with = "packages")]
    pub(crate) all: bool,
    /// Build for every kernel in /lib/modules that has headers
    #[arg(long, conflicts_with = "kernels")]
    pub(crate) all_kernels: bool,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// How a run goes, whatever is built in it.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// Put results into DIR/<kernel>/<arch>/<package>/<version>/
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: BuildFlags,
    /// Write a report into DIR: a page, a trace, JUnit XML and metrics
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Start nothing more after the first failure
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Build again what is known to fail
    #[arg(long)]
    pub(crate) retry_failed: bool,
    /// Build everything anew; results still go into the cache
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Build everything anew, and say what builds saw that is in no key; exits with 1 if there is anything
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) audit: bool,
    /// Print what would be done, and why
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Say for each job that has to be built what changed
    #[arg(long)]
    pub(crate) explain: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteFlags,
}

impl RunArgs {
    /// Whether outcomes in the cache count.
    pub(crate) fn use_cache(&self) -> bool {
        !self.no_cache && !self.audit
    }
}

#[cfg(feature = "remote")]
#[derive(Debug, Subcommand)]
pub(crate) enum RemoteCommand {
    /// Make an Ed25519 key pair: who uploads signs with one half, who downloads trusts the other
    Keygen {
        /// Where the private key goes; the file must not exist
        #[arg(value_name = "PRIVATE")]
        private: PathBuf,
        /// Where the public key goes; the file must not exist
        #[arg(value_name = "PUBLIC")]
        public: PathBuf,
    },
    /// Ask the servers that are set what they offer
    Status(RemoteFlags),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// Say what changed from one report to another; exits with 1 if something newly fails
    Compare {
        /// The earlier report: its directory, or its report.json
        #[arg(value_name = "BEFORE")]
        before: PathBuf,
        /// The later report
        #[arg(value_name = "AFTER")]
        after: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Write a page for a browser as well, in one file
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
}

/// A package and its kernels, for looking at.
#[derive(Debug, Args)]
pub(crate) struct CellArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub(crate) cells: CellArgs,
    /// Print control characters as they are in the log, which a terminal obeys
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Print where the cache is
    Path,
    /// Print what the cache holds
    Stats {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check every object and record
    Verify(VerifyArgs),
    /// Remove what was not used for longest
    Gc {
        /// Keep at most this much, for instance 10G [env: KILN_CACHE_MAX_SIZE]
        #[arg(long, value_name = "SIZE")]
        max_size: Option<Size>,
        /// Remove what was not used for this long, for instance 30d or 12h
        #[arg(long, value_name = "AGE", value_parser = parse_age)]
        older_than: Option<std::time::Duration>,
    },
}

/// How to check the cache.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Remove what is damaged or wrong
    #[arg(long)]
    pub(crate) repair: bool,
    /// Read all sources, kernels and programs again that are taken for unchanged by their times
    #[arg(long)]
    pub(crate) inputs: bool,
    /// Build some of the records anew and compare: a share of them such as 5%, or how many
    #[arg(long, value_name = "SHARE")]
    pub(crate) rebuild: Option<Sample>,
    /// Where else sources are than in /usr/src and /var/lib/dkms, as for kiln build
    #[arg(value_name = "PACKAGE", requires = "rebuild")]
    pub(crate) packages: Vec<String>,
    /// Which kernels there are besides those in /lib/modules, as for kiln build
    #[arg(short, long = "kernel", value_name = "KERNEL", requires = "rebuild")]
    pub(crate) kernels: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting, and where its value comes from
    Show(ConfigShowArgs),
    /// Print which files are read, the later over the earlier
    Path,
    /// Check all settings, or one file by itself, and the files that they name
    Check {
        /// A file as it would lie in /etc/kiln/config.toml
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// How to show settings; flags of other commands show what they would do.
#[derive(Debug, Args)]
pub(crate) struct ConfigShowArgs {
    #[command(flatten)]
    pub(crate) build: BuildFlags,
    #[command(flatten)]
    pub(crate) conf: ConfFlags,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteFlags,
}

/// Parses an age with a suffix s, m, h, d or w.
fn parse_age(text: &str) -> Result<std::time::Duration, String> {
    let number_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let seconds = match suffix {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(format!("{suffix:?} is no unit; use s, m, h, d or w")),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(seconds))
        .map(std::time::Duration::from_secs)
        .ok_or_else(|| "not an age".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_is_on_the_command_line() {
        fn has(command: &clap::Command, long: &str) -> bool {
            command
                .get_arguments()
                .any(|argument| argument.get_long() == Some(long))
                || command.get_subcommands().any(|inner| has(inner, long))
        }
        let cli = Cli::command();
        for flag in kiln_config::SETTINGS
            .iter()
            .filter_map(|setting| setting.flag)
        {
            assert!(has(&cli, flag.trim_start_matches("--")), "{flag}");
        }
    }

    #[test]
    fn ages() {
        assert_eq!(parse_age("30d").map(|d| d.as_secs()), Ok(2_592_000));
        assert!(parse_age("1y").is_err());
    }
}
