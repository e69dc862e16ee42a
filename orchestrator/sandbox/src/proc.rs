//! What an action sees of `/proc` besides processes: nothing of this machine.
//!
//! Every entry that the machine's own `/proc` has, and that is not a process, is covered: by a fixed content where programs
//! commonly ask for one, else by an empty file or directory. So a build finds the same processors, memory, kernel
//! and boot everywhere, also where a newer kernel shows more.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::View;
use kiln_trace::{MEMORY, Machine, PROCESSORS};

/// Where the covers are, below a scratch directory's `run`.
const COVERS: &str = "proc";
const EMPTY_FILE: &str = "empty";
const EMPTY_DIRECTORY: &str = "none";

/// The name of the host, inside.
const NODE: &str = "kiln";

/// Which build of the kernel an action is told of.
const VERSION: &str = "#1";

/// What uname(2) answers an action.
pub fn machine(view: &View) -> Machine {
    Machine {
        node: NODE.to_owned(),
        release: view.release.clone(),
        version: VERSION.to_owned(),
        machine: view.arch.to_string(),
    }
}

/// Entries that speak of the asking process alone.
const OWN: [&str; 4] = ["self", "thread-self", "mounts", "net"];

/// Writes the covers for an action that is told of a kernel.
pub(super) fn write(run: &Path, release: &str) -> io::Result<()> {
    let covers = run.join(COVERS);
    fs::create_dir_all(covers.join(EMPTY_DIRECTORY))?;
    fs::write(covers.join(EMPTY_FILE), [])?;
    let processors = 0..PROCESSORS;
    let cpuinfo: String = processors
        .clone()
        .map(|number| format!("processor\t: {number}\nmodel name\t: kiln\nflags\t\t:\n\n"))
        .collect();
    let cpus: String = processors
        .map(|number| format!("cpu{number} 0 0 0 0 0 0 0 0 0 0\n"))
        .collect();
    let files = [
        ("cpuinfo", cpuinfo),
        ("stat", format!("cpu  0 0 0 0 0 0 0 0 0 0\n{cpus}")),
        (
            "meminfo",
            format!(
                "MemTotal:        {memory} kB\nMemFree:         {memory} kB\nMemAvailable:    {memory} kB\n",
                memory = MEMORY >> 10
            ),
        ),
        ("loadavg", "0.00 0.00 0.00 1/1 1\n".to_owned()),
        ("uptime", "1.00 1.00\n".to_owned()),
        (
            "version",
            format!("Linux version {release} (kiln@{NODE}) {VERSION}\n"),
        ),
        ("sys/kernel/osrelease", format!("{release}\n")),
        ("sys/kernel/ostype", "Linux\n".to_owned()),
        ("sys/kernel/hostname", format!("{NODE}\n")),
        ("sys/kernel/version", format!("{VERSION}\n")),
        ("sys/kernel/pid_max", "32768\n".to_owned()),
        ("sys/kernel/random/boot_id", format!("{NO_UUID}\n")),
    ];
    for (name, content) in files {
        let path = covers.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&covers))?;
        fs::write(path, content)?;
    }
    Ok(())
}

const NO_UUID: &str = "00000000-0000-0000-0000-000000000000";

/// Which cover goes over which entry of `/proc`: host path, path inside. Empty where none were written.
pub(super) fn covers(run: &Path) -> Vec<(PathBuf, PathBuf)> {
    let covers = run.join(COVERS);
    if !covers.is_dir() {
        return Vec::new();
    }
    let mut found: Vec<(PathBuf, PathBuf)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let text = name.to_str()?;
            if OWN.contains(&text) || text.starts_with(|c: char| c.is_ascii_digit()) {
                return None;
            }
            let is_directory = entry.file_type().ok()?.is_dir();
            let fixed = covers.join(&name);
            let cover = match (fixed.exists(), is_directory) {
                (true, _) => fixed,
                (false, true) => covers.join(EMPTY_DIRECTORY),
                (false, false) => covers.join(EMPTY_FILE),
            };
            Some((cover, Path::new("/proc").join(&name)))
        })
        .collect();
    found.sort_by(|(_, a), (_, b)| a.cmp(b));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_that_is_no_process_is_covered() {
        let run = tempfile::tempdir().unwrap();
        assert!(covers(run.path()).is_empty());
        write(run.path(), "6.1.0").unwrap();
        let found = covers(run.path());
        for name in ["cpuinfo", "sys", "cmdline", "kallsyms", "bus"] {
            let inside = Path::new("/proc").join(name);
            assert!(
                !inside.exists() || found.iter().any(|(_, path)| *path == inside),
                "{name}"
            );
        }
        for (cover, inside) in &found {
            assert_eq!(cover.is_dir(), inside.is_dir(), "{}", inside.display());
        }
        assert!(!found.iter().any(|(_, path)| path.ends_with("self")));
    }
}
