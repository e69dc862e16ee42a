//! How a snapshot is written down: numbers as LEB128, texts gathered in the order of the entries.
//!
//! The counterpart of `read.rs`; a change of either needs a new version of `Frame::TREE`.

use super::{Node, Span, Tree};
use crate::digest::ObjectDigest;
use crate::tree::identity::Witness;

/// What an entry's first byte says it is.
pub(super) mod tag {
    pub(in super::super) const FILE: u8 = 0;
    pub(in super::super) const SYMLINK: u8 = 1;
    pub(in super::super) const DIRECTORY: u8 = 2;
}

pub(super) fn tree(tree: &Tree) -> Vec<u8> {
    let mut out = Writer {
        tree,
        fields: Vec::with_capacity(64 + tree.entries.len() * 72),
        text: Vec::with_capacity(tree.text.len()),
    };
    let manifest = tree.manifest.map(|digest| *digest.0.as_bytes());
    out.fields.extend_from_slice(&manifest.unwrap_or_default());
    out.number(tree.exclude.len() as u64);
    for path in &tree.exclude {
        out.number(path.len() as u64);
        out.fields.extend_from_slice(path);
    }
    out.number(tree.directories.len() as u64);
    out.number(tree.entries.len() as u64);
    for directory in &tree.directories {
        out.text(directory.path);
        out.witness(&directory.witness, (0, 0));
        out.number(directory.entries.len() as u64);
        for entry in &tree.entries[directory.entries.clone()] {
            out.text(entry.name);
            let identity = &directory.witness.identity;
            let place = (identity.device, identity.voucher);
            match &entry.node {
                Node::File(witness, digest) => {
                    out.fields.push(tag::FILE);
                    out.witness(witness, place);
                    out.digest(digest);
                }
                Node::Symlink(witness, target) => {
                    out.fields.push(tag::SYMLINK);
                    out.witness(witness, place);
                    out.text(*target);
                }
                Node::Directory(at) => {
                    out.fields.push(tag::DIRECTORY);
                    out.number(*at as u64);
                }
            }
        }
    }
    let mut bytes = (out.text.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(&out.text);
    bytes.extend_from_slice(&out.fields);
    bytes
}

struct Writer<'t> {
    tree: &'t Tree,
    fields: Vec<u8>,
    text: Vec<u8>,
}

impl Writer<'_> {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.fields.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.fields.push(number as u8);
    }

    fn text(&mut self, span: Span) {
        let text = self.tree.text(span);
        self.number(text.len() as u64);
        self.text.extend_from_slice(text);
    }

    fn digest(&mut self, digest: &ObjectDigest) {
        self.fields.extend_from_slice(digest.0.as_bytes());
    }

    /// The device and the voucher are written as their difference from the directory's: nearly always
    /// one zero byte each.
    fn witness(&mut self, witness: &Witness, (device, voucher): (u64, u64)) {
        let identity = &witness.identity;
        self.fields.push(u8::from(witness.settled));
        self.number(identity.device ^ device);
        self.number(identity.voucher ^ voucher);
        self.number(identity.inode);
        self.number(identity.size);
        self.number(identity.mode.into());
        self.fields
            .extend_from_slice(&identity.modified.to_le_bytes());
        self.fields
            .extend_from_slice(&identity.changed.to_le_bytes());
    }
}
