use std::time::Duration;

use kiln_cache::{ActionKey, ActionKind, Cost, Detail, KeyBuilder, Output, Status, Subject};
use proptest::prelude::*;

use super::*;
use crate::signing::{Trust, TrustedKey};

const NOW: u64 = 1_795_461_315;

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

fn action(name: &str) -> ActionKey {
    let mut key = KeyBuilder::new(ActionKind::Job);
    key.component("source", ObjectDigest::of(name.as_bytes()), Detail::Opaque);
    key.finish().0
}

fn record(name: &str) -> (ActionRecord, BTreeMap<ObjectDigest, BlobDigest>) {
    let (module, log) = (format!("module {name}"), format!("log {name}"));
    let object = |text: &str| ObjectDigest::of(text.as_bytes());
    let record = ActionRecord {
        key: action(name),
        kind: ActionKind::Job,
        subject: Subject {
            name: name.to_owned(),
            target: "6.1.0-56-amd64/x86_64".to_owned(),
        },
        components: Vec::new(),
        status: Status::Success,
        outputs: vec![Output {
            path: "a.ko".to_owned(),
            object: object(&module),
            size: module.len() as u64,
            executable: false,
        }],
        log: Some(object(&log)),
        note: BTreeMap::new(),
        cost: Cost {
            wall: Duration::from_secs(2),
            ..Cost::default()
        },
        created: (NOW - 60) * SECOND,
    };
    let blobs = [&module, &log].map(|text| (object(text), BlobDigest::of(text.as_bytes())));
    (record, blobs.into())
}

fn sealed(name: &str, key: &SigningKey) -> Vec<u8> {
    let (record, blobs) = record(name);
    seal(&record, &blobs, key, NOW)
}

fn key() -> SigningKey {
    SigningKey::generate().unwrap()
}

fn trust(key: TrustedKey) -> Trust {
    Trust::new(vec![key])
}

#[test]
fn what_was_signed_comes_back() {
    let key = key();
    let (record, blobs) = record("bbswitch");
    let bytes = seal(&record, &blobs, &key, NOW);
    let signed = trust(key.trusted())
        .verify(&bytes, &record.key, NOW)
        .unwrap();
    assert_eq!(signed.record, record);
    assert_eq!(signed.blobs, blobs);
    assert_eq!((signed.key, signed.signed), (key.id(), NOW));
}

#[test]
fn only_a_trusted_key_is_believed() {
    let (ours, theirs) = (key(), key());
    let bytes = sealed("bbswitch", &theirs);
    let id = theirs.id();
    let asked = action("bbswitch");
    let refused = trust(ours.trusted()).verify(&bytes, &asked, NOW);
    assert_eq!(refused.unwrap_err(), Refusal::UnknownKey { id });
    let refused = Trust::default().verify(&bytes, &asked, NOW);
    assert_eq!(refused.unwrap_err(), Refusal::UnknownKey { id });

    // Signed by one key in the name of another.
    let mut forged = bytes.clone();
    forged[12..44].copy_from_slice(&ours.id().0);
    let refused = trust(ours.trusted()).verify(&forged, &asked, NOW);
    assert_eq!(
        refused.unwrap_err(),
        Refusal::BadSignature { id: ours.id() }
    );
}

#[test]
fn a_bare_record_is_unsigned() {
    let key = key();
    let bare = record("bbswitch").0.to_bytes();
    let refused = trust(key.trusted()).verify(&bare, &action("bbswitch"), NOW);
    assert_eq!(refused.unwrap_err(), Refusal::Unsigned);
}

#[test]
fn a_record_is_good_for_its_own_key_alone() {
    let key = key();
    let bytes = sealed("bbswitch", &key);
    let refused = trust(key.trusted()).verify(&bytes, &action("evdi"), NOW);
    let found = action("bbswitch");
    assert_eq!(refused.unwrap_err(), Refusal::OtherKey { found });
}

