//! `--rpm_safe_upgrade`: telling an upgrade by rpm from a removal.
//!
//! rpm runs the new package's scripts before the old one's. The shell of a script is dkms's
//! parent and rpm is that shell's; a process number and a start time name it.

use std::process::{Command, Stdio};

use kiln_durable::regular;

/// The process that runs the script which runs this program, with its start time.
pub(crate) fn caller_of_caller() -> Option<(String, String)> {
    let parent = rustix::process::getppid()?.as_raw_nonzero();
    let status = regular::text_of_system(format!("/proc/{parent}/status")).ok()?;
    let caller = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))?
        .trim()
        .to_owned();
    let output = Command::new("ps")
        .args(["-o", "lstart", "--no-headers", "-p", &caller])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let started = String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned();
    (!started.is_empty()).then_some((caller, started))
}
