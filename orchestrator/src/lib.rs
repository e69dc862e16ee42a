//! kiln: builds out-of-tree Linux kernel modules.
//!
//! This crate is the kernel knowledge and the command line; the job graph is
//! `kiln-scheduler`'s and the store is `kiln-cache`'s. docs/ explains the whole.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod cli;
mod commands;
pub mod dkms;
mod error;
mod exit;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod inheritance;
mod rebuild;
mod report;
mod report_model;

pub use exit::Exit;

/// Runs the process's own command line, or says what is wrong with it; gives how the process ends.
pub fn run_command_line() -> std::process::ExitCode {
    match <cli::Cli as clap::Parser>::try_parse() {
        Ok(cli) => run(&cli),
        Err(error) => report::command_line(error),
    }
}

/// Runs a parsed command line and says how the process should end.
pub fn run(cli: &cli::Cli) -> std::process::ExitCode {
    commands::run(cli)
}