#[test]
fn a_key_is_good_for_its_time_alone() {
    let key = key();
    let id = key.id();
    let bytes = sealed("bbswitch", &key);
    let asked = action("bbswitch");
    let limited = |from: Option<u64>, to: Option<u64>| {
        let mut limited = key.trusted();
        (limited.not_before, limited.not_after) = (from, to);
        limited
    };
    let verify = |keys: Vec<TrustedKey>| Trust::new(keys).verify(&bytes, &asked, NOW).map(drop);
    assert_eq!(verify(vec![limited(Some(NOW), Some(NOW))]), Ok(()));
    let signed = NOW;
    let early = verify(vec![limited(Some(NOW + 1), None)]);
    assert_eq!(early, Err(Refusal::NotYetValid { id, signed }));
    let late = verify(vec![limited(None, Some(NOW - 1))]);
    assert_eq!(late, Err(Refusal::Expired { id, signed }));
    let either = verify(vec![limited(None, Some(NOW - 1)), limited(Some(NOW), None)]);
    assert_eq!(either, Ok(()));
}

#[test]
fn clocks_may_differ_by_five_minutes() {
    let key = key();
    let trust = trust(key.trusted());
    let bytes = sealed("bbswitch", &key);
    let asked = action("bbswitch");
    assert!(trust.verify(&bytes, &asked, NOW - 300).is_ok());
    let refused = trust.verify(&bytes, &asked, NOW - 301);
    assert_eq!(refused.unwrap_err(), Refusal::FromTheFuture { ahead: 301 });

    let (mut made_later, blobs) = record("bbswitch");
    made_later.created = (NOW + 301) * SECOND;
    let bytes = seal(&made_later, &blobs, &key, NOW);
    let refused = trust.verify(&bytes, &asked, NOW);
    assert_eq!(refused.unwrap_err(), Refusal::FromTheFuture { ahead: 301 });
}

#[test]
fn a_record_names_all_its_objects() {
    let key = key();
    let (record, mut blobs) = record("bbswitch");
    blobs.pop_first();
    let bytes = seal(&record, &blobs, &key, NOW);
    let refused = trust(key.trusted()).verify(&bytes, &record.key, NOW);
    assert_eq!(refused.unwrap_err(), Refusal::Malformed);
}

/// A change of the layout, or of what is signed, makes every uploaded record useless: it must be meant.
#[test]
fn the_layout_is_pinned() {
    let secret = SigningKey::from_pem(
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----",
    );
    let bytes = sealed("bbswitch", &secret.unwrap());
    assert_eq!(bytes.len(), 483);
    let pinned = "6a79661aeb6ca7098863520d006a9b99f8be7cf9de6a0fcd4f660c147c9f59e3";
    assert_eq!(BlobDigest::of(&bytes).hash(), pinned);
}

proptest! {
    #[test]
    fn nothing_can_be_changed(at: prop::sample::Index, flip in 1u8..) {
        let key = key();
        let mut bytes = sealed("bbswitch", &key);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(trust(key.trusted()).verify(&bytes, &action("bbswitch"), NOW).is_err());
    }

    #[test]
    fn nothing_can_be_cut_or_added(cut: prop::sample::Index, more in 1usize..100) {
        let key = key();
        let bytes = sealed("bbswitch", &key);
        let trust = trust(key.trusted());
        let cut = &bytes[..cut.index(bytes.len())];
        prop_assert!(trust.verify(cut, &action("bbswitch"), NOW).is_err());
        let longer = [&bytes[..], &vec![0; more]].concat();
        prop_assert!(trust.verify(&longer, &action("bbswitch"), NOW).is_err());
    }

    #[test]
    fn no_bytes_are_too_odd(bytes: Vec<u8>) {
        let with_magic = [MAGIC, &bytes[..]].concat();
        let trust = trust(key().trusted());
        prop_assert!(trust.verify(&bytes, &action("bbswitch"), NOW).is_err());
        prop_assert!(trust.verify(&with_magic, &action("bbswitch"), NOW).is_err());
    }
}
