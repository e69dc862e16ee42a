//! Watches one command: has it traced, and keeps what it takes to make sense of the trace.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

use kiln_trace::{Judge, Trace, Tracing, Use};

use super::{
    Extent, audit,
    audit::Looked,
    extent::Part,
    hidden::{Finding, finding, neighbours, public},
    links::{OwnLink, followed},
};

/// A command that is being traced.
pub struct Onlooker {
    tracing: Tracing,
    extent: Extent,
    noted: Arc<Mutex<Noted>>,
}

/// What is noted of a command besides the paths that count.
#[derive(Default)]
struct Noted {
    /// What this machine has, and what was looked for where the sandbox shows nothing.
    hidden: BTreeSet<PathBuf>,
    /// The source tree and the DKMS tree, where they were listed and not all in them was shown.
    listed: BTreeSet<PathBuf>,
    /// Of an action that must not miss anything: what it looked for in trees of its own.
    own: BTreeSet<PathBuf>,
    /// For an audit: all that was looked up.
    looked: BTreeSet<Looked>,
}

/// The traces of an action, whose commands see the same.
pub struct Traced {
    pub(super) traces: Vec<Trace>,
    pub(super) extent: Extent,
    /// Where the links lead that it had from the start.
    pub(super) links: Vec<PathBuf>,
    noted: Noted,
}

impl Onlooker {
    /// Has a command traced that runs in a sandbox; none if this machine cannot.
    pub fn on(command: &mut Command, extent: Extent) -> Option<Self> {
        let noted = Arc::<Mutex<Noted>>::default();
        let machine = extent.machine().clone();
        let sight = Sight {
            extent: extent.clone(),
            noted: Arc::clone(&noted),
        };
        let tracing = kiln_trace::trace(command, machine, sight);
        Some(Self {
            tracing: tracing.ok()?,
            extent,
            noted,
        })
    }

    /// What was looked at, once the command has ended; `links` are the targets of those that it had: each counts,
    /// whether it was followed or not.
    pub fn finish(self, links: Vec<PathBuf>) -> Traced {
        self.end(|_| links)
    }

    /// The same for an action that must not miss anything: of the links that it had, those count that it followed.
    pub(crate) fn finish_following(self, links: &[OwnLink]) -> Traced {
        self.end(|noted| followed(&noted.own, links).into_iter().collect())
    }

    fn end(self, links: impl FnOnce(&Noted) -> Vec<PathBuf>) -> Traced {
        let Self {
            tracing,
            extent,
            noted,
        } = self;
        let trace = tracing.finish();
        let mut noted = std::mem::take(&mut *noted.lock().unwrap_or_else(PoisonError::into_inner));
        let mut links = links(&noted);
        let leads_out = |target: &&PathBuf| {
            let part = extent.part(target);
            let is_outside = matches!(part, Part::Near | Part::Elsewhere);
            is_outside && extent.host_path(target).exists()
        };
        noted.hidden.extend(links.iter().filter(leads_out).cloned());
        // What is nowhere counts where it counts that nothing is there.
        links.retain(|target| extent.holds(target) || extent.is_wide() && !leads_out(&target));
        Traced {
            traces: vec![trace],
            extent,
            links,
            noted,
        }
    }
}

/// Judges what a command looks at, while it runs.
struct Sight {
    extent: Extent,
    noted: Arc<Mutex<Noted>>,
}

impl Judge for Sight {
    fn counts(&self, process: u32, usage: Use, path: &[u8]) -> Option<bool> {
        let extent = &self.extent;
        let path = Path::new(OsStr::from_bytes(path));
        let note = || self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if extent.is_audited()
            && let Some(look) = audit::look(process, usage, path, extent)
        {
            note().looked.insert(look);
        }
        let part = extent.part(path);
        let found = match part {
            Part::Counted => return Some(true),
            Part::Bound => {
                if extent.is_wide() {
                    note().own.insert(path.to_owned());
                }
                return Some(false);
            }
            // Its names are those of all packages.
            Part::Near if usage == Use::Open && extent.is_near(path) => {
                note().listed.insert(path.to_owned());
                return Some(extent.is_wide());
            }
            _ => finding(process, path, extent),
        };
        if found == Finding::Hidden {
            note().hidden.insert(path.to_owned());
        }
        let is_inside = found != Finding::Outside;
        is_inside.then(|| found != Finding::Own && (part == Part::Near || extent.is_wide()))
    }

    fn makes_sandbox(&self, process: u32) -> bool {
        !self.extent.is_inside(process)
    }
}

impl Traced {
    /// Adds what a later command of the same action looked at, which was shown all that this one was, and more: what
    /// counts, and what stays hidden, is as that one saw it.
    #[must_use]
    pub fn extend(self, later: Self) -> Self {
        let mut whole = later;
        whole.traces.extend(self.traces);
        whole.links.extend(self.links);
        whole
    }

    /// What was looked up, where that is kept for an audit.
    pub(super) fn looked(&self) -> &BTreeSet<Looked> {
        &self.noted.looked
    }

    /// What this machine has, and what was looked for where the sandbox shows nothing.
    pub fn hidden(&self) -> &BTreeSet<PathBuf> {
        &self.noted.hidden
    }

    /// What of this machine was looked for, and can be shown: other packages, and all of them for an action that has
    /// listed the DKMS tree, or the source tree and has to see what dkms would show it; for one that must not miss
    /// anything, also what everybody may read.
    pub fn neighbours(&self, has_to_see: bool) -> BTreeSet<PathBuf> {
        if !self.extent.has_neighbours() {
            return BTreeSet::new();
        }
        // Whoever lists the source tree looks for a kernel's headers as a rule.
        let listed = self.noted.listed.iter().cloned();
        let listed = listed.filter(|path| has_to_see || !self.extent.is_source_tree(path));
        let mut found = neighbours(&self.noted.hidden, listed.collect(), &self.extent);
        if self.extent.is_wide() {
            found.extend(self.noted.hidden.iter().filter_map(|path| public(path)));
        }
        found
    }
}
