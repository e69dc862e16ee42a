//! What a job looked at while it ran, as the last part of its key.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};

use kiln_cache::{EntryKind, Manifest};
use kiln_trace::{Trace, Tracing};

use super::{Abort, JobRunner, judge::Ran};
use crate::{
    plan::{JobKey, JobKeys, JobSpec},
    sandbox::{Isolation, View},
    sight::{Extent, Looker, Seen, SeenError, Since},
    toolbox::SystemRoot,
};

/// A job that is being traced.
pub(super) struct Onlooker {
    tracing: Tracing,
    extent: Extent,
    since: Since,
}

/// A job's trace, and what it takes to make sense of it.
pub(super) struct Traced {
    trace: Trace,
    extent: Extent,
    since: Since,
    /// Where the links lead that it had from the start.
    links: Vec<PathBuf>,
}

/// Under which key an outcome belongs.
pub(super) struct FoundKey {
    /// The key.
    pub(super) key: JobKey,
    /// Why it names everything that is installed, if it does.
    pub(super) untraced: Option<String>,
}

impl JobRunner {
    /// Has a command traced, where there are namespaces to tell its files from others.
    pub(super) fn look_on(
        &self,
        command: &mut Command,
        spec: &JobSpec,
        view: &View,
    ) -> Option<Onlooker> {
        if self.site.isolation != Isolation::Bubblewrap {
            return None;
        }
        let extent = Extent::new(&spec.layout, view, &spec.kernel.system);
        let counts = extent.clone();
        let tracing = kiln_trace::trace(command, move |path: &[u8]| {
            counts.holds(Path::new(std::ffi::OsStr::from_bytes(path)))
        });
        Some(Onlooker {
            tracing: tracing.ok()?,
            extent,
            since: Since::now(),
        })
    }

    /// The key that a job's outcome belongs under.
    pub(super) fn found_key(
        &self,
        keys: &JobKeys,
        system: &SystemRoot,
        ran: &Ran,
    ) -> Result<FoundKey, Abort> {
        let whole = |reason: String| FoundKey {
            key: keys.whole.clone(),
            untraced: Some(reason),
        };
        let Some(traced) = &ran.traced else {
            return Ok(whole("it was not traced".to_owned()));
        };
        let files = &self.site.system_files;
        let mut looker = Looker::since(system.clone(), files, traced.since);
        let seen = Seen::of(&traced.trace, &traced.links, &traced.extent, &mut looker);
        let component = match seen {
            Ok(seen) => seen.component(&mut looker).map_err(SeenError::from),
            Err(error) => Err(error),
        };
        if let Some(moved) = looker.moved() {
            return Err(Abort::InputChanged {
                path: moved.path.clone(),
            });
        }
        if !traced.since.clock_ran() {
            return Err(Abort::InputChanged {
                path: PathBuf::from("the clock"),
            });
        }
        match component {
            Ok(component) => Ok(FoundKey {
                key: keys.trace.with_seen(component),
                untraced: None,
            }),
            Err(SeenError::Scan(error)) => Err(Abort::Io {
                path: PathBuf::from("/usr"),
                source: std::io::Error::other(error),
            }),
            Err(error) => Ok(whole(error.to_string())),
        }
    }
}

impl Onlooker {
    /// What was looked at, once the job has ended.
    pub(super) fn finish(self, links: Vec<PathBuf>) -> Traced {
        Traced {
            trace: self.tracing.finish(),
            extent: self.extent,
            since: self.since,
            links,
        }
    }
}

/// Where the links of a tree lead, as absolute paths by name, if the tree is at `place`.
pub(super) fn targets(manifest: &Manifest, place: &Path) -> Vec<PathBuf> {
    let entries = manifest.entries().iter();
    entries
        .filter_map(|entry| match &entry.kind {
            EntryKind::Symlink { target } => Some((&entry.path, target)),
            _ => None,
        })
        .map(|(path, target)| {
            let link = place.join(std::ffi::OsStr::from_bytes(path));
            let target = Path::new(std::ffi::OsStr::from_bytes(target));
            kiln_trace::by_name(link.parent().unwrap_or(place), target)
        })
        .collect()
}
