//! Runs kiln and reads its summary.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::{
    Result,
    measure::{Measured, measure},
    site::Site,
};

/// A run that came to an end.
pub(crate) struct Run {
    /// What it took.
    pub(crate) measured: Measured,
    /// The summary object.
    summary: Value,
}

impl Run {
    /// A number of the summary: `hits`, `built`, `failed`.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.summary[name].as_u64().unwrap_or(0)
    }

    /// All cells.
    pub(crate) fn jobs(&self) -> usize {
        self.cells().count()
    }

    fn cells(&self) -> impl Iterator<Item = &Value> {
        self.summary["cells"].as_array().into_iter().flatten()
    }

    /// The digest of every output, by package, kernel and path.
    pub(crate) fn digests(&self) -> BTreeMap<[String; 3], String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.cells()
            .flat_map(|cell| {
                let outputs = cell["outputs"].as_array().into_iter().flatten();
                outputs.map(move |output| {
                    let names = [&cell["package"], &cell["kernel"], &output["path"]];
                    (names.map(text), text(&output["digest"]))
                })
            })
            .collect()
    }

    /// How each job ended, by package and kernel: the digests of what came out, or that nothing did.
    /// That it was known already makes no difference.
    pub(crate) fn outcomes(&self) -> BTreeMap<[String; 2], Vec<String>> {
        let mut outcomes: BTreeMap<[String; 2], Vec<String>> = BTreeMap::new();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for cell in self.cells() {
            let result = match text(&cell["result"]) {
                result if result == "hit" => "built".to_owned(),
                result => result,
            };
            outcomes.insert(
                [text(&cell["package"]), text(&cell["kernel"])],
                vec![result],
            );
        }
        for ([package, kernel, path], digest) in self.digests() {
            let outcome = outcomes.entry([package, kernel]).or_default();
            outcome.push(format!("{path} {digest}"));
        }
        outcomes
    }

    /// How many jobs did not have to run: their outcome, success or failure, was known or fetched.
    pub(crate) fn known(&self) -> usize {
        let known = |cell: &&Value| cell["result"] == "hit" || cell["cached"] == true;
        self.cells().filter(known).count()
    }

    /// How many jobs ran on an engine: of those, nothing is known of their memory.
    pub(crate) fn on_an_engine(&self) -> usize {
        let there = |cell: &&Value| cell["cost"]["peak_memory_bytes"] == 0;
        self.cells().filter(there).count()
    }

    /// The size of everything that came out.
    pub(crate) fn output_bytes(&self) -> u64 {
        let outputs = self.cells().flat_map(|cell| cell["outputs"].as_array());
        let bytes = outputs
            .flatten()
            .map(|output| output["bytes"].as_u64().unwrap_or(0));
        bytes.sum()
    }

    /// What the records say that the jobs took.
    pub(crate) fn job_cpu(&self) -> Duration {
        let of_cell = |cell: &Value| cell["cost"]["cpu_ms"].as_u64().unwrap_or(0);
        Duration::from_millis(self.cells().map(of_cell).sum())
    }

    /// The jobs by the clock, one after the other.
    pub(crate) fn job_wall(&self) -> Duration {
        let of_cell = |cell: &Value| cell["cost"]["wall_ms"].as_u64().unwrap_or(0);
        Duration::from_millis(self.cells().map(of_cell).sum())
    }

    /// The longest job, by the clock.
    pub(crate) fn longest_job(&self) -> Duration {
        let of_cell = |cell: &Value| cell["cost"]["wall_ms"].as_u64().unwrap_or(0);
        Duration::from_millis(self.cells().map(of_cell).max().unwrap_or(0))
    }

    /// The labels of packages of which some cell has no result.
    pub(crate) fn incomplete(&self) -> BTreeSet<String> {
        self.cells()
            .filter(|cell| cell["outputs"].as_array().is_none_or(Vec::is_empty))
            .filter_map(|cell| Some(cell["package"].as_str()?.to_owned()))
            .collect()
    }
}

/// `kiln build PACKAGES -k KERNELS --json` on a cache.
pub(crate) fn command(
    site: &Site,
    cache: &Path,
    packages: &[PathBuf],
    kernels: &[String],
) -> Command {
    let mut command = Command::new(&site.kiln);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("KILN_CACHE", cache)
        .args(["build", "--json"])
        .args(packages)
        .args(kernels.iter().flat_map(|kernel| ["-k", kernel]));
    command
}

/// Runs it; a failed job is a result, a run without a summary is not.
pub(crate) fn run(command: &mut Command) -> Result<Run> {
    let measured = measure(command)?;
    let stdout = String::from_utf8_lossy(&measured.output.stdout);
    let last = stdout.lines().last().unwrap_or_default();
    let summary: Value = serde_json::from_str(last).unwrap_or_default();
    if summary["event"] != "summary" {
        return Err(format!(
            "kiln ended with {} and no summary: {}",
            measured.output.status,
            String::from_utf8_lossy(&measured.output.stderr)
        )
        .into());
    }
    Ok(Run { measured, summary })
}

/// How many things are not the same in both runs, or not in both.
pub(crate) fn differences<K: Ord, V: PartialEq>(a: &BTreeMap<K, V>, b: &BTreeMap<K, V>) -> usize {
    let missing = b.keys().filter(|key| !a.contains_key(*key)).count();
    let different = a.iter().filter(|(key, value)| b.get(*key) != Some(*value));
    missing + different.count()
}
