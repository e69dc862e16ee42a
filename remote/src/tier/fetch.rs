//! Fetching a record: asked for, believed, its objects downloaded, all of it verified, then published.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use kiln_cache::{ActionKey, ActionRecord, ObjectDigest, Publication, Store, StoreError};
use kiln_durable::regular;

use super::RemoteCache;
use super::wire::{RECORD, Synthetic};
use crate::blob::BlobDigest;
use crate::cas::Received;
use crate::error::RemoteError;
use crate::proto::reapi;
use crate::session::{Call, MESSAGE_LIMIT, Session};
use crate::signing::{Refusal, SignedRecord};
use reapi::action_cache_client::ActionCacheClient;

const GET: Call = Call::read("GetActionResult");

/// No envelope is larger, in bytes.
const ENVELOPE_LIMIT: u64 = 8 << 20;

/// So much is downloaded together with the envelope, before anybody has vouched for it.
const UNSEEN_LIMIT: u64 = 1 << 20;

/// Blobs that have come so far.
type Blobs = HashMap<BlobDigest, Received>;

/// What is downloaded before the record is believed.
#[derive(Clone, Copy)]
enum Extent {
    /// The signed record.
    Envelope,
    /// And the other blobs of the result, if they are small: it spares a round.
    WithSmall,
}

/// What a server has for a key.
struct Found {
    envelope: Vec<u8>,
    blobs: Blobs,
}

impl RemoteCache {
    pub(super) fn fetch_one(
        &self,
        key: &ActionKey,
        store: &Store,
    ) -> Result<Option<ActionRecord>, RemoteError> {
        self.counted(|| self.fetched(key, store))
    }

    pub(super) fn look_up_one(
        &self,
        key: &ActionKey,
        store: &Store,
    ) -> Result<Option<ActionRecord>, RemoteError> {
        self.counted(|| {
            let scratch = store.scratch("remote")?;
            let found = self.believed(key, Extent::Envelope, scratch.path())?;
            Ok(found.map(|(signed, _)| signed.record))
        })
    }

    fn counted(
        &self,
        ask: impl FnOnce() -> Result<Option<ActionRecord>, RemoteError>,
    ) -> Result<Option<ActionRecord>, RemoteError> {
        if let Some(cause) = self.session.breaker.tripped() {
            return Err(RemoteError::GaveUp(cause));
        }
        let counts = &self.session.counts;
        counts.lookups.add(1);
        let fetched = ask();
        match &fetched {
            Ok(Some(_)) => counts.hits.add(1),
            Ok(None) => counts.misses.add(1),
            Err(RemoteError::Refused { .. }) => counts.refused.add(1),
            Err(_) => {}
        }
        fetched
    }

    fn fetched(&self, key: &ActionKey, store: &Store) -> Result<Option<ActionRecord>, RemoteError> {
        let refused = |refusal| RemoteError::Refused { key: *key, refusal };
        let scratch = store.scratch("remote")?;
        let found = self.believed(key, Extent::WithSmall, scratch.path())?;
        let Some((signed, blobs)) = found else {
            return Ok(None);
        };
        let wanted = self.wanted(&signed, store)?;
        let lacking = wanted.iter().map(|object| signed.blobs[object]);
        let lacking = lacking.filter(|blob| !blobs.contains_key(blob));
        let more = self.session.download(lacking.collect(), scratch.path());
        let more = self.runtime.wait(more)?;

        let blob = |digest: &BlobDigest| more.get(digest).or_else(|| blobs.get(digest));
        match publish(&signed, wanted, blob, store)? {
            Published::Whole => Ok(Some(signed.record)),
            Published::Lacking => {
                self.session.counts.evicted.add(1);
                Ok(None)
            }
            Published::Refused(refusal) => Err(refused(refusal)),
        }
    }

    /// What the server has for a key, if the trust covers it.
    fn believed(
        &self,
        key: &ActionKey,
        extent: Extent,
        scratch: &Path,
    ) -> Result<Option<(SignedRecord, Blobs)>, RemoteError> {
        let found = find(&self.session, key, extent, scratch);
        let Some(found) = self.runtime.wait(found)? else {
            return Ok(None);
        };
        let signed = self.trust.verify(&found.envelope, key, now());
        let signed = signed.map_err(|refusal| RemoteError::Refused { key: *key, refusal })?;
        Ok(Some((signed, found.blobs)))
    }

    /// The objects of a record that the store does not have yet.
    fn wanted(
        &self,
        signed: &SignedRecord,
        store: &Store,
    ) -> Result<BTreeSet<ObjectDigest>, RemoteError> {
        let mut wanted = BTreeSet::new();
        for object in signed.record.objects() {
            let size = signed.blobs[&object].size;
            if !store.contains(&object) || store.verify_object(&object)? != Some(size) {
                wanted.insert(object);
            }
        }
        Ok(wanted)
    }
}

/// What became of a record that was downloaded.
#[derive(Debug, PartialEq, Eq)]
enum Published {
    /// It is in the store.
    Whole,
    /// An object is missing; nothing is in the store.
    Lacking,
    /// An object is not what it should be; nothing is in the store.
    Refused(Refusal),
}

