//! Manifests: canonical bytes, strict reading, and differences told path by path.

use kiln_cache::{Change, ChangeKind, EntryKind, Manifest, ManifestEntry, ObjectDigest};
use proptest::prelude::*;

fn file(content: &str, executable: bool) -> EntryKind {
    EntryKind::File {
        digest: ObjectDigest::of(content.as_bytes()),
        executable,
    }
}

fn link(target: &str) -> EntryKind {
    EntryKind::Symlink {
        target: target.into(),
    }
}

fn manifest(entries: &[(&str, EntryKind)]) -> Manifest {
    let entry = |(path, kind): &(&str, EntryKind)| ManifestEntry {
        path: path.as_bytes().to_vec(),
        kind: kind.clone(),
    };
    Manifest::new(entries.iter().map(entry).collect()).unwrap()
}

#[test]
fn differences_are_told_by_kind_in_path_order() {
    let old = manifest(&[
        ("gone", file("1", false)),
        ("same", file("1", false)),
        ("text", file("1", false)),
        ("mode", file("1", false)),
        ("type", file("1", false)),
        ("link", link("a")),
        ("both", file("1", false)),
    ]);
    let new = manifest(&[
        ("came", EntryKind::Directory),
        ("same", file("1", false)),
        ("text", file("2", false)),
        ("mode", file("1", true)),
        ("type", EntryKind::Directory),
        ("link", link("b")),
        ("both", file("2", true)),
    ]);
    let change = |path: &str, what| Change {
        path: path.into(),
        what,
    };
    assert_eq!(
        old.diff(&new),
        [
            change("both", ChangeKind::Content),
            change("came", ChangeKind::Added),
            change("gone", ChangeKind::Removed),
            change("link", ChangeKind::Content),
            change("mode", ChangeKind::Mode),
            change("text", ChangeKind::Content),
            change("type", ChangeKind::Type),
        ]
    );
    assert_eq!(old.diff(&old), []);
}

#[test]
fn paths_are_relative_and_each_once() {
    for paths in [vec!["/a"], vec![""], vec!["a", "a"]] {
        let entry = |path: &&str| ManifestEntry {
            path: (*path).into(),
            kind: EntryKind::Directory,
        };
        assert!(
            Manifest::new(paths.iter().map(entry).collect()).is_err(),
            "{paths:?}"
        );
    }
}

/// If this fails, every tree's digest has changed: give the manifest a new number.
#[test]
fn one_manifest_is_pinned() {
    let manifest = manifest(&[
        ("a", file("1", true)),
        ("d", EntryKind::Directory),
        ("l", link("a")),
    ]);
    let mut expected = b"kiln manifest 1\n".to_vec();
    expected.extend(3_u64.to_le_bytes());
    expected.extend(*b"\x01\0\0\0\0\0\0\0ax");
    expected.extend(ObjectDigest::of(b"1").0.as_bytes());
    expected.extend(*b"\x01\0\0\0\0\0\0\0dd");
    expected.extend(*b"\x01\0\0\0\0\0\0\0ll\x01\0\0\0\0\0\0\0a");
    assert_eq!(manifest.encode(), expected);
    assert_eq!(manifest.digest(), ObjectDigest::of(&expected));
}

fn any_manifest() -> impl Strategy<Value = Manifest> {
    let kind = prop_oneof![
        (any::<u8>(), any::<bool>()).prop_map(|(content, executable)| EntryKind::File {
            digest: ObjectDigest::of(&[content]),
            executable
        }),
        Just(EntryKind::Directory),
        proptest::collection::vec(any::<u8>(), 0..4)
            .prop_map(|target| EntryKind::Symlink { target }),
    ];
    let path =
        proptest::collection::vec(1..=255_u8, 1..6).prop_filter("relative", |path| path[0] != b'/');
    proptest::collection::btree_map(path, kind, 0..8).prop_map(|entries| {
        let entries = entries
            .into_iter()
            .map(|(path, kind)| ManifestEntry { path, kind });
        Manifest::new(entries.collect()).unwrap()
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(manifest in any_manifest()) {
        prop_assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }

    #[test]
    fn only_what_encode_writes_is_decoded(manifest in any_manifest(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = manifest.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(other) = Manifest::decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    #[test]
    fn no_difference_means_equal(one in any_manifest(), other in any_manifest()) {
        prop_assert_eq!(one.diff(&other).is_empty(), one == other);
        prop_assert_eq!(one.diff(&other).len(), other.diff(&one).len());
    }
}
