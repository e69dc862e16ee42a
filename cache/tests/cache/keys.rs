//! Keys: every part counts, and no two lists of parts are taken for each other.

use std::collections::HashSet;

use kiln_cache::{ActionKey, ActionKind, Detail, Digest, KeyBuilder, ObjectDigest};
use proptest::prelude::*;

fn key(kind: ActionKind, parts: &[(String, u8)]) -> ActionKey {
    let mut key = KeyBuilder::new(kind);
    for (name, content) in parts {
        key.component(name.clone(), ObjectDigest::of(&[*content]), Detail::Opaque);
    }
    key.finish().0
}

fn parts(parts: &[(&str, u8)]) -> Vec<(String, u8)> {
    parts
        .iter()
        .map(|(name, content)| ((*name).into(), *content))
        .collect()
}

#[test]
fn kind_name_content_and_order_all_count() {
    let base = parts(&[("a", 1), ("b", 2)]);
    let all = [
        key(ActionKind::Job, &base),
        key(ActionKind::Conf, &base),
        key(ActionKind::Compile, &base),
        key(ActionKind::Job, &parts(&[("b", 2), ("a", 1)])),
        key(ActionKind::Job, &parts(&[("a", 2), ("b", 1)])),
        key(ActionKind::Job, &parts(&[("a", 1), ("c", 2)])),
        key(ActionKind::Job, &parts(&[("a", 1)])),
        key(ActionKind::Job, &[]),
    ];
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
}

#[test]
fn how_a_change_is_explained_is_not_part_of_the_key() {
    let keys = [Detail::Opaque, Detail::Manifest, Detail::Text].map(|detail| {
        let mut key = KeyBuilder::new(ActionKind::Job);
        key.component("a", ObjectDigest::of(b"1"), detail);
        key.finish().0
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "given twice")]
fn a_name_may_be_given_once() {
    key(ActionKind::Job, &parts(&[("a", 1), ("a", 2)]));
}

proptest! {
    #[test]
    fn different_components_have_different_keys(
        one in proptest::collection::btree_map("[a-c\0]{0,3}", 0..4_u8, 0..4),
        other in proptest::collection::btree_map("[a-c\0]{0,3}", 0..4_u8, 0..4),
    ) {
        let one: Vec<_> = one.into_iter().collect();
        let other: Vec<_> = other.into_iter().collect();
        let same = key(ActionKind::Job, &one) == key(ActionKind::Job, &other);
        prop_assert_eq!(same, one == other);
    }
}

/// The bytes of these two lists are the same but for the lengths between them.
#[test]
fn a_name_and_a_digest_never_run_into_each_other() {
    let key = |components: [(&str, [u8; Digest::LEN]); 2]| {
        let mut key = KeyBuilder::new(ActionKind::Job);
        for (name, digest) in components {
            let digest = ObjectDigest(Digest::from_bytes(digest));
            key.component(name, digest, Detail::Opaque);
        }
        key.finish().0
    };
    let mut shifted = [b'a'; Digest::LEN];
    shifted[Digest::LEN - 1] = b'y';
    let last = [b'b'; Digest::LEN];
    assert_ne!(
        key([("x", [b'a'; Digest::LEN]), ("yz", last)]),
        key([("xa", shifted), ("z", last)])
    );
}
