//! Uploading a record: its objects read now, the rest in the background.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use kiln_cache::{ActionRecord, ObjectDigest, Store};

use super::RemoteCache;
use super::fetch::now;
use super::wire::{Synthetic, result};
use crate::blob::Blob;
use crate::error::RemoteError;
use crate::proto::reapi;
use crate::session::{Call, Session};
use crate::signing::seal;
use reapi::action_cache_client::ActionCacheClient;

const UPDATE: Call = Call::write("UpdateActionResult");

/// So many records may be under way; each holds its objects' files open.
const UNDER_WAY: usize = 32;

/// Smaller objects are kept in memory rather than as open files, in bytes.
const SMALL: u64 = 64 << 10;

/// What became of uploads.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct PushSummary {
    /// Records that are there now.
    pub pushed: u64,
    /// Records that are not.
    pub failed: u64,
    /// Why the first of those is not.
    pub failure: Option<RemoteError>,
}

impl RemoteCache {
    pub(super) fn push_one(&self, record: &ActionRecord, store: &Store) -> Result<(), RemoteError> {
        let key = self.key.as_ref().ok_or(RemoteError::NoSigningKey)?;
        if let Some(cause) = self.session.gave_up() {
            self.session.counts.not_pushed.add(1);
            self.uploads.skipped(RemoteError::GaveUp(cause));
            return Ok(());
        }
        let distinct: BTreeSet<ObjectDigest> = record.objects().collect();
        let objects = distinct.into_iter();
        let objects = objects.map(|object| Ok((object, read(record, object, store)?)));
        let objects: BTreeMap<_, _> = objects.collect::<Result<_, RemoteError>>()?;
        let names: BTreeMap<_, _> = objects
            .iter()
            .map(|(object, blob)| (*object, blob.digest()))
            .collect();
        let envelope = Blob::bytes(seal(record, &names, key, now()));
        let upload = Upload {
            result: result(record, &names, envelope.digest()),
            synthetic: Synthetic::of(&record.key),
            blobs: objects.into_values().chain([envelope]).collect(),
        };
        let place = Place::take(&self.uploads);
        let session = Arc::clone(&self.session);
        self.runtime.spawn(async move {
            let done = upload.run(&session).await;
            let count = match done {
                Ok(()) => &session.counts.pushed,
                Err(_) => &session.counts.not_pushed,
            };
            count.add(1);
            place.give_back(done);
        });
        Ok(())
    }
}

fn read(record: &ActionRecord, object: ObjectDigest, store: &Store) -> Result<Blob, RemoteError> {
    let missing = || RemoteError::NoObject {
        key: record.key,
        object,
    };
    let unreadable = |error| RemoteError::file(&store.object_path(&object), error);
    let file = store.open_object(&object)?.ok_or_else(missing)?;
    if file.metadata().map_err(unreadable)?.len() > SMALL {
        return Blob::open(file).map_err(unreadable);
    }
    Ok(Blob::bytes(store.read(&object)?.ok_or_else(missing)?))
}

struct Upload {
    result: reapi::ActionResult,
    synthetic: Synthetic,
    blobs: Vec<Blob>,
}

impl Upload {
    async fn run(self, session: &Arc<Session>) -> Result<(), RemoteError> {
        let Synthetic {
            action,
            command,
            root,
        } = self.synthetic;
        if !session.server().await?.info.update {
            return Err(session.close(RemoteError::Forbidden {
                endpoint: session.endpoint().clone(),
                call: UPDATE.name,
                message: "it says that records cannot be written".to_owned(),
            }));
        }
        let message = reapi::UpdateActionResultRequest {
            instance_name: session.endpoint().instance().to_owned(),
            action_digest: Some(action.digest().to_proto()),
            action_result: Some(self.result),
            ..Default::default()
        };
        let blobs: Vec<Blob> = [action, command, root]
            .into_iter()
            .chain(self.blobs)
            .collect();
        session.provide(blobs.clone()).await?;
        let update = || {
            session.unary(UPDATE, message.clone(), |channel, request| async move {
                ActionCacheClient::new(channel)
                    .update_action_result(request)
                    .await
            })
        };
        match update().await {
            // A blob was collected between the question and this: the server says so in some way.
            Err(RemoteError::Rpc { .. }) => {
                session.provide(blobs).await?;
                update().await.map(drop)
            }
            done => done.map(drop),
        }
    }
}

/// What is under way, and what became of what was.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    summary: PushSummary,
}

impl Uploads {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, busy: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(self.state(), |state| busy(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn skipped(&self, cause: RemoteError) {
        self.state().summary.count(Err(cause));
    }

    /// Waits for all uploads, and takes what became of them.
    pub(super) fn finish(&self) -> PushSummary {
        mem::take(&mut self.wait_while(|state| state.under_way > 0).summary)
    }
}

impl PushSummary {
    fn count(&mut self, done: Result<(), RemoteError>) {
        match done {
            Ok(()) => self.pushed += 1,
            Err(error) => {
                self.failed += 1;
                self.failure.get_or_insert(error);
            }
        }
    }
}

/// One upload's place among those under way; given back also when the upload panics.
struct Place {
    uploads: Arc<Uploads>,
    done: Option<Result<(), RemoteError>>,
}

impl Place {
    fn take(uploads: &Arc<Uploads>) -> Self {
        let mut state = uploads.wait_while(|state| state.under_way >= UNDER_WAY);
        state.under_way += 1;
        drop(state);
        Self {
            uploads: Arc::clone(uploads),
            done: None,
        }
    }

    fn give_back(mut self, done: Result<(), RemoteError>) {
        self.done = Some(done);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.uploads.state();
        state.under_way -= 1;
        let done = self.done.take();
        state
            .summary
            .count(done.unwrap_or(Err(RemoteError::Cancelled)));
        drop(state);
        self.uploads.changed.notify_all();
    }
}
