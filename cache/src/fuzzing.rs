//! What `fuzz/` feeds with anything: whatever is read back from a cache or comes from a shared one.
//!
//! A frame's checksum is no signature, so each layout is also tried with bytes that have one. What can be read is
//! used, and what is written of it is read back as the same.

use crate::{
    ActionRecord, Cost, Manifest, Subject, TreeSnapshot,
    digest::ActionKey,
    encoding::{self, Frame},
};

/// A file in the place of a record, or a value of the index.
pub fn record(bytes: &[u8]) {
    use_record(bytes);
    use_record(&encoding::wrap(Frame::RECORD, bytes));
}

fn use_record(bytes: &[u8]) {
    if let Ok(record) = ActionRecord::from_bytes(bytes) {
        let _ = record.created_at();
        let _ = record.objects().count() + record.details().count();
        let again = ActionRecord::from_bytes(&record.to_bytes());
        assert_eq!(again.as_ref(), Ok(&record));
    }
}

/// A value of the index.
pub fn index(bytes: &[u8]) {
    let files = encoding::wrap(Frame::FILES, bytes);
    let _ = encoding::decode::<Vec<crate::FileSnapshot>>(Frame::FILES, &files);
    let cost = encoding::wrap(Frame::COST, bytes);
    let _ = encoding::decode::<(Subject, Cost)>(Frame::COST, &cost);
    let recent = encoding::wrap(Frame::RECENT, bytes);
    let _ = encoding::decode::<Vec<(ActionKey, String)>>(Frame::RECENT, &recent);
    for bytes in [bytes, &encoding::wrap(Frame::TREE, bytes)] {
        if let Ok(tree) = TreeSnapshot::decode(bytes) {
            let _ = (tree.digest(), tree.settles_in(), tree.len());
            let _ = tree.manifest();
        }
    }
}

/// The object of a tree.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::decode(bytes) {
        assert_eq!(manifest.encode(), bytes);
        assert!(manifest.diff(&manifest).is_empty());
        for entry in manifest.entries() {
            assert_eq!(manifest.entry(&entry.path), Some(&entry.kind));
        }
    }
}
