//! Watches one command: has it traced, and keeps what it takes to make sense of the trace.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

use kiln_trace::{Trace, Tracing, Use};

use super::{
    Extent, audit,
    audit::Looked,
    extent::Part,
    hidden::{Finding, finding, neighbours},
};

/// A command that is being traced.
pub struct Onlooker {
    tracing: Tracing,
    extent: Extent,
    hidden: Arc<Mutex<BTreeSet<PathBuf>>>,
    listed: Arc<Mutex<BTreeSet<PathBuf>>>,
    looked: Arc<Mutex<BTreeSet<Looked>>>,
}

/// The traces of an action, whose commands see the same.
pub struct Traced {
    pub(super) traces: Vec<Trace>,
    pub(super) extent: Extent,
    /// Where the links lead that it had from the start.
    pub(super) links: Vec<PathBuf>,
    hidden: BTreeSet<PathBuf>,
    /// The source tree and the DKMS tree, where they were listed and not all in them was shown.
    listed: BTreeSet<PathBuf>,
    /// For an audit.
    pub(super) looked: BTreeSet<Looked>,
}

impl Onlooker {
    /// Has a command traced that runs in a sandbox; none if this machine cannot.
    pub fn on(command: &mut Command, extent: Extent) -> Option<Self> {
        let counts = extent.clone();
        let hidden = Arc::<Mutex<BTreeSet<PathBuf>>>::default();
        let missed = Arc::clone(&hidden);
        let listed = Arc::<Mutex<BTreeSet<PathBuf>>>::default();
        let lists = Arc::clone(&listed);
        let looked = Arc::<Mutex<BTreeSet<Looked>>>::default();
        let noted = Arc::clone(&looked);
        let tracing = kiln_trace::trace(command, move |process, usage, path: &[u8]| {
            let path = Path::new(OsStr::from_bytes(path));
            if counts.is_audited()
                && let Some(look) = audit::look(process, usage, path, &counts)
            {
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.insert(look);
            }
            let part = counts.part(path);
            let found = match part {
                Part::Counted => return true,
                Part::Bound => return false,
                // Its names are those of all packages.
                Part::Near if usage == Use::Open && counts.is_near(path) => {
                    let mut noted = lists.lock().unwrap_or_else(PoisonError::into_inner);
                    noted.insert(path.to_owned());
                    return counts.is_wide();
                }
                _ => finding(process, path, &counts),
            };
            if found == Finding::Hidden {
                let mut missed = missed.lock().unwrap_or_else(PoisonError::into_inner);
                missed.insert(path.to_owned());
            }
            found != Finding::Own && (part == Part::Near || counts.is_wide())
        });
        Some(Self {
            tracing: tracing.ok()?,
            extent,
            hidden,
            listed,
            looked,
        })
    }

    /// What was looked at, once the command has ended; `links` are the targets of those that it had.
    pub fn finish(self, links: Vec<PathBuf>) -> Traced {
        let Self {
            tracing,
            extent,
            hidden,
            listed,
            looked,
        } = self;
        let trace = tracing.finish();
        let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = std::mem::take(&mut *looked);
        let mut hidden = hidden.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hidden = std::mem::take(&mut *hidden);
        let mut listed = listed.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = std::mem::take(&mut *listed);
        let leads_out = |target: &&PathBuf| {
            let part = extent.part(target);
            let is_outside = matches!(part, Part::Near | Part::Elsewhere);
            is_outside && extent.host_path(target).exists()
        };
        hidden.extend(links.iter().filter(leads_out).cloned());
        Traced {
            traces: vec![trace],
            extent,
            links,
            hidden,
            listed,
            looked,
        }
    }
}

impl Traced {
    /// Adds what a later command of the same action looked at; what stays hidden is what that one did not see.
    #[must_use]
    pub fn extend(mut self, later: Self) -> Self {
        self.traces.extend(later.traces);
        self.links.extend(later.links);
        self.hidden = later.hidden;
        self.listed = later.listed;
        self.looked = later.looked;
        self
    }

    /// What this machine has, and what was looked for where the sandbox shows nothing.
    pub fn hidden(&self) -> &BTreeSet<PathBuf> {
        &self.hidden
    }

    /// Other packages of this machine that were looked for, and are not shown: all, for an action that has listed them
    /// and has to see what dkms would show it.
    pub fn neighbours(&self, has_to_see: bool) -> BTreeSet<PathBuf> {
        if !self.extent.has_neighbours() {
            return BTreeSet::new();
        }
        let mut found = neighbours(&self.hidden, &self.extent);
        found.extend(self.listed.iter().filter(|_| has_to_see).cloned());
        found
    }
}
