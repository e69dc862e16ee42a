//! Runs the kiln binary with `--json` and reads its summary.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

/// The binary under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_kiln");

/// A package for a kernel: the row and column of a cell.
pub(crate) type Cell = (String, String);

/// A run that came to an end.
pub(crate) struct Run {
    /// The exit code.
    pub(crate) exit: i32,
    /// The summary object.
    pub(crate) summary: Value,
    /// The most memory that kiln itself held, in bytes.
    pub(crate) peak_memory: u64,
}

impl Run {
    /// The cells of the summary.
    pub(crate) fn cells(&self) -> BTreeMap<Cell, &Value> {
        let cells = self.summary["cells"].as_array().expect("cells");
        cells
            .iter()
            .map(|cell| ((text(&cell["package"]), text(&cell["kernel"])), cell))
            .collect()
    }

    /// The digest of every output, by cell and path.
    pub(crate) fn digests(&self) -> BTreeMap<(Cell, String), String> {
        self.cells()
            .into_iter()
            .flat_map(|(cell, value)| {
                let outputs = value["outputs"].as_array().into_iter().flatten();
                outputs.map(move |output| {
                    (
                        (cell.clone(), text(&output["path"])),
                        text(&output["digest"]),
                    )
                })
            })
            .collect()
    }
}

/// A JSON string as text.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// `kiln build PACKAGES -k KERNELS --json` on a cache.
pub(crate) fn build(cache: &Path, packages: &[PathBuf], kernels: &[String]) -> Command {
    let mut command = Command::new(PROGRAM);
    arguments(&mut command, cache, packages, kernels);
    command
}

/// The arguments and environment of [`build`], for a command that starts kiln in its way.
pub(crate) fn arguments(
    command: &mut Command,
    cache: &Path,
    packages: &[PathBuf],
    kernels: &[String],
) {
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("KILN_CACHE", cache)
        .args(["build", "--json"])
        .args(packages)
        .args(kernels.iter().flat_map(|kernel| ["-k", kernel]))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

/// Runs it to its end, and watches its memory.
pub(crate) fn run(mut command: Command) -> Run {
    let child = command.spawn().expect("kiln starts");
    let watch = watch_memory(&child);
    let output = child.wait_with_output().unwrap();
    let peak_memory = watch.join().unwrap();
    Run {
        exit: output.status.code().expect("an exit code"),
        summary: summary(&output),
        peak_memory,
    }
}

fn summary(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let last = stdout.lines().last().unwrap_or_default();
    match serde_json::from_str::<Value>(last) {
        Ok(value) if value["event"] == "summary" => value,
        _ => panic!(
            "kiln ended with {} and no summary:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Looks at the peak that the kernel keeps for the process, until it is gone. What its
/// children hold is not in it.
fn watch_memory(child: &Child) -> thread::JoinHandle<u64> {
    let status = format!("/proc/{}/status", child.id());
    thread::spawn(move || {
        let mut peak = 0;
        while let Some(bytes) = fs::read_to_string(&status)
            .ok()
            .as_deref()
            .and_then(peak_of)
        {
            peak = bytes;
            thread::sleep(Duration::from_millis(5));
        }
        peak
    })
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// A temporary directory that every user can pass through.
pub(crate) fn open_directory() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("kiln-corpus-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in("/var/tmp")
        .unwrap()
}
