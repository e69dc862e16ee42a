//! Runs a command and says what it took: time by the clock, processor time of it and all
//! below it, and the most memory that it held itself.

use std::{
    fs,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Result, usage::cpu_of_children};

/// What a command took.
pub(crate) struct Measured {
    /// By the clock.
    pub(crate) wall: Duration,
    /// User and system, with all descendants that were waited for.
    pub(crate) cpu: Duration,
    /// Peak resident bytes of the process itself, without its children.
    pub(crate) peak_memory: u64,
    /// Status and output.
    pub(crate) output: Output,
}

/// Runs a command to its end. Nothing else may be reaped by this process meanwhile.
pub(crate) fn measure(command: &mut Command) -> Result<Measured> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let cpu = cpu_of_children()?;
    let start = Instant::now();
    let child = command
        .spawn()
        .map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
    let status = format!("/proc/{}/status", child.id());
    let watch = thread::spawn(move || {
        let mut peak = 0;
        while let Some(bytes) = fs::read_to_string(&status).ok().and_then(|s| peak_of(&s)) {
            peak = bytes;
            thread::sleep(Duration::from_millis(10));
        }
        peak
    });
    let output = child.wait_with_output()?;
    let wall = start.elapsed();
    let cpu = cpu_of_children()?.saturating_sub(cpu);
    let peak_memory = watch.join().map_err(|_| "the memory watch failed")?;
    Ok(Measured {
        wall,
        cpu,
        peak_memory,
        output,
    })
}

/// Runs a command that has to succeed.
pub(crate) fn checked(command: &mut Command) -> Result<Measured> {
    let measured = measure(command)?;
    if measured.output.status.success() {
        return Ok(measured);
    }
    Err(format!(
        "{command:?} ended with {}: {}",
        measured.output.status,
        String::from_utf8_lossy(&measured.output.stderr)
    )
    .into())
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
