//! The audit: whether everything that an action saw of this machine is in its key.
//!
//! What a process finds at a path is asked of its own file system while it waits. Its own are what bubblewrap or kiln made
//! for it. The rest is bound from this machine, and some component has to cover it. So has what it looked for in vain where
//! files of the system are: it could be there.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use kiln_cache::Component;
use kiln_trace::{Use, by_name};

use super::{
    Extent, FoundKey, Traced,
    extent::{Part, inside},
};

/// What audits of one run found.
#[derive(Debug, Default)]
pub struct Audit {
    is_on: AtomicBool,
    findings: Mutex<BTreeSet<Finding>>,
}

/// Something that an action saw, and that is in no component of its key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Whose action: a package and a kernel.
    pub subject: String,
    /// The path, or why nobody can tell.
    pub what: String,
}

/// A path that an action looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Looked {
    path: PathBuf,
    usage: Use,
    /// Whether something was there.
    there: bool,
}

impl Audit {
    /// Has all actions audited from now on.
    pub fn enable(&self) {
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// Whether actions are audited.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// What was found.
    pub fn findings(&self) -> Vec<Finding> {
        let findings = self.findings.lock();
        let findings = findings.unwrap_or_else(PoisonError::into_inner);
        findings.iter().cloned().collect()
    }

    /// Judges an action that has ended.
    pub(crate) fn judge(&self, subject: &str, traced: Option<&Traced>, found: &FoundKey) {
        if !self.is_on() {
            return;
        }
        let mut whats: Vec<String> = Vec::new();
        match traced {
            Some(traced) => whats.extend(uncovered(traced, &found.key.components, &seen(found))),
            None => whats.push("it was not traced".to_owned()),
        }
        whats.extend(found.untraced.clone().filter(|_| traced.is_some()));
        let findings = self.findings.lock();
        let mut findings = findings.unwrap_or_else(PoisonError::into_inner);
        findings.extend(whats.into_iter().map(|what| Finding {
            subject: subject.to_owned(),
            what,
        }));
    }
}

/// Notes what a process finds at a path; nothing if that is its own affair.
pub(super) fn look(process: u32, usage: Use, path: &Path, extent: &Extent) -> Option<Looked> {
    let stat = |path: &Path| fs::symlink_metadata(inside(process, path)).ok();
    if !extent.is_inside(process) {
        return None;
    }
    let found = stat(path);
    // What is on the sandbox's own root bubblewrap has made: directories that lead somewhere, and links.
    let is_own = match (&found, stat(Path::new("/"))) {
        (Some(found), Some(root)) => found.dev() == root.dev(),
        _ => false,
    };
    (!is_own).then(|| Looked {
        path: path.to_owned(),
        usage,
        there: found.is_some(),
    })
}

/// The paths of the component that names the system's files.
fn seen(found: &FoundKey) -> BTreeSet<PathBuf> {
    let paths = found.key.seen_paths();
    let paths = paths.into_iter().flat_map(|seen| seen.paths());
    paths.map(|path| by_name(Path::new("/"), &path)).collect()
}

/// What was looked at, and is in no component.
fn uncovered<'t>(
    traced: &'t Traced,
    components: &'t [Component],
    seen: &'t BTreeSet<PathBuf>,
) -> impl Iterator<Item = String> + 't {
    let extent = &traced.extent;
    traced.looked().iter().filter_map(move |looked| {
        let path = &looked.path;
        let covered = match extent.part(path) {
            // It, or the first part of it that is not there.
            Part::Counted => path.ancestors().any(|part| match part == path {
                true => seen.contains(part),
                false => !looked.there && seen.contains(part),
            }),
            Part::Bound => extent.is_covered_by(path, components),
            // The covers themselves are bubblewrap's, and empty.
            Part::Near | Part::Elsewhere => {
                !looked.there || is_fixed(path) || extent.is_cover(path)
            }
        };
        (!covered).then(|| {
            let verb = match looked.usage {
                Use::Look => "looks for",
                Use::Open => "opens",
                Use::Execute => "executes",
                Use::Link => "links to",
            };
            format!("it {verb} {}", path.display())
        })
    })
}

/// What is the same on every machine: processes and what covers the rest of /proc, devices, and private directories.
fn is_fixed(path: &Path) -> bool {
    ["/proc", "/dev", "/tmp", "/var/tmp"]
        .iter()
        .any(|place| path.starts_with(place))
}
