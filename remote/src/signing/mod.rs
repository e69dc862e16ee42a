//! Whose records are taken: Ed25519 keys, the signed envelope of a record, and the check of one.
//!
//! The server is not trusted with anything. A record is believed if a key that the client was told to
//! trust has signed it for the very key that was asked for; the objects are believed by their digests,
//! which are in what was signed. The layout of the envelope is in `docs/remote.md`.

mod envelope;
mod key;
mod trust;

pub use envelope::SignedRecord;
#[cfg(feature = "fuzzing")]
pub(crate) use envelope::read_for_fuzzing;
pub(crate) use envelope::seal;
pub use key::{KeyError, KeyId, SigningKey, TrustedKey, write_key_pair};
pub use trust::{Refusal, Trust};
