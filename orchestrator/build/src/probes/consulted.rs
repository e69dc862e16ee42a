//! Which answers a job was given, for its record: should one turn out to be wrong, what was built with it can be found.

use std::collections::{BTreeMap, BTreeSet};

use kiln_cache::ActionRecord;

use super::Desk;
#[cfg(feature = "remote")]
use super::Sheet;

/// The key under which a record's note holds the answers that its job was given.
pub(super) const NOTE: &str = "probe answers";

/// Whether a record's job was given answers.
pub fn has_answers(record: &ActionRecord) -> bool {
    record.note.contains_key(NOTE)
}

/// Where a job's probes are answered.
pub enum Consulted {
    /// By the compiler only.
    Nothing,
    /// At a socket of its own.
    Desk(Desk),
    /// From what it takes with it.
    #[cfg(feature = "remote")]
    Sheet(Sheet),
}

impl Consulted {
    /// What goes into the note of the job's record; nothing if nothing was answered.
    pub(crate) fn note(&self) -> BTreeMap<String, String> {
        let given: BTreeSet<String> = match self {
            Self::Nothing => BTreeSet::new(),
            Self::Desk(desk) => desk.given(),
            #[cfg(feature = "remote")]
            Self::Sheet(sheet) => sheet.given.iter().cloned().collect(),
        };
        let lines: Vec<String> = given.into_iter().collect();
        let note = (!lines.is_empty()).then(|| (NOTE.to_owned(), lines.join(" ")));
        note.into_iter().collect()
    }
}
