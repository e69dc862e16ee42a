//! The envelope: a record, the names of its objects on the wire, and a signature over all of it.
//!
//! Before the signature has been checked, only the two fields that say whose it is are looked at.

use std::collections::BTreeMap;

use kiln_cache::{ActionRecord, DecodeError, Digest, ObjectDigest};

use super::key::{KeyId, SigningKey};
use super::trust::Refusal;
use crate::blob::BlobDigest;

const MAGIC: &[u8; 8] = b"kilnsig\n";

/// The layout's version. A change of it makes every record uploaded before a miss.
const VERSION: u32 = 1;

/// What the store writes first into a record of its own.
const BARE_RECORD: &[u8; 8] = b"kilnrec\n";

/// No signature for another purpose is one of these, whatever was signed.
const DOMAIN: &[u8] = b"kiln-remote 2026-11-23 signed record\0";

const SIGNATURE: usize = 64;

/// Magic number, version, key.
const HEADER: usize = 8 + 4 + 32;

/// A record that somebody whom we trust has signed, as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRecord {
    /// The record.
    pub record: ActionRecord,
    /// What each of its objects is called on the wire.
    pub blobs: BTreeMap<ObjectDigest, BlobDigest>,
    /// Who signed it.
    pub key: KeyId,
    /// When, in seconds since 1970.
    pub signed: u64,
}

/// Puts a record into an envelope.
pub(crate) fn seal(
    record: &ActionRecord,
    blobs: &BTreeMap<ObjectDigest, BlobDigest>,
    key: &SigningKey,
    now: u64,
) -> Vec<u8> {
    let record = record.to_bytes();
    let mut bytes = Vec::with_capacity(HEADER + record.len() + 72 * blobs.len() + 128);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&key.id().0);
    bytes.extend_from_slice(&now.to_le_bytes());
    bytes.extend_from_slice(&(record.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&record);
    bytes.extend_from_slice(&(blobs.len() as u64).to_le_bytes());
    for (object, blob) in blobs {
        bytes.extend_from_slice(object.0.as_bytes());
        bytes.extend_from_slice(&blob.sha256);
        bytes.extend_from_slice(&blob.size.to_le_bytes());
    }
    let signature = key.sign(&message(&bytes));
    bytes.extend_from_slice(&signature);
    bytes
}

/// What is signed.
fn message(bytes: &[u8]) -> Vec<u8> {
    [DOMAIN, bytes].concat()
}

/// An envelope that nobody has vouched for yet.
pub(super) struct Sealed {
    /// Who is said to have signed it.
    pub(super) id: KeyId,
    /// What is said to have been signed.
    pub(super) message: Vec<u8>,
    pub(super) signature: [u8; SIGNATURE],
}

/// Takes an envelope apart as far as is needed to check the signature.
pub(super) fn open(bytes: &[u8]) -> Result<Sealed, Refusal> {
    if bytes.starts_with(BARE_RECORD) || !bytes.starts_with(MAGIC) {
        return Err(Refusal::Unsigned);
    }
    let cut = Refusal::Unsigned;
    let (signed, signature) = bytes.split_last_chunk::<SIGNATURE>().ok_or(cut)?;
    let mut header = Fields(&signed[MAGIC.len().min(signed.len())..]);
    let version = header.array().ok_or(cut)?;
    let id = KeyId(header.array().ok_or(cut)?);
    match u32::from_le_bytes(version) {
        VERSION => Ok(Sealed {
            id,
            message: message(signed),
            signature: *signature,
        }),
        found => Err(Refusal::OtherFormat { found }),
    }
}

impl Sealed {
    /// Reads the rest. Only for what a trusted key has signed.
    pub(super) fn read(&self) -> Result<SignedRecord, Refusal> {
        let mut fields = Fields(&self.message[DOMAIN.len() + HEADER..]);
        let body = fields.body().ok_or(Refusal::Malformed)?;
        let record = ActionRecord::from_bytes(body.record).map_err(|error| match error {
            DecodeError::Version { found, .. } => Refusal::OtherFormat { found },
            DecodeError::Damaged => Refusal::Malformed,
        })?;
        let named = |object| body.blobs.contains_key(&object);
        let sized = record.outputs.iter().all(|output| {
            let blob = body.blobs.get(&output.object);
            blob.is_some_and(|blob| blob.size == output.size)
        });
        if !sized || !record.objects().all(named) {
            return Err(Refusal::Malformed);
        }
        Ok(SignedRecord {
            record,
            blobs: body.blobs,
            key: self.id,
            signed: body.signed,
        })
    }
}

/// Reads an envelope of anybody's as if its signature were good, and a body without any.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_for_fuzzing(bytes: &[u8]) {
    let bare = Sealed {
        id: KeyId([0; 32]),
        message: [DOMAIN, &[0; HEADER], bytes].concat(),
        signature: [0; SIGNATURE],
    };
    for sealed in open(bytes).ok().into_iter().chain([bare]) {
        if let Ok(signed) = sealed.read() {
            assert!(
                signed
                    .record
                    .objects()
                    .all(|object| signed.blobs.contains_key(&object))
            );
        }
    }
}

struct Body<'b> {
    signed: u64,
    record: &'b [u8],
    blobs: BTreeMap<ObjectDigest, BlobDigest>,
}

/// What has not been read yet.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Everything, to the last byte.
    fn body(&mut self) -> Option<Body<'b>> {
        let signed = self.number()?;
        let record = self.bytes()?;
        let mut blobs = BTreeMap::new();
        for _ in 0..self.number()? {
            let object = ObjectDigest(Digest::from_bytes(self.array()?));
            let sha256 = self.array()?;
            let size = self.number()?;
            blobs.insert(object, BlobDigest { sha256, size });
        }
        self.0.is_empty().then_some(Body {
            signed,
            record,
            blobs,
        })
    }
}

#[cfg(test)]
mod tests;
