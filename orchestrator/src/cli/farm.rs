//! The command line of `kiln farm`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kiln_farm::Shard;

use super::{BuildFlags, ConfFlags, RemoteFlags, RunArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum FarmCommand {
    /// Build everything that the manifest asks for
    Run(FarmRunArgs),
    /// Say what a run would do, how long it would take and what it would cost
    Plan(FarmPlanArgs),
    /// Add a kernel to the manifest, and build everything for it
    AddKernel(AddKernelArgs),
}

#[derive(Debug, Args)]
pub(crate) struct FarmRunArgs {
    /// The manifest
    #[arg(value_name = "MANIFEST", default_value = "farm.toml")]
    pub(crate) manifest: PathBuf,
    #[command(flatten)]
    pub(crate) farm: FarmArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What every command that builds for a farm understands.
#[derive(Debug, Args)]
pub(crate) struct FarmArgs {
    /// Build only the I-th of N parts of the matrix
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    #[command(flatten)]
    pub(crate) conf: ConfFlags,
}

#[derive(Debug, Args)]
pub(crate) struct FarmPlanArgs {
    /// The manifest
    #[arg(value_name = "MANIFEST", default_value = "farm.toml")]
    pub(crate) manifest: PathBuf,
    #[command(flatten)]
    pub(crate) farm: FarmArgs,
    #[command(flatten)]
    pub(crate) settings: BuildFlags,
    /// Plan to build again what is known to fail
    #[arg(long)]
    pub(crate) retry_failed: bool,
    /// Plan to build everything anew
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteFlags,
}

#[derive(Debug, Args)]
pub(crate) struct AddKernelArgs {
    /// The packages with a kernel's headers (.deb, .rpm), a kernel build tree, or the release
    /// of an installed kernel
    #[arg(value_name = "FILE", required = true)]
    pub(crate) kernels: Vec<String>,
    /// The manifest
    #[arg(long, value_name = "FILE", default_value = "farm.toml")]
    pub(crate) manifest: PathBuf,
    /// What rules of the matrix may call the kernel by
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A directory with the toolchain that builds for the kernel
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Add the kernel, and build nothing
    #[arg(long)]
    pub(crate) no_build: bool,
    #[command(flatten)]
    pub(crate) farm: FarmArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}