/// Puts a record and those of its objects that are wanted into the store, or nothing.
fn publish<'b>(
    signed: &SignedRecord,
    wanted: BTreeSet<ObjectDigest>,
    blob: impl Fn(&BlobDigest) -> Option<&'b Received>,
    store: &Store,
) -> Result<Published, StoreError> {
    let mut publication = store.publication();
    for object in wanted {
        let Some(received) = blob(&signed.blobs[&object]) else {
            return Ok(Published::Lacking);
        };
        // The blob is what was signed. That it also is the object, nobody has checked but the signer.
        if put(&mut publication, received)? != object {
            return Ok(Published::Refused(Refusal::WrongContent { object }));
        }
    }
    publication.commit_with(&signed.record)?;
    Ok(Published::Whole)
}

fn put(publication: &mut Publication, received: &Received) -> Result<ObjectDigest, StoreError> {
    Ok(match received {
        Received::Memory(content) => publication.put_bytes(content)?,
        Received::File(file) => publication.put_file(file.path())?.0,
    })
}

/// Seconds since 1970. A clock before that makes every record one from the future.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// Asks for what a server has for a key.
async fn find(
    session: &Arc<Session>,
    key: &ActionKey,
    extent: Extent,
    scratch: &Path,
) -> Result<Option<Found>, RemoteError> {
    let refused = |refusal| RemoteError::Refused { key: *key, refusal };
    let message = reapi::GetActionResultRequest {
        instance_name: session.endpoint().instance().to_owned(),
        action_digest: Some(Synthetic::of(key).action.digest().to_proto()),
        inline_output_files: vec![RECORD.to_owned()],
        ..Default::default()
    };
    let answer = session.unary(GET, message, |channel, request| async move {
        let client = ActionCacheClient::new(channel);
        let mut client = client.max_decoding_message_size(MESSAGE_LIMIT);
        client.get_action_result(request).await
    });
    let result = match answer.await {
        Ok(result) => result,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let record = result.output_files.iter().find(|file| file.path == RECORD);
    let record = record.ok_or_else(|| refused(Refusal::Unsigned))?;
    if !record.contents.is_empty() {
        return Ok(Some(Found {
            envelope: record.contents.clone(),
            blobs: Blobs::new(),
        }));
    }
    let digest = BlobDigest::from_proto(record.digest.as_ref());
    let digest = digest.ok_or_else(|| refused(Refusal::Unsigned))?;
    if digest.size > ENVELOPE_LIMIT {
        return Err(refused(Refusal::TooLarge { size: digest.size }));
    }
    let unseen = match extent {
        Extent::Envelope => vec![digest],
        Extent::WithSmall => unseen(&result, digest),
    };
    let mut blobs = session.download(unseen, scratch).await?;
    let envelope = match blobs.remove(&digest) {
        Some(Received::Memory(envelope)) => envelope,
        Some(Received::File(file)) => {
            let read = regular::read_at_once(file.path(), ENVELOPE_LIMIT);
            read.map_err(|error| RemoteError::file(file.path(), error))?
        }
        None => {
            session.counts.evicted.add(1);
            return Ok(None);
        }
    };
    Ok(Some(Found { envelope, blobs }))
}

/// The envelope, and the other blobs of a result if they are small.
fn unseen(result: &reapi::ActionResult, envelope: BlobDigest) -> Vec<BlobDigest> {
    let files = result.output_files.iter().map(|file| file.digest.as_ref());
    let all = files.chain([result.stdout_digest.as_ref()]);
    let all: BTreeSet<BlobDigest> = all.filter_map(BlobDigest::from_proto).collect();
    let total = all
        .iter()
        .fold(0u64, |sum, blob| sum.saturating_add(blob.size));
    if total <= UNSEEN_LIMIT && all.len() <= 1000 {
        all.into_iter().collect()
    } else {
        vec![envelope]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kiln_cache::{ActionKind, Cost, Detail, KeyBuilder, Output, Status, Subject};

    use super::*;
    use crate::signing::SigningKey;

    /// A record whose signer says that its module is a blob with other content.
    #[test]
    fn an_object_is_what_the_record_says() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("cache")).unwrap();
        let (good, evil) = (b"module".as_slice(), b"evil!!".as_slice());
        let object = ObjectDigest::of(good);
        let mut key = KeyBuilder::new(ActionKind::Job);
        key.component("source", object, Detail::Opaque);
        let record = ActionRecord {
            key: key.finish().0,
            kind: ActionKind::Job,
            subject: Subject {
                name: "a".to_owned(),
                target: "b".to_owned(),
            },
            components: Vec::new(),
            status: Status::Success,
            outputs: vec![Output {
                path: "a.ko".to_owned(),
                object,
                size: 6,
                executable: false,
            }],
            log: None,
            note: BTreeMap::new(),
            cost: Cost::default(),
            created: 0,
        };
        let publish_as = |content: &[u8], received: &[u8]| {
            let blob = BlobDigest::of(content);
            let signed = SignedRecord {
                record: record.clone(),
                blobs: [(object, blob)].into(),
                key: SigningKey::generate().unwrap().id(),
                signed: 0,
            };
            let came: Blobs = [(
                BlobDigest::of(received),
                Received::Memory(received.to_vec()),
            )]
            .into();
            publish(&signed, [object].into(), |digest| came.get(digest), &store).unwrap()
        };
        let refusal = Refusal::WrongContent { object };
        assert_eq!(publish_as(evil, evil), Published::Refused(refusal));
        assert_eq!(publish_as(good, evil), Published::Lacking);
        assert!(store.lookup(&record.key).unwrap().is_none() && !store.contains(&object));
        assert_eq!(publish_as(good, good), Published::Whole);
        assert_eq!(
            store.lookup_verified(&record.key).unwrap(),
            Some(record.clone())
        );
    }
}
