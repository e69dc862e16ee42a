//! Manifests: a tree's content in canonical form, and how two trees differ.
//!
//! Paths are bytes, relative, in byte order, each once; that makes the encoding canonical: equal trees
//! have equal bytes, and so equal digests. Times, owners, inode numbers and the root's own place are
//! left out on purpose. The layout is in `docs/cache-format.md`.

use std::cmp::Ordering;

use crate::digest::{Digest, ObjectDigest};

/// The first bytes of every manifest; the number is the layout's version.
const MAGIC: &[u8] = b"kiln manifest 1\n";

/// The content of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<ManifestEntry>,
}

/// One file, directory or link of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Where it is, relative to the root; not necessarily UTF-8.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Its content.
        digest: ObjectDigest,
        /// Whether anyone may execute it.
        executable: bool,
    },
    /// A directory, empty or not.
    Directory,
    /// A symbolic link, never followed.
    Symlink {
        /// What the link says.
        target: Vec<u8>,
    },
}

/// One difference between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where, relative to the root.
    pub path: Vec<u8>,
    /// What differs.
    pub what: ChangeKind,
}

/// How an entry differs between an earlier and a later tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// Only the later tree has it.
    Added,
    /// Only the earlier tree has it.
    Removed,
    /// A file's content or a link's target; perhaps also the execute bit.
    Content,
    /// A file's execute bit alone.
    Mode,
    /// A file became a directory or a link, or the like.
    Type,
}

/// Why bytes are not a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// They do not begin as this release's manifests do.
    #[error("not a manifest of this format")]
    NotAManifest,
    /// They end early, go on too long, or hold an entry that makes no sense.
    #[error("malformed manifest")]
    Malformed,
    /// The paths are not relative, or not each once in byte order.
    #[error("manifest's paths are out of order")]
    Disordered,
}

impl Manifest {
    /// A manifest of these entries, in any order.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Disordered`] when a path is empty, absolute, or given twice.
    pub fn new(mut entries: Vec<ManifestEntry>) -> Result<Self, ManifestError> {
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let manifest = Self { entries };
        manifest.check()?;
        Ok(manifest)
    }

    /// The entries in the byte order of their paths.
    pub fn entries(&self) -> &[ManifestEntry] {
        &self.entries
    }

    /// What stands at a relative path.
    pub fn entry(&self, path: &[u8]) -> Option<&EntryKind> {
        let at = self
            .entries
            .binary_search_by(|entry| entry.path.as_slice().cmp(path));
        at.ok().map(|at| &self.entries[at].kind)
    }

    /// The digest of the tree: that of its encoding.
    pub fn digest(&self) -> ObjectDigest {
        ObjectDigest::of(&self.encode())
    }

    /// The canonical bytes, as stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAGIC.len() + 8 + self.entries.len() * 80);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        for entry in &self.entries {
            field(&mut bytes, &entry.path);
            match &entry.kind {
                EntryKind::File { digest, executable } => {
                    bytes.push(if *executable { b'x' } else { b'f' });
                    bytes.extend_from_slice(digest.0.as_bytes());
                }
                EntryKind::Directory => bytes.push(b'd'),
                EntryKind::Symlink { target } => {
                    bytes.push(b'l');
                    field(&mut bytes, target);
                }
            }
        }
        bytes
    }

    /// Reads what [`Manifest::encode`] wrote, and nothing else.
    ///
    /// # Errors
    ///
    /// Any bytes that `encode` would not have written are refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or(ManifestError::NotAManifest)?;
        let mut reader = Reader(rest);
        let count = reader.number()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            let path = reader.field()?.to_vec();
            let kind = match reader.take(1)? {
                [tag @ (b'f' | b'x')] => EntryKind::File {
                    digest: ObjectDigest(Digest::from_bytes(reader.array()?)),
                    executable: *tag == b'x',
                },
                b"d" => EntryKind::Directory,
                b"l" => EntryKind::Symlink {
                    target: reader.field()?.to_vec(),
                },
                _ => return Err(ManifestError::Malformed),
            };
            entries.push(ManifestEntry { path, kind });
        }
        if !reader.0.is_empty() {
            return Err(ManifestError::Malformed);
        }
        let manifest = Self { entries };
        manifest.check()?;
        Ok(manifest)
    }

    /// What changed from this tree to a later one, in the byte order of the paths.
    pub fn diff(&self, later: &Self) -> Vec<Change> {
        let (mut old, mut new) = (
            self.entries.iter().peekable(),
            later.entries.iter().peekable(),
        );
        let mut changes = Vec::new();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return changes,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.path.cmp(&new.path),
            };
            let gone = if order.is_le() { old.next() } else { None };
            let come = if order.is_ge() { new.next() } else { None };
            let what = match (gone, come) {
                (Some(gone), Some(come)) => gone.kind.change(&come.kind),
                (Some(_), None) => Some(ChangeKind::Removed),
                (None, Some(_)) => Some(ChangeKind::Added),
                (None, None) => None,
            };
            if let (Some(entry), Some(what)) = (gone.or(come), what) {
                changes.push(Change {
                    path: entry.path.clone(),
                    what,
                });
            }
        }
    }

    fn check(&self) -> Result<(), ManifestError> {
        let relative = |entry: &ManifestEntry| !entry.path.is_empty() && entry.path[0] != b'/';
        let ordered = self.entries.is_sorted_by(|a, b| a.path < b.path);
        if ordered && self.entries.iter().all(relative) {
            Ok(())
        } else {
            Err(ManifestError::Disordered)
        }
    }
}

impl EntryKind {
    fn change(&self, later: &Self) -> Option<ChangeKind> {
        if self == later {
            return None;
        }
        Some(match (self, later) {
            (Self::File { digest: old, .. }, Self::File { digest: new, .. }) if old == new => {
                ChangeKind::Mode
            }
            (Self::File { .. }, Self::File { .. })
            | (Self::Symlink { .. }, Self::Symlink { .. }) => ChangeKind::Content,
            _ => ChangeKind::Type,
        })
    }
}

fn field(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend_from_slice(&(field.len() as u64).to_le_bytes());
    bytes.extend_from_slice(field);
}

/// The bytes not yet read.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], ManifestError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(ManifestError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ManifestError> {
        self.take(N)?
            .try_into()
            .map_err(|_| ManifestError::Malformed)
    }

    fn number(&mut self) -> Result<u64, ManifestError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn field(&mut self) -> Result<&'b [u8], ManifestError> {
        let length = usize::try_from(self.number()?).map_err(|_| ManifestError::Malformed)?;
        self.take(length)
    }
}
