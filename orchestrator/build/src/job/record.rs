//! Stores a job's outcome: its results, its log, what its key was made of, and the record.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use kiln_cache::{ActionKind, ActionRecord, Cost, Output, Status, StoreError, Subject};
use kiln_scheduler::ProcessExit;

use super::{FIRST_ERROR_NOTE, FirstError, JobRunner, collect::Collected, doubt_of};
use crate::{
    keys::Keys,
    plan::{JobSpec, unix_time},
    sight::{FoundKey, remember},
};

/// The key under which a record's note says why its key names everything that is installed.
pub const UNTRACED_NOTE: &str = "untraced";

/// The key under which a failure's note says what the job looked for that is there, but that it could not see: paths, a
/// line each.
pub const HIDDEN_NOTE: &str = "hidden";

/// The key under which the note of a record says what kept the job from the machine that it ran on.
pub(super) const PROTECTION_NOTE: &str = "protection";

/// What is kept of a job that has ended.
pub(super) struct Outcome<'o> {
    pub(super) status: Status,
    pub(super) collected: &'o Collected,
    pub(super) log: &'o Path,
    pub(super) exit: &'o ProcessExit,
    pub(super) first: Option<FirstError>,
    /// What else the record's note is to say.
    pub(super) note: BTreeMap<String, String>,
}

impl JobRunner {
    /// Stores an outcome under its key, and the way there under the key of the trace.
    pub(super) fn store(
        &self,
        spec: &JobSpec,
        keys: &Keys,
        found: FoundKey,
        outcome: Outcome<'_>,
    ) -> Result<Arc<ActionRecord>, StoreError> {
        let store = &self.site.store;
        let FoundKey { key, untraced, .. } = &found;
        let mut publication = store.publication();
        key.put_ingredients(store, &mut publication)?;
        let paths: Vec<PathBuf> = outcome
            .collected
            .iter()
            .map(|(_, path)| path.clone())
            .collect();
        let outputs: Vec<Output> = publication
            .put_files(&paths)?
            .into_iter()
            .zip(outcome.collected)
            .map(|((object, size), (name, _))| Output {
                path: name.clone(),
                object,
                size,
                executable: false,
            })
            .collect();
        let (log, _) = publication.put_file(outcome.log)?;
        let first = outcome
            .first
            .and_then(|error| serde_json::to_string(&error).ok())
            .map(|json| (FIRST_ERROR_NOTE.to_owned(), json));
        let untraced = untraced.iter();
        let untraced = untraced.map(|reason| (UNTRACED_NOTE.to_owned(), reason.clone()));
        let exit = outcome.exit;
        let record = ActionRecord {
            key: key.key,
            kind: ActionKind::Job,
            subject: subject(spec),
            components: key.components.clone(),
            status: outcome.status,
            cost: Cost {
                wall: exit.wall,
                cpu: exit.usage.cpu_user + exit.usage.cpu_system,
                peak_memory: exit.usage.peak_rss,
                output_bytes: outputs.iter().map(|output| output.size).sum(),
            },
            outputs,
            log: Some(log),
            note: outcome
                .note
                .into_iter()
                .chain(first)
                .chain(untraced)
                .collect(),
            created: unix_time(),
        };
        publication.commit_with(&record)?;
        if doubt_of(&record).is_none() {
            self.offer(&record);
        }
        if let Some(trace) = remember(store, keys, &found, subject(spec))? {
            self.offer(&trace);
        }
        Ok(Arc::new(record))
    }

    fn offer(&self, record: &ActionRecord) {
        if let Some(shared) = &self.site.shared {
            shared.offer(record, &self.site.store);
        }
    }
}

pub(super) fn subject(spec: &JobSpec) -> Subject {
    Subject {
        name: spec.conf.package.to_string(),
        target: spec.kernel.tree.target(),
    }
}
