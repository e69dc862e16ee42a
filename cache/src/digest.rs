//! Digests: what content is called in the store, and what an action is called.
//!
//! An [`ObjectDigest`] is the plain BLAKE3 of some content, so that `b3sum` agrees with it. An
//! [`ActionKey`] is made by [`KeyBuilder`](crate::KeyBuilder) alone, in a hashing domain of its own.
//! The two are distinct types; neither knows what it names.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// 32 bytes of BLAKE3 output, shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The digest of some content: plain BLAKE3 of the bytes, nothing added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectDigest(pub Digest);

/// The digest of everything that could change an action's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionKey(pub Digest);

/// A text that is not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest of 64 lower-case hexadecimal digits")]
pub struct DigestParseError;

impl Digest {
    /// The length of a digest in bytes.
    pub const LEN: usize = 32;

    /// Takes 32 bytes as a digest, without hashing anything.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The first eight hexadecimal digits: enough for people, never for a lookup.
    pub fn short(&self) -> String {
        self.0[..4].iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl ObjectDigest {
    /// The digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        let mut hasher = ContentHasher::new();
        hasher.update(content);
        hasher.finish()
    }

    /// The digest of all that a reader gives.
    ///
    /// # Errors
    /// Fails if it cannot be read.
    pub fn of_reader(content: impl io::Read) -> io::Result<Self> {
        let mut hasher = ContentHasher::new();
        hasher.0.update_reader(content)?;
        Ok(hasher.finish())
    }
}

/// Hashes content that comes in pieces; large pieces are hashed on all cores.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    /// Below this many bytes, splitting a piece between cores costs more than it saves.
    const PARALLEL: usize = 512 * 1024;

    pub(crate) fn new() -> Self {
        Self(blake3::Hasher::new())
    }

    pub(crate) fn update(&mut self, piece: &[u8]) {
        if piece.len() < Self::PARALLEL {
            self.0.update(piece);
        } else {
            self.0.update_rayon(piece);
        }
    }

    pub(crate) fn finish(&self) -> ObjectDigest {
        ObjectDigest(Digest(*self.0.finalize().as_bytes()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 2 * Self::LEN];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for Digest {
    type Err = DigestParseError;

    fn from_str(text: &str) -> Result<Self, DigestParseError> {
        let text = text.as_bytes();
        if text.len() != 2 * Self::LEN {
            return Err(DigestParseError);
        }
        let mut bytes = [0; Self::LEN];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

/// The value of one lower-case hexadecimal digit; upper case is refused so that a digest has one name.
fn nibble(digit: u8) -> Result<u8, DigestParseError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(DigestParseError),
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?
                .parse()
                .map_err(de::Error::custom)
        } else {
            <[u8; Self::LEN]>::deserialize(deserializer).map(Self)
        }
    }
}

macro_rules! named_digest {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = DigestParseError;

            fn from_str(text: &str) -> Result<Self, DigestParseError> {
                text.parse().map(Self)
            }
        }
    };
}

named_digest!(ObjectDigest);
named_digest!(ActionKey);
