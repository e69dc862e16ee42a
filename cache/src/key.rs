//! How an action's inputs become its [`ActionKey`].
//!
//! A key is a hash over the kind of action and over each component's name and digest, in the order
//! given; nothing else goes in. The components are kept beside the key, in the record, so that a later
//! miss can be explained. What the components of a given action are is the caller's to know.
//! The exact composition is in `docs/keys.md`; changing it changes every key and needs a new
//! [`KEY_FORMAT`].

use serde::{Deserialize, Serialize};

use crate::digest::{ActionKey, Digest, ObjectDigest};

/// The version of the composition of keys; part of every key.
pub const KEY_FORMAT: u32 = 1;

/// BLAKE3's own domain separation: no digest of content is ever equal to a key.
const DOMAIN: &str = "kiln-cache 2026-11-23 action key";

/// What an action runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    /// The evaluation of a package's configuration.
    Conf,
    /// A whole build job.
    Job,
    /// One compiler call inside a job.
    Compile,
    /// Which files a job looked at that are in no key before it has run.
    Trace,
}

impl ActionKind {
    /// Every kind, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Conf, Self::Job, Self::Compile, Self::Trace];

    /// The kind's stable one-word name; part of every key.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conf => "conf",
            Self::Job => "job",
            Self::Compile => "compile",
            Self::Trace => "trace",
        }
    }
}

/// What stands behind a component's digest, and so how a change of it can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// Nothing that is stored: all that can be said is that it changed.
    Opaque,
    /// A stored [`Manifest`](crate::Manifest): a change can be told file by file.
    Manifest,
    /// A stored text of `NAME=VALUE` lines: a change can be told line by line.
    Text,
}

/// One input of an action, as it went into the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Component {
    /// What the input is, for people and for comparing two keys: unique within a key.
    pub name: String,
    /// The input's content.
    pub digest: ObjectDigest,
    /// What stands behind the digest; not part of the key.
    pub detail: Detail,
}

/// Collects the components of one key.
#[derive(Clone, Debug)]
pub struct KeyBuilder {
    kind: ActionKind,
    components: Vec<Component>,
}

impl KeyBuilder {
    /// Starts the key of an action of this kind.
    pub fn new(kind: ActionKind) -> Self {
        Self {
            kind,
            components: Vec::new(),
        }
    }

    /// Adds an input. The order of the calls is part of the key.
    ///
    /// # Panics
    ///
    /// In debug builds, when the key already has a component of that name.
    pub fn component(
        &mut self,
        name: impl Into<String>,
        digest: ObjectDigest,
        detail: Detail,
    ) -> &mut Self {
        let name = name.into();
        debug_assert!(
            self.components.iter().all(|other| other.name != name),
            "component {name:?} given twice"
        );
        self.components.push(Component {
            name,
            digest,
            detail,
        });
        self
    }

    /// Hashes what was collected: the key, and the components to keep in the record.
    pub fn finish(self) -> (ActionKey, Vec<Component>) {
        let mut hasher = blake3::Hasher::new_derive_key(DOMAIN);
        hasher.update(&KEY_FORMAT.to_le_bytes());
        field(&mut hasher, self.kind.name().as_bytes());
        hasher.update(&length(self.components.len()));
        for component in &self.components {
            field(&mut hasher, component.name.as_bytes());
            hasher.update(component.digest.0.as_bytes());
        }
        let key = ActionKey(Digest::from_bytes(*hasher.finalize().as_bytes()));
        (key, self.components)
    }
}

/// Adds a field of varying length, preceded by that length: no two lists of fields hash alike.
fn field(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&length(bytes.len()));
    hasher.update(bytes);
}

fn length(length: usize) -> [u8; 8] {
    (length as u64).to_le_bytes()
}
