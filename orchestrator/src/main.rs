//! The `kiln` program.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    kiln::run(&kiln::cli::Cli::parse()).into()
}
