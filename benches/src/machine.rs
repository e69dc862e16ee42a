//! What the figures were taken on: machine, system, versions, load, date.

use std::{fs, process::Command};

use crate::{Result, site::Site};

/// Names and values, in the order in which they are shown.
pub(crate) fn describe(site: &Site) -> Result<Vec<(String, String)>> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let load: Vec<&str> = load.split(' ').take(2).collect();
    let memory = field("/proc/meminfo", "MemTotal:");
    let about = [
        (
            "command",
            format!("`make bench`, which runs `{}`", site.command),
        ),
        ("date", first_line("date", &["-u", "+%F %H:%M UTC"])),
        (
            "processor",
            format!(
                "{}, {} cores",
                field("/proc/cpuinfo", "model name"),
                site.cores
            ),
        ),
        ("memory", memory),
        (
            "system",
            field("/etc/os-release", "PRETTY_NAME")
                .trim_matches('"')
                .to_owned(),
        ),
        ("running kernel", first_line("uname", &["-r"])),
        (
            "load before",
            format!(
                "{} (1 min), {} (5 min)",
                load[0],
                load.get(1).unwrap_or(&"")
            ),
        ),
        (
            "kiln",
            first_line(&site.kiln.to_string_lossy(), &["--version"]),
        ),
        ("commit", commit(site)),
        ("dkms", first_line("dkms", &["--version"])),
        ("compiler", first_line("gcc", &["--version"])),
        ("make", first_line("make", &["--version"])),
        ("sandbox", first_line("bwrap", &["--version"])),
        ("kernels built for", site.kernels.join(", ")),
    ];
    Ok(about.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

/// The first line that a program prints, or that it is not there.
pub(crate) fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    match text.as_deref().map(str::lines) {
        Ok(mut lines) => lines.next().unwrap_or("unknown").trim().to_owned(),
        Err(_) => "not installed".to_owned(),
    }
}

fn commit(site: &Site) -> String {
    let root = site.root.to_string_lossy();
    let revision = ["-C", &root, "describe", "--always", "--dirty"];
    first_line("git", &revision)
}

/// What follows `name` on its line of a file, after a colon or an equals sign.
fn field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or("unknown")
        .trim_start_matches(|c: char| c.is_whitespace() || c == ':' || c == '=')
        .to_owned()
}
