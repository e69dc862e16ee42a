//! Stores a job's outcome: its results, its log, what its key was made of, and the record.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use kiln_cache::{ActionKind, ActionRecord, Cost, Output, Status, StoreError, Subject};
use kiln_scheduler::ProcessExit;

use super::{FIRST_ERROR_NOTE, FirstError, JobRunner, collect::Collected};
use crate::plan::{JobKey, JobSpec, unix_time};

impl JobRunner {
    #[allow(clippy::too_many_arguments, reason = "the parts of one record")]
    pub(super) fn store(
        &self,
        spec: &JobSpec,
        key: &JobKey,
        status: Status,
        collected: &Collected,
        log: &Path,
        exit: &ProcessExit,
        first: Option<FirstError>,
        mut note: BTreeMap<String, String>,
    ) -> Result<Arc<ActionRecord>, StoreError> {
        let store = &self.site.store;
        let mut publication = store.publication();
        for ingredient in &key.ingredients {
            if !store.contains(&ingredient.digest)
                && let Some(bytes) = ingredient.bytes()
            {
                publication.put_bytes(&bytes)?;
            }
        }
        let paths: Vec<PathBuf> = collected.iter().map(|(_, path)| path.clone()).collect();
        let outputs: Vec<Output> = publication
            .put_files(&paths)?
            .into_iter()
            .zip(collected)
            .map(|((object, size), (name, _))| Output {
                path: name.clone(),
                object,
                size,
                executable: false,
            })
            .collect();
        let (log, _) = publication.put_file(log)?;
        let first = first.and_then(|error| serde_json::to_string(&error).ok());
        note.extend(first.map(|json| (FIRST_ERROR_NOTE.to_owned(), json)));
        let record = ActionRecord {
            key: key.key,
            kind: ActionKind::Job,
            subject: Subject {
                name: spec.conf.package.to_string(),
                target: spec.kernel.tree.target(),
            },
            components: key.components.clone(),
            status,
            cost: Cost {
                wall: exit.wall,
                cpu: exit.usage.cpu_user + exit.usage.cpu_system,
                peak_memory: exit.usage.peak_rss,
                output_bytes: outputs.iter().map(|output| output.size).sum(),
            },
            outputs,
            log: Some(log),
            note,
            created: unix_time(),
        };
        publication.commit_with(&record)?;
        Ok(Arc::new(record))
    }
}
