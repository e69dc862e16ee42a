//! Records: what is kept of an action that ran, success or failure.
//!
//! Plain data, complete in itself; the objects it names are in the store. A record knows its own key,
//! so that a file in the wrong place is noticed. How a record is written down is in `encoding.rs`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::digest::{ActionKey, ObjectDigest};
use crate::encoding::{self, DecodeError, Frame};
use crate::key::{ActionKind, Component, Detail};

/// What an action was about, for people and for finding an earlier record of the same thing.
///
/// Never part of a key: two subjects with equal inputs share their outcome.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// What was built, such as `bbswitch/0.8`.
    pub name: String,
    /// For what it was built, such as `6.1.0-56-amd64/x86_64`.
    pub target: String,
}

/// One file that an action made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Output {
    /// Where the file goes, relative to wherever outputs are put.
    pub path: String,
    /// The file's content.
    pub object: ObjectDigest,
    /// The file's length in bytes.
    pub size: u64,
    /// Whether the file may be executed.
    pub executable: bool,
}

/// How an action ended. An action killed from outside has no status: it is not recorded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It made its outputs.
    Success,
    /// It would fail again with these inputs.
    Failure {
        /// The exit code.
        code: i32,
        /// One line for people: the first real error.
        cause: String,
    },
}

impl Status {
    /// Whether the action made its outputs.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Success)
    }
}

/// What an action took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cost {
    /// From start to end.
    pub wall: Duration,
    /// User and system time of all its processes.
    pub cpu: Duration,
    /// The largest resident set, in bytes.
    pub peak_memory: u64,
    /// What its outputs add up to, in bytes.
    pub output_bytes: u64,
}

/// The outcome of one action, under the key of everything that could have changed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRecord {
    /// The key under which the record is found.
    pub key: ActionKey,
    /// What kind of action ran.
    pub kind: ActionKind,
    /// What it was about.
    pub subject: Subject,
    /// What went into the key, in that order.
    pub components: Vec<Component>,
    /// How it ended.
    pub status: Status,
    /// What it made, in the caller's order.
    pub outputs: Vec<Output>,
    /// What it printed.
    pub log: Option<ObjectDigest>,
    /// Small facts that the caller wants back with the record.
    pub note: BTreeMap<String, String>,
    /// What it took.
    pub cost: Cost,
    /// When it ended, in nanoseconds since 1970, as the caller knows it. Two records of one second are
    /// no rarity, and the later one is the newer.
    pub created: u64,
}

impl ActionRecord {
    /// When it ended.
    pub fn created_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.created)
    }

    /// Every object that the record needs: its outputs in order, then its log.
    pub fn objects(&self) -> impl Iterator<Item = ObjectDigest> + '_ {
        self.outputs
            .iter()
            .map(|output| output.object)
            .chain(self.log)
    }

    /// The objects that say what its key was made of. The record is good without them; they are kept
    /// as long as it is, so that a later miss can be explained.
    pub fn details(&self) -> impl Iterator<Item = ObjectDigest> + '_ {
        self.components
            .iter()
            .filter(|component| component.detail != Detail::Opaque)
            .map(|component| component.digest)
    }

    /// The record as the store writes it down, to be taken elsewhere.
    pub fn to_bytes(&self) -> Vec<u8> {
        encoding::encode(Frame::RECORD, self)
    }

    /// Reads what [`ActionRecord::to_bytes`] wrote. The checksum is no proof of where it comes from.
    ///
    /// # Errors
    ///
    /// When the bytes are of another format, or no record.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        encoding::decode(Frame::RECORD, bytes)
    }
}
