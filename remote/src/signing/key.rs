//! Ed25519 keys (RFC 8032) in the PEM files that OpenSSL writes and reads: PKCS#8 and SPKI (RFC 8410).

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
};
use ed25519_dalek::{Signer, VerifyingKey};
use kiln_files::Secrecy;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::believed;
use crate::blob::hex;
use crate::error::RemoteError;

/// What a key is called: the SHA-256 of its public half as SPKI DER.
///
/// `openssl pkey -in KEY -pubout -outform DER | sha256sum` says the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(crate) [u8; 32]);

impl KeyId {
    fn of(key: &VerifyingKey) -> Self {
        let der = key
            .to_public_key_der()
            .expect("a key of 32 bytes has an encoding");
        Self(Sha256::digest(der.as_bytes()).into())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0[..4]))
    }
}

/// Why a text holds no key of the kind that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is a public key.
    #[error("is a public key; the private one is needed to sign")]
    Public,
    /// It is a private key, which should not be passed around.
    #[error("is a private key; give the public one to those who only read")]
    Private,
    /// It is neither, or a key for something else than Ed25519.
    #[error("is not an Ed25519 {0} key in PEM")]
    NotEd25519(&'static str),
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    NoRandom,
}

/// The private key with which records are signed. It is wiped from memory when dropped, and not shown.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Makes a new key of the system's random numbers.
    ///
    /// # Errors
    ///
    /// [`KeyError::NoRandom`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret).map_err(|_| KeyError::NoRandom)?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&secret)))
    }

    /// Reads a private key, such as `openssl genpkey -algorithm ed25519` writes.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        match ed25519_dalek::SigningKey::from_pkcs8_pem(text.trim_ascii()) {
            Ok(key) => Ok(Self(key)),
            Err(_) if text.contains("BEGIN PUBLIC KEY") => Err(KeyError::Public),
            Err(_) => Err(KeyError::NotEd25519("private")),
        }
    }

    /// Reads a private key from a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is none, when others may read it, or write to it or on the way to it.
    pub fn from_file(path: &Path) -> Result<Self, RemoteError> {
        from_file(path, Secrecy::Secret, Self::from_pem)
    }

    /// The key's name.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.0.verifying_key())
    }

    /// The private key as PEM. A secret, wiped from memory when dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        // Without the public half: older OpenSSL does not read the later version that has both. It wipes itself.
        let bytes = KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        };
        let pem = bytes.to_pkcs8_pem(LineEnding::LF);
        pem.expect("a key of 32 bytes has an encoding")
    }

    /// The public key as PEM: for those who are to trust it.
    pub fn public_pem(&self) -> String {
        let pem = self.0.verifying_key().to_public_key_pem(LineEnding::LF);
        pem.expect("a key of 32 bytes has an encoding")
    }

    /// The public key, trusted without limits of time.
    pub fn trusted(&self) -> TrustedKey {
        TrustedKey::new(self.0.verifying_key())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.id())
    }
}

/// A public key whose records are taken.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedKey {
    id: KeyId,
    key: VerifyingKey,
    /// What was signed before this time is refused; seconds since 1970.
    pub not_before: Option<u64>,
    /// What was signed after this time is refused; seconds since 1970.
    pub not_after: Option<u64>,
}

impl TrustedKey {
    fn new(key: VerifyingKey) -> Self {
        Self {
            id: KeyId::of(&key),
            key,
            not_before: None,
            not_after: None,
        }
    }

    /// Reads a public key, such as `openssl pkey -pubout` writes.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        match VerifyingKey::from_public_key_pem(text.trim_ascii()) {
            Ok(key) if !key.is_weak() => Ok(Self::new(key)),
            Err(_) if text.contains("PRIVATE KEY") => Err(KeyError::Private),
            _ => Err(KeyError::NotEd25519("public")),
        }
    }

    /// Reads a public key from a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is none, and when others may write to it or on the way to it.
    pub fn from_file(path: &Path) -> Result<Self, RemoteError> {
        from_file(path, Secrecy::Public, Self::from_pem)
    }

    /// The key's name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether this key has made that signature; strictly, so that no signature has a second form.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.key.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedKey")
            .field("id", &self.id)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

