//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Compares kiln with dkms, plain make and ccache on the packages of ./corpus.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// The binary to measure
    pub(crate) kiln: PathBuf,
    /// A few small packages and one repetition less of all: to try the bench itself
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only these comparisons
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Comparison>,
    /// Where the figures go [default: docs/benchmarks.md; not written with --quick or --only]
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
}

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Comparison {
    /// One package: kiln against plain make.
    Overhead,
    /// A warm ccache against a warm kiln.
    Ccache,
    /// The scheduler alone, and with a simulated engine.
    Scheduler,
    /// The matrix: cold, warm against dkms, memory.
    Matrix,
    /// A farm for kernels from their header packages.
    Farm,
    /// A cache that machines share.
    Shared,
    /// A remote execution engine, against this machine.
    Remote,
    /// kiln called as dkms, against dkms.
    Dkms,
}

impl Options {
    /// Whether a part is to be run.
    pub(crate) fn wants(&self, comparison: Comparison) -> bool {
        self.only.is_empty() || self.only.contains(&comparison)
    }

    /// The command as a user would type it.
    pub(crate) fn command(&self) -> String {
        let mut text = "cargo run --release -p kiln-benches -- target/release/kiln".to_owned();
        if self.quick {
            text.push_str(" --quick");
        }
        text
    }
}
