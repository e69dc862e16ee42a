//! Drives `dkms`, kiln's front end of that name, as users, packages and kernel hooks do.
//!
//! Each test has a [`machine::Machine`] of its own. What is expected is what dkms 3.4.3
//! does: run with KILN_TEST_DKMS=/path/to/a/dkms, all but `beyond` pass on it too.

#![allow(clippy::disallowed_methods)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests are tests too"
)]

#[path = "dkms/add.rs"]
mod add;
#[path = "dkms/archives.rs"]
mod archives;
#[path = "dkms/autoinstall.rs"]
mod autoinstall;
#[path = "dkms/bare.rs"]
mod bare;
#[path = "dkms/beyond/mod.rs"]
mod beyond;
#[path = "dkms/broken.rs"]
mod broken;
#[path = "dkms/build.rs"]
mod build;
#[path = "dkms/command_line.rs"]
mod command_line;
#[path = "dkms/compression.rs"]
mod compression;
#[path = "dkms/confs.rs"]
mod confs;
#[path = "dkms/dependencies.rs"]
mod dependencies;
#[path = "dkms/disks.rs"]
mod disks;
#[path = "dkms/distributions.rs"]
mod distributions;
#[path = "dkms/exclusive.rs"]
mod exclusive;
#[path = "dkms/foreign.rs"]
mod foreign;
#[path = "dkms/framework.rs"]
mod framework;
#[path = "dkms/in_the_way.rs"]
mod in_the_way;
#[path = "dkms/install.rs"]
mod install;
#[path = "dkms/kernel.rs"]
mod kernel;
#[path = "dkms/kernel_hooks.rs"]
mod kernel_hooks;
#[path = "dkms/large.rs"]
mod large;
#[path = "dkms/machine.rs"]
mod machine;
#[path = "dkms/matching.rs"]
mod matching;
#[path = "dkms/modules.rs"]
mod modules;
#[path = "dkms/originals.rs"]
mod originals;
#[path = "dkms/overrides.rs"]
mod overrides;
#[path = "dkms/pairs.rs"]
mod pairs;
#[path = "dkms/patches.rs"]
mod patches;
#[path = "dkms/rebuild.rs"]
mod rebuild;
#[path = "dkms/refusals.rs"]
mod refusals;
#[path = "dkms/remove.rs"]
mod remove;
#[path = "dkms/run.rs"]
mod run;
#[path = "dkms/scripts.rs"]
mod scripts;
#[path = "dkms/signing.rs"]
mod signing;
#[path = "dkms/source.rs"]
mod source;
#[path = "dkms/status.rs"]
mod status;
#[path = "dkms/trust.rs"]
mod trust;
#[path = "dkms/uninstall.rs"]
mod uninstall;
#[path = "dkms/versions.rs"]
mod versions;
#[path = "dkms/weak.rs"]
mod weak;
