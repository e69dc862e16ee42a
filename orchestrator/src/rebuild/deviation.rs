//! In what an outcome differs from what its inputs make now.

use std::collections::BTreeMap;

use kiln_cache::{ActionRecord, ObjectDigest, Status, Store, StoreError};
use kiln_kernel::module::differing_sections;

/// One difference between a record and what was built anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deviation {
    /// The record is of a success, and it fails.
    Fails,
    /// The record is of a failure, and it succeeds.
    Succeeds,
    /// A file of the record is not made.
    NotMade {
        /// Its path.
        path: String,
    },
    /// A file is made that the record does not have.
    Made {
        /// Its path.
        path: String,
    },
    /// A file is made otherwise.
    Content {
        /// Its path.
        path: String,
        /// The sections that differ; none if it is no ELF file.
        sections: Option<Vec<String>>,
    },
}

/// An outcome, and the store that has what it made.
#[derive(Clone, Copy)]
pub(super) struct Made<'a> {
    pub(super) record: &'a ActionRecord,
    pub(super) store: &'a Store,
}

impl Made<'_> {
    fn files(&self) -> BTreeMap<&str, (ObjectDigest, bool)> {
        let outputs = self.record.outputs.iter();
        outputs
            .map(|output| (output.path.as_str(), (output.object, output.executable)))
            .collect()
    }
}

/// Compares what is stored with what was built anew. Logs are not compared: they tell times and places.
///
/// # Errors
/// Fails if one of the stores cannot be read.
pub(super) fn deviations(stored: Made<'_>, anew: Made<'_>) -> Result<Vec<Deviation>, StoreError> {
    match (&stored.record.status, &anew.record.status) {
        (Status::Success, Status::Success) => {}
        (Status::Failure { .. }, Status::Failure { .. }) => return Ok(Vec::new()),
        (Status::Success, Status::Failure { .. }) => return Ok(vec![Deviation::Fails]),
        (Status::Failure { .. }, Status::Success) => return Ok(vec![Deviation::Succeeds]),
    }
    let (before, after) = (stored.files(), anew.files());
    let mut found = Vec::new();
    for (&path, old) in &before {
        let path = path.to_owned();
        match after.get(path.as_str()) {
            Some(new) if new == old => {}
            Some(new) => {
                let read =
                    |store: &Store, digest| store.read(digest).map(Option::unwrap_or_default);
                let (one, other) = (read(stored.store, &old.0)?, read(anew.store, &new.0)?);
                let sections = differing_sections(&one, &other);
                found.push(Deviation::Content { path, sections });
            }
            None => found.push(Deviation::NotMade { path }),
        }
    }
    let more = after.keys().filter(|path| !before.contains_key(*path));
    found.extend(more.map(|path| Deviation::Made {
        path: (*path).to_owned(),
    }));
    Ok(found)
}
