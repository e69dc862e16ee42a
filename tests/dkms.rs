//! Drives `dkms`, kiln's front end of that name, as users, packages and kernel hooks do.
//!
//! Each test has a [`machine::Machine`] of its own. What is expected is what dkms 3.4.3
//! does: run with KILN_TEST_DKMS=/path/to/a/dkms, all but `beyond` pass on it too.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests are tests too"
)]

#[path = "dkms/add.rs"]
mod add;
#[path = "dkms/autoinstall.rs"]
mod autoinstall;
#[path = "dkms/build.rs"]
mod build;
#[path = "dkms/command_line.rs"]
mod command_line;
#[path = "dkms/dependencies.rs"]
mod dependencies;
#[path = "dkms/install.rs"]
mod install;
#[path = "dkms/kernel.rs"]
mod kernel;
#[path = "dkms/machine.rs"]
mod machine;
#[path = "dkms/modules.rs"]
mod modules;
#[path = "dkms/originals.rs"]
mod originals;
#[path = "dkms/remove.rs"]
mod remove;
#[path = "dkms/run.rs"]
mod run;
#[path = "dkms/source.rs"]
mod source;
#[path = "dkms/status.rs"]
mod status;
#[path = "dkms/uninstall.rs"]
mod uninstall;
#[path = "dkms/versions.rs"]
mod versions;
