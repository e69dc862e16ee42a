//! Digests: their text, and that a key's composition never changes unnoticed.

use kiln_cache::{ActionKey, ActionKind, Detail, Digest, KeyBuilder, ObjectDigest};

#[test]
fn an_object_digest_is_what_b3sum_prints() {
    assert_eq!(
        ObjectDigest::of(b"").to_string(),
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    );
}

#[test]
fn large_content_hashes_as_small_content_does() {
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let expected = blake3::hash(&content);
    assert_eq!(ObjectDigest::of(&content).0.as_bytes(), expected.as_bytes());
}

#[test]
fn digests_are_read_back_from_their_text() {
    let digest = ObjectDigest::of(b"x");
    assert_eq!(digest.to_string().parse(), Ok(digest));
    let text = digest.to_string();
    assert!(text.to_uppercase().parse::<Digest>().is_err());
    assert!(text[1..].parse::<Digest>().is_err());
    assert!(format!("{text}0").parse::<Digest>().is_err());
    assert!(format!("{}é", &text[2..]).parse::<Digest>().is_err());
    assert_eq!(format!("{:?}", digest.0), text[..8]);
}

#[test]
fn digests_are_hexadecimal_in_json() {
    let digest = ObjectDigest::of(b"x");
    let json = serde_json::to_string(&digest).unwrap();
    assert_eq!(json, format!("\"{digest}\""));
    assert_eq!(serde_json::from_str::<ObjectDigest>(&json).unwrap(), digest);
}

/// If this fails, every key has changed: raise `KEY_FORMAT` and say why in `docs/keys.md`.
#[test]
fn one_key_is_pinned() {
    let mut key = KeyBuilder::new(ActionKind::Job);
    key.component("source tree", ObjectDigest::of(b"tree"), Detail::Manifest)
        .component("toolbox", ObjectDigest::of(b"gcc"), Detail::Text);
    let (key, components) = key.finish();
    assert_eq!(components.len(), 2);
    assert_eq!(key.to_string(), PINNED);
    assert_eq!(key, PINNED.parse::<ActionKey>().unwrap());
}

const PINNED: &str = "347347e834cab9136b0b4fd7a98866299d929a2cf6e068bedbc2ce4345fec7cc";
