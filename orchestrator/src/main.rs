//! The `kiln` program, which is also dkms when it is called so, and the compiler and make in a
//! sandbox.

use std::{env, process::ExitCode};

use clap::Parser;

fn main() -> ExitCode {
    let mut arguments = env::args_os();
    let program = arguments.next().unwrap_or_default();
    if kiln::probes::is_called_as_compiler() {
        return kiln::probes::answer_or_compile(&program, arguments.collect());
    }
    if kiln::sandbox::is_called_as_make() {
        return kiln::sandbox::make(&program, arguments.collect());
    }
    if kiln::dkms::is_called_as_dkms(&program) {
        return kiln::dkms::run(&program, arguments);
    }
    kiln::run(&kiln::cli::Cli::parse())
}