fn from_file<K>(
    path: &Path,
    secrecy: Secrecy,
    from_pem: fn(&str) -> Result<K, KeyError>,
) -> Result<K, RemoteError> {
    let bytes = believed::read(path, secrecy)?;
    // What is no text is no key either.
    from_pem(str::from_utf8(&bytes).unwrap_or_default()).map_err(|problem| RemoteError::Key {
        path: path.to_path_buf(),
        problem,
    })
}

/// Writes a key pair to two new files: the private key for the owner's eyes alone (0600), the public one
/// for all (0644).
///
/// # Errors
///
/// When one of them exists or cannot be written. Nothing is left behind then, and nothing overwritten.
pub fn write_key_pair(private: &Path, public: &Path, key: &SigningKey) -> Result<(), RemoteError> {
    write_new(private, 0o600, &key.to_pem()).map_err(|error| RemoteError::file(private, error))?;
    write_new(public, 0o644, &key.public_pem()).map_err(|error| {
        // We made it a moment ago, and it is of no use alone.
        let _ = std::fs::remove_file(private);
        RemoteError::file(public, error)
    })
}

fn write_new(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file: File = options.write(true).create_new(true).mode(mode).open(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// `openssl genpkey -algorithm ed25519`, its `-pubout`, and the SHA-256 of that as DER.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
MC4CAQAwBQYDK2VwBCIEIP5KlviCbfSFu5ZNWIg5t0d/h5eE1dHCAloBrFB3NXvO\n\
-----END PRIVATE KEY-----";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
MCowBQYDK2VwAyEAgjnBp0XF8UMeSeTnv6XOraLrqoBfjyfEAlkHyEtSo20=\n\
-----END PUBLIC KEY-----";
    const ID: &str = "e9cc7d0631c92172adc651d6aa2ed4b34005c64eb71a1e67d051b39fa7f67e7a";

    #[test]
    fn reads_what_openssl_writes() {
        let key = SigningKey::from_pem(PRIVATE).unwrap();
        let trusted = TrustedKey::from_pem(PUBLIC).unwrap();
        assert_eq!(key.id().to_string(), ID);
        assert_eq!(key.trusted(), trusted);
        assert_eq!(key.to_pem().trim(), PRIVATE);
        assert_eq!(key.public_pem().trim(), PUBLIC);
    }

    #[test]
    fn tells_what_is_wrong_with_a_key() {
        assert_eq!(SigningKey::from_pem(PUBLIC).unwrap_err(), KeyError::Public);
        assert_eq!(
            TrustedKey::from_pem(PRIVATE).unwrap_err(),
            KeyError::Private
        );
        let nothing = TrustedKey::from_pem("hello").unwrap_err();
        assert_eq!(nothing, KeyError::NotEd25519("public"));
    }

    #[test]
    fn a_pair_is_written_once_and_for_the_right_eyes() {
        let folder = tempfile::tempdir().unwrap();
        let (private, public) = (folder.path().join("a.pem"), folder.path().join("a.pub"));
        let key = SigningKey::generate().unwrap();
        write_key_pair(&private, &public, &key).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&private), 0o600);
        assert_eq!(SigningKey::from_file(&private).unwrap().id(), key.id());
        assert_eq!(TrustedKey::from_file(&public).unwrap().id(), key.id());

        let other = SigningKey::generate().unwrap();
        write_key_pair(&private, &public, &other).unwrap_err();
        assert_eq!(SigningKey::from_file(&private).unwrap().id(), key.id());
        let third = folder.path().join("b.pem");
        write_key_pair(&third, &public, &other).unwrap_err();
        assert!(!third.exists());
        assert_eq!(format!("{other:?}").len(), "SigningKey(12345678)".len());
    }
}
