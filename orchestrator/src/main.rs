//! The `kiln` program, which is also dkms when it is called so, the compiler and make in a sandbox,
//! and what watches over it.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let mut arguments = env::args_os();
    let program = arguments.next().unwrap_or_default();
    if kiln_build::probes::is_called_as_compiler() {
        return kiln_build::probes::answer_or_compile(&program, arguments.collect());
    }
    if kiln_sandbox::is_called_as_make() {
        return kiln_sandbox::make(&program, arguments.collect());
    }
    if kiln_sandbox::is_called_to_watch(&program) {
        return kiln_sandbox::watch(arguments);
    }
    kiln::inheritance::settle();
    kiln_sandbox::watch_with_this_program();
    kiln::inheritance::with_a_stack(move || {
        if kiln::dkms::is_called_as_dkms(&program) {
            return kiln::dkms::run(&program, env::args_os().skip(1));
        }
        kiln::run_command_line()
    })
}
