//! How a written snapshot is read back: every length checked, nothing trusted.
//!
//! The frame's checksum has already been compared; these checks keep a mistake in writing from
//! becoming a panic or a wrong answer later.

use super::write::tag;
use super::{Directory, Entry, Node, Span, Tree};
use crate::digest::{Digest, ObjectDigest};
use crate::tree::identity::{StatIdentity, Witness};

pub(super) fn tree(payload: &[u8]) -> Option<Tree> {
    let (length, rest) = payload.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (text, fields) = rest.split_at_checked(length)?;
    let mut input = Reader {
        fields,
        text: u32::try_from(text.len()).ok()?,
        used: 0,
    };
    let manifest = input.digest()?;
    let mut exclude = Vec::new();
    for _ in 0..input.count()? {
        let length = input.count()?;
        exclude.push(input.take(length)?.to_vec());
    }
    let (directory_count, entry_count) = (input.count()?, input.count()?);
    let mut directories = Vec::with_capacity(directory_count);
    let mut entries = Vec::with_capacity(entry_count);
    for at in 0..directory_count {
        let path = input.text()?;
        let witness = input.witness((0, 0))?;
        let place = (witness.identity.device, witness.identity.voucher);
        let start = entries.len();
        for _ in 0..input.count()? {
            let name = input.text()?;
            let node = input.node(place)?;
            if let Node::Directory(child) = node
                && (child <= at || child >= directory_count)
            {
                return None;
            }
            entries.push(Entry { name, node });
        }
        directories.push(Directory {
            path,
            witness,
            entries: start..entries.len(),
        });
    }
    let whole = input.fields.is_empty() && input.used == input.text;
    (whole && entries.len() == entry_count && !directories.is_empty()).then(|| Tree {
        manifest: Some(manifest),
        exclude,
        text: text.to_vec(),
        directories,
        entries,
    })
}

struct Reader<'b> {
    fields: &'b [u8],
    /// How much text there is, and how much of it has been given out.
    text: u32,
    used: u32,
}

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.fields.split_at_checked(length)?;
        self.fields = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.fields.split_first_chunk()?;
        self.fields = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.fields.split_first()?;
        self.fields = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A number of things that each take at least one byte, and so cannot exceed the bytes left.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.fields.len()).then_some(count)
    }

    fn text(&mut self) -> Option<Span> {
        let length = u32::try_from(self.number()?).ok()?;
        let start = self.used;
        self.used = start.checked_add(length)?;
        (self.used <= self.text).then_some(Span { start, length })
    }

    fn digest(&mut self) -> Option<ObjectDigest> {
        self.array::<{ Digest::LEN }>()
            .map(|bytes| ObjectDigest(Digest::from_bytes(bytes)))
    }

    fn witness(&mut self, (device, voucher): (u64, u64)) -> Option<Witness> {
        let settled = match self.byte()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Witness {
            settled,
            identity: StatIdentity {
                device: self.number()? ^ device,
                voucher: self.number()? ^ voucher,
                inode: self.number()?,
                size: self.number()?,
                mode: u32::try_from(self.number()?).ok()?,
                modified: i64::from_le_bytes(self.array()?),
                changed: i64::from_le_bytes(self.array()?),
            },
        })
    }

    fn node(&mut self, place: (u64, u64)) -> Option<Node> {
        Some(match self.byte()? {
            tag::FILE => Node::File(self.witness(place)?, self.digest()?),
            tag::SYMLINK => Node::Symlink(self.witness(place)?, self.text()?),
            tag::DIRECTORY => Node::Directory(usize::try_from(self.number()?).ok()?),
            _ => return None,
        })
    }
}
