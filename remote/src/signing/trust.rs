//! Whom to believe, and why something is not believed.

use std::fmt;

use kiln_cache::{ActionKey, ObjectDigest};

use super::envelope::{self, SignedRecord};
use super::key::{KeyId, TrustedKey};

/// How far the clocks of two machines may be apart, in seconds.
pub(crate) const SKEW: u64 = 5 * 60;

/// Why a record is not taken. Nothing of it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody has signed it.
    Unsigned,
    /// The key that it names is not trusted.
    UnknownKey {
        /// The key.
        id: KeyId,
    },
    /// The trusted key that it names did not sign this.
    BadSignature {
        /// The key.
        id: KeyId,
    },
    /// It is the record of another action.
    OtherKey {
        /// That action.
        found: ActionKey,
    },
    /// It was signed before its key was to be trusted.
    NotYetValid {
        /// The key.
        id: KeyId,
        /// When it was signed, in seconds since 1970.
        signed: u64,
    },
    /// It was signed after its key ceased to be trusted.
    Expired {
        /// The key.
        id: KeyId,
        /// When it was signed, in seconds since 1970.
        signed: u64,
    },
    /// It was made or signed in the future: one of the clocks is wrong.
    FromTheFuture {
        /// By how much, in seconds.
        ahead: u64,
    },
    /// It is signed, but cannot be understood.
    Malformed,
    /// It was written by another release of kiln.
    OtherFormat {
        /// The format's number.
        found: u32,
    },
    /// It is larger than any record.
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
    /// An object of it has another content than was signed.
    WrongContent {
        /// The object.
        object: ObjectDigest,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("it is not signed"),
            Self::UnknownKey { id } => write!(f, "signed by key {id}, which is not trusted"),
            Self::BadSignature { id } => write!(f, "not what key {id} has signed"),
            Self::OtherKey { found } => write!(f, "it is the record of {}", found.0.short()),
            Self::NotYetValid { id, signed } => {
                write!(f, "signed at {signed}, before key {id} is valid")
            }
            Self::Expired { id, signed } => {
                write!(f, "signed at {signed}, after key {id} was valid")
            }
            Self::FromTheFuture { ahead } => write!(
                f,
                "made {ahead} s in the future: the clock here or there is wrong"
            ),
            Self::Malformed => f.write_str("signed, but damaged before that"),
            Self::OtherFormat { found } => write!(f, "it has format {found}, not this release's"),
            Self::TooLarge { size } => write!(f, "{size} bytes are too much for a record"),
            Self::WrongContent { object } => {
                write!(f, "object {} has another content", object.0.short())
            }
        }
    }
}

/// The keys whose records are taken.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    keys: Vec<TrustedKey>,
}

impl Trust {
    /// Trusts these keys. One key may be given several times, with several spans of time; without any,
    /// every record is refused.
    pub fn new(keys: Vec<TrustedKey>) -> Self {
        Self { keys }
    }

    /// Whether no key is trusted.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Reads an envelope that was found under a key, at a time in seconds since 1970.
    ///
    /// # Errors
    ///
    /// When it must not be believed.
    pub fn verify(
        &self,
        envelope: &[u8],
        asked: &ActionKey,
        now: u64,
    ) -> Result<SignedRecord, Refusal> {
        let sealed = envelope::open(envelope)?;
        let id = sealed.id;
        let mut keys = self.keys.iter().filter(|key| key.id() == id);
        let first = keys.clone().next().ok_or(Refusal::UnknownKey { id })?;
        if !first.has_signed(&sealed.message, &sealed.signature) {
            return Err(Refusal::BadSignature { id });
        }
        // All that follows was written by somebody whom we trust.
        let signed = sealed.read()?;
        if signed.record.key != *asked {
            return Err(Refusal::OtherKey {
                found: signed.record.key,
            });
        }
        let latest = signed.signed.max(signed.record.created / 1_000_000_000);
        if latest > now.saturating_add(SKEW) {
            return Err(Refusal::FromTheFuture {
                ahead: latest - now,
            });
        }
        let in_time = |key: &TrustedKey| {
            key.not_before.is_none_or(|from| signed.signed >= from)
                && key.not_after.is_none_or(|to| signed.signed <= to)
        };
        if !keys.any(in_time) {
            let signed = signed.signed;
            return Err(if first.not_before.is_some_and(|from| signed < from) {
                Refusal::NotYetValid { id, signed }
            } else {
                Refusal::Expired { id, signed }
            });
        }
        Ok(signed)
    }
}
