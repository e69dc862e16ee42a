//! One package for one kernel, and all that is known about it. Times are in milliseconds; those of one
//! run count from its start.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Outcome;

/// What became of one package for one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The package's name.
    pub package: String,
    /// Its version; empty where it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
    /// Its architecture.
    pub arch: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why there are no results, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The first real error of a failed build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_error: Option<FirstError>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The cell that blocks it, by its place in [`crate::Run::cells`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<usize>,
    /// The key of its action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Why it was not in the cache, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How [`crate::LogSource`] knows its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// When it ran in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// Where it ran in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
    /// What it did while it ran, in order, without overlap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// What building it took, in this run or when it was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// The files that it made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
    /// The cells that it builds on, by their places in [`crate::Run::cells`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<usize>,
}

impl Cell {
    /// A cell of which only the outcome is known.
    pub fn new(
        package: impl Into<String>,
        version: impl Into<String>,
        kernel: impl Into<String>,
        arch: impl Into<String>,
        outcome: Outcome,
    ) -> Self {
        Self {
            package: package.into(),
            version: version.into(),
            kernel: kernel.into(),
            arch: arch.into(),
            outcome,
            cause: None,
            first_error: None,
            hint: None,
            blocked_by: None,
            key: None,
            why: None,
            log: None,
            span: None,
            lane: None,
            phases: Vec::new(),
            cost: None,
            outputs: Vec::new(),
            dependencies: Vec::new(),
        }
    }

    /// The package with its version, as a row is called.
    #[must_use]
    pub fn label(&self) -> String {
        if self.version.is_empty() {
            self.package.clone()
        } else {
            format!("{}/{}", self.package, self.version)
        }
    }

    /// Why there are no results, in one line: the first error, else the cause.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let first = self.first_error.as_ref().map(ToString::to_string);
        first.or_else(|| self.cause.clone())
    }
}

/// The first real error of a failed build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstError {
    /// The source file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for FirstError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: {}", self.message),
            (Some(file), None) => write!(f, "{file}: {}", self.message),
            _ => f.write_str(&self.message),
        }
    }
}

/// A stretch of the run, in milliseconds from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its start.
    pub start_ms: u64,
    /// Its end, not before its start.
    pub end_ms: u64,
}

impl Span {
    /// Its length in milliseconds.
    #[must_use]
    pub fn length(self) -> u64 {
        self.end_ms.saturating_sub(self.start_ms)
    }
}

/// A named part of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// In the job's own words.
    pub name: String,
    /// When.
    #[serde(flatten)]
    pub span: Span,
}

/// On which side a job ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On this machine.
    Local,
    /// On a remote worker.
    Remote,
}

/// One of the slots in which jobs run, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// The side.
    pub place: Place,
    /// Which of its slots, from 0.
    pub slot: u32,
}

/// What building a cell took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// From start to end.
    pub wall_ms: u64,
    /// User and system time of all processes.
    pub cpu_ms: u64,
    /// The largest resident set, in bytes.
    pub peak_memory_bytes: u64,
}

/// A file that a cell made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its path among the results.
    pub path: String,
    /// The digest of its content.
    pub digest: String,
    /// Its length.
    pub bytes: u64,
}
