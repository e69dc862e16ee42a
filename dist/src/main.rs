//! Lays out what is installed of kiln, and packs it: `make install` and `make rpm` call this,
//! and `make deb` packs what it has laid out.
//!
//! What is installed where is in [`tree`]; how a file gets its content is none of its concern.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod elf;
mod family;
mod generated;
mod red_hat;
mod tree;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{family::Family, tree::Tree};

/// Lays out what is installed of kiln, and packs it
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copy everything below a directory
    Install {
        /// The directory that stands for /
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
        /// Where the program, its manual and its completions go
        #[arg(long, value_name = "DIR", default_value = "/usr")]
        prefix: PathBuf,
        /// Whose kernel hooks to install [default: what /etc/os-release says]
        #[arg(long, value_enum)]
        family: Option<Family>,
        /// The kiln program
        program: PathBuf,
    },
    /// Remove what `install` has copied
    Uninstall {
        /// The directory that stands for /
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
        /// Where it was installed
        #[arg(long, value_name = "DIR", default_value = "/usr")]
        prefix: PathBuf,
        /// Whose kernel hooks were installed [default: what /etc/os-release says]
        #[arg(long, value_enum)]
        family: Option<Family>,
    },
    /// Write an RPM package
    Rpm {
        /// The directory to write it to
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
        /// Seconds since the epoch that the package says it was made at
        #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH")]
        date: u32,
        /// The kiln program
        program: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a program says why it fails")]
            {
                eprintln!("kiln-dist: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Install {
            root,
            prefix,
            family,
            program,
        } => {
            let family = family.unwrap_or_else(Family::of_this_machine);
            Ok(Tree::new(family, &prefix, &program)?.copy_to(&root)?)
        }
        Command::Uninstall {
            root,
            prefix,
            family,
        } => {
            let family = family.unwrap_or_else(Family::of_this_machine);
            // The program's content does not matter for taking it away.
            Ok(Tree::new(family, &prefix, "/dev/null".as_ref())?.remove_from(&root)?)
        }
        Command::Rpm {
            output,
            date,
            program,
        } => {
            let path = red_hat::write(&program, date, &output)?;
            #[expect(clippy::print_stdout, reason = "make's user wants to know where it is")]
            {
                println!("{}", path.display());
            }
            Ok(())
        }
    }
}
