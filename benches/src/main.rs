//! Compares kiln with the tools it stands beside, on real packages and kernels, and writes
//! the figures to docs/benchmarks.md.
//!
//! Each comparison is a file that returns a [`document::Section`]. Peers run back to back
//! in one process, so that what disturbs the machine disturbs both. A bar that is missed
//! is reported as missed, and does not end the run.

#![allow(clippy::disallowed_methods)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench reports on its outputs"
)]

mod casd;
mod ccache;
mod cold;
mod dkms;
mod document;
mod farm;
mod kiln;
mod machine;
mod measure;
mod memory;
mod options;
mod overhead;
mod peers;
mod remote;
mod scheduler;
mod shared;
mod simulation;
mod site;
mod source;
mod stats;
mod usage;
mod warm;
#[path = "../../remote/tests/engines/worker.rs"]
mod worker;

use std::{error::Error, process::ExitCode};

use clap::Parser;

use crate::{
    document::{Document, Section},
    options::{Comparison, Options},
    site::Site,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    dkms::enter()?;
    let site = Site::new(options)?;
    let mut document = Document::new(machine::describe(&site)?);
    let mut add = |section: Section| {
        println!("\n{section}");
        document.sections.push(section);
    };
    if options.wants(Comparison::Overhead) {
        add(overhead::compare(&site)?);
    }
    if options.wants(Comparison::Ccache) {
        add(ccache::compare(&site)?);
    }
    if options.wants(Comparison::Scheduler) {
        add(scheduler::measure(&site)?);
        add(simulation::measure(&site)?);
    }
    if options.wants(Comparison::Matrix) {
        let (cold, matrix) = cold::measure(&site)?;
        add(cold);
        add(warm::compare(&site, &matrix)?);
        add(memory::measure(&site, &matrix)?);
    }
    if options.wants(Comparison::Farm) {
        add(farm::measure(&site)?);
    }
    if options.wants(Comparison::Shared) {
        add(shared::measure(&site)?);
    }
    if options.wants(Comparison::Remote) {
        add(remote::compare(&site)?);
    }
    if options.wants(Comparison::Dkms) {
        add(dkms::compare(&site)?);
    }
    document.write(&site.output)?;
    println!("\nwritten to {}", site.output.display());
    Ok(())
}
