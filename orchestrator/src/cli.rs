//! The command line, as types.

use std::{ffi::OsString, num::NonZeroUsize, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The text under `kiln --help`.
const EXIT_CODES: &str = "Exit codes: 0 all built, in the cache or excluded by their own conf; 1 some job failed; \
2 usage; 3 the environment lacks something (headers, compiler, bash, make); 4 the cache cannot be used; 130 interrupted.";

/// Builds out-of-tree Linux kernel modules in parallel, from a content-addressed cache.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Directory of the cache [default: /var/cache/kiln as root, else $XDG_CACHE_HOME/kiln]
    #[arg(long, global = true, env = "KILN_CACHE", value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
    /// Print only errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build packages for kernels
    Build(BuildArgs),
    /// Say why the next build is a hit or a miss
    Explain(CellArgs),
    /// Show the whole log of a job
    Log(CellArgs),
    /// Look after the cache
    Cache {
        #[command(subcommand)]
        command: CacheCommand,
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
    /// A kernel release, a glob over releases, or a path to a kernel build tree
    #[arg(short, long = "kernel", value_name = "KERNEL")]
    pub(crate) kernels: Vec<String>,
    /// How long a dkms.conf may take to evaluate, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) conf_timeout: u64,
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
    /// Put results into DIR/<kernel>/<arch>/<package>/<version>/
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Write a report into DIR: a page, a trace, JUnit XML and metrics
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Compile with at most N processes at once [default: the number of cores]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Start nothing more after the first failure
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Build again what is known to fail
    #[arg(long)]
    pub(crate) retry_failed: bool,
    /// Build everything anew; results still go into the cache
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Print what would be done, and why
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Say for each job that has to be built what changed
    #[arg(long)]
    pub(crate) explain: bool,
    /// Stop a job after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
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
    },
}

/// A package and its kernels, for looking at.
#[derive(Debug, Args)]
pub(crate) struct CellArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
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
    Verify {
        /// Remove what is damaged
        #[arg(long)]
        repair: bool,
    },
    /// Remove what was not used for longest
    Gc {
        /// Keep at most this much, for instance 10G
        #[arg(long, value_name = "SIZE", value_parser = parse_size)]
        max_size: Option<u64>,
        /// Remove what was not used for this long, for instance 30d or 12h
        #[arg(long, value_name = "AGE", value_parser = parse_age)]
        older_than: Option<std::time::Duration>,
    },
}

/// Parses a size with an optional suffix K, M, G or T (powers of 1024).
fn parse_size(text: &str) -> Result<u64, String> {
    let number_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let factor = match suffix.trim_end_matches("iB").trim_end_matches('B') {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1_u64 << 40,
        _ => return Err(format!("{suffix:?} is no unit; use K, M, G or T")),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "not a size".to_owned())
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
    fn sizes_and_ages() {
        assert_eq!(parse_size("10G"), Ok(10 << 30));
        assert_eq!(parse_size("512MiB"), Ok(512 << 20));
        assert!(parse_size("10X").is_err() && parse_size("G").is_err());
        assert_eq!(parse_age("30d").map(|d| d.as_secs()), Ok(2_592_000));
        assert!(parse_age("1y").is_err());
    }
}
