//! A server that would have a wrong module installed: it makes the client build, and no more.

use kiln_cache::ActionRecord;
use kiln_remote::{Refusal, RemoteCache, RemoteError, SigningKey};

use crate::casd::Casd;
use crate::raw::{Raw, envelope};
use crate::site::{Site, action, options, reader, upload, writer};

struct Stage {
    casd: Casd,
    raw: Raw,
    here: Site,
    there: Site,
    key: SigningKey,
    record: ActionRecord,
    reader: RemoteCache,
}

/// A good record on a server, and somebody who wants it.
fn stage() -> Stage {
    let casd = Casd::start();
    let here = Site::new();
    let key = SigningKey::generate().unwrap();
    let options = options(&casd.endpoint());
    let record = here.record("bbswitch", 9_000);
    upload(
        &writer(&options, &key),
        &here,
        std::slice::from_ref(&record),
    );
    Stage {
        raw: Raw::connect(casd.port()),
        reader: reader(&options, &key),
        there: Site::new(),
        casd,
        here,
        key,
        record,
    }
}

impl Stage {
    fn refusal(&self) -> Refusal {
        let error = self.reader.fetch(&self.record.key, &self.there.store);
        let RemoteError::Refused { key, refusal } = error.unwrap_err() else {
            panic!("not refused");
        };
        assert_eq!(key, self.record.key);
        assert!(self.there.has_nothing_of(&self.record));
        assert_eq!(self.reader.statistics().refused, 1);
        // One bad record says nothing about the others.
        assert!(self.reader.gave_up().is_none());
        refusal
    }

    /// Replaces the signed record on the server.
    fn replace_envelope(&self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let mut result = self.raw.result(&self.record.key).unwrap();
        let file = envelope(&mut result);
        let changed = change(self.raw.read(file.digest.as_ref().unwrap()));
        file.digest = Some(self.raw.put(&changed));
        self.raw.set_result(&self.record.key, result);
    }
}

#[test]
fn the_stage_is_set() {
    let stage = stage();
    let fetched = stage.reader.fetch(&stage.record.key, &stage.there.store);
    assert_eq!(fetched.unwrap(), Some(stage.record));
}

#[test]
fn an_unsigned_record_is_refused() {
    let stage = stage();
    let bare = stage.record.to_bytes();
    stage.replace_envelope(|_| bare);
    assert_eq!(stage.refusal(), Refusal::Unsigned);
}

#[test]
fn a_result_without_a_record_is_refused() {
    let stage = stage();
    let mut result = stage.raw.result(&stage.record.key).unwrap();
    result
        .output_files
        .retain(|file| file.path != ".kiln/record");
    stage.raw.set_result(&stage.record.key, result);
    assert_eq!(stage.refusal(), Refusal::Unsigned);
}

#[test]
fn a_wrongly_signed_record_is_refused() {
    let stage = stage();
    let id = stage.key.id();
    stage.replace_envelope(|mut bytes| {
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    });
    assert_eq!(stage.refusal(), Refusal::BadSignature { id });
}

#[test]
fn a_record_signed_by_somebody_else_is_refused() {
    let stage = stage();
    let other = SigningKey::generate().unwrap();
    let other_writer = writer(&options(&stage.casd.endpoint()), &other);
    upload(
        &other_writer,
        &stage.here,
        std::slice::from_ref(&stage.record),
    );
    assert_eq!(stage.refusal(), Refusal::UnknownKey { id: other.id() });
}

#[test]
fn a_changed_record_is_refused() {
    let stage = stage();
    let id = stage.key.id();
    stage.replace_envelope(|mut bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    });
    assert_eq!(stage.refusal(), Refusal::BadSignature { id });
}

#[test]
fn a_truncated_record_is_refused() {
    let stage = stage();
    let id = stage.key.id();
    stage.replace_envelope(|mut bytes| {
        bytes.truncate(bytes.len() - 1);
        bytes
    });
    assert_eq!(stage.refusal(), Refusal::BadSignature { id });
}

/// A good record of one action, given as the answer for another.
#[test]
fn a_replayed_record_is_refused() {
    let stage = stage();
    let options = options(&stage.casd.endpoint());
    let old = stage.here.record("bbswitch-with-a-hole", 9_000);
    upload(
        &writer(&options, &stage.key),
        &stage.here,
        std::slice::from_ref(&old),
    );
    let result = stage.raw.result(&old.key).unwrap();
    stage.raw.set_result(&stage.record.key, result);
    let found = action("bbswitch-with-a-hole");
    assert_eq!(stage.refusal(), Refusal::OtherKey { found });
}

/// The result names another module than the record: what was signed counts.
#[test]
fn a_swapped_module_is_not_taken() {
    let stage = stage();
    let mut result = stage.raw.result(&stage.record.key).unwrap();
    let module = result.output_files.last_mut().unwrap();
    module.digest = Some(stage.raw.put(b"another module"));
    stage.raw.set_result(&stage.record.key, result);
    let fetched = stage.reader.fetch(&stage.record.key, &stage.there.store);
    assert_eq!(fetched.unwrap().as_ref(), Some(&stage.record));
    assert!(stage.there.has(&stage.record));
}

/// The server gives something else for a digest.
fn damaged(size: usize, damage: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let mut stage = stage();
    let options = options(&stage.casd.endpoint());
    stage.record = stage.here.record("damaged", size);
    upload(
        &writer(&options, &stage.key),
        &stage.here,
        std::slice::from_ref(&stage.record),
    );
    let result = stage.raw.result(&stage.record.key).unwrap();
    let module = result.output_files.last().unwrap().digest.clone().unwrap();
    let content = stage
        .here
        .store
        .read(&stage.record.outputs[0].object)
        .unwrap();
    stage.casd.damage(&module.hash, &damage(content.unwrap()));
    let fetched = stage.reader.fetch(&stage.record.key, &stage.there.store);
    // casd itself may notice that the size is wrong, and say that there is no such blob.
    match fetched {
        Err(RemoteError::WrongBlob { digest, .. }) => assert_eq!(digest.hash(), module.hash),
        Ok(None) | Err(RemoteError::Rpc { .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(stage.there.has_nothing_of(&stage.record));
}

fn flip(mut content: Vec<u8>) -> Vec<u8> {
    let middle = content.len() / 2;
    content[middle] ^= 1;
    content
}

fn cut(mut content: Vec<u8>) -> Vec<u8> {
    content.truncate(content.len() / 2);
    content
}

#[test]
fn a_swapped_blob_is_not_taken() {
    damaged(9_000, flip);
}

#[test]
fn a_swapped_stream_is_not_taken() {
    damaged(9_000_000, flip);
}

#[test]
fn a_truncated_blob_is_not_taken() {
    damaged(9_000, cut);
}

#[test]
fn a_truncated_stream_is_not_taken() {
    damaged(9_000_000, cut);
}
