//! What can go wrong with a server, split where callers or readers act differently.
//!
//! No variant should ever fail a build: whoever gets one builds. [`RemoteError::Refused`] is worth a loud
//! warning, [`RemoteError::Store`] is the local disk's, the others are worth one line a run.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kiln_cache::{ActionKey, ObjectDigest, StoreError};
use kiln_files::Suspicion;

use crate::blob::BlobDigest;
use crate::endpoint::Endpoint;
use crate::signing::{KeyError, Refusal};
use crate::tree::TreeError;

/// Something that stands behind an error and is only shown.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// Why a server did not do what was asked of it, or was not asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// A file named in the options cannot be read or written.
    #[error("cannot access {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file named in the options is not believed.
    #[error("{}", .0.advice())]
    Untrusted(Suspicion),
    /// A file named in the options holds no usable key.
    #[error("{}: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: KeyError,
    },
    /// The certificates or keys for TLS cannot be used.
    #[error("cannot use the TLS certificates for {endpoint}: {source}")]
    Tls {
        /// The server.
        endpoint: Endpoint,
        /// What is wrong with them.
        source: Cause,
    },
    /// A header's name or value cannot be sent.
    #[error("header {name:?} cannot be sent: names are lower case, values visible ASCII")]
    Header {
        /// The header.
        name: String,
    },
    /// The credential helper failed or said something that is no answer.
    #[error("credential helper {}: {problem}", path.display())]
    Helper {
        /// The program.
        path: PathBuf,
        /// What was wrong.
        problem: String,
    },
    /// Nobody answers there.
    #[error("cannot reach {endpoint}: {source}")]
    Unreachable {
        /// The server.
        endpoint: Endpoint,
        /// What the system or the transport said.
        source: Cause,
    },
    /// The server's certificate is not one that we trust, or not for that name.
    #[error("the certificate of {endpoint} is not trusted: {source}")]
    Certificate {
        /// The server.
        endpoint: Endpoint,
        /// What is wrong with it.
        source: Cause,
    },
    /// The server wants another certificate of us, or one at all.
    #[error("{endpoint} does not accept our certificate: {source}")]
    ClientCertificate {
        /// The server.
        endpoint: Endpoint,
        /// The alert that it sent.
        source: Cause,
    },
    /// The server does not accept our credentials, also not after they were read again.
    #[error("{endpoint} does not accept our credentials: {message}")]
    Denied {
        /// The server.
        endpoint: Endpoint,
        /// What it said.
        message: String,
    },
    /// The server knows us and does not allow this.
    #[error("{endpoint} does not allow {call}: {message}")]
    Forbidden {
        /// The server.
        endpoint: Endpoint,
        /// The method.
        call: &'static str,
        /// What it said.
        message: String,
    },
    /// A call took longer than it may.
    #[error("{endpoint} did not answer {call} within {} s", after.as_secs_f32())]
    Deadline {
        /// The server.
        endpoint: Endpoint,
        /// The method.
        call: &'static str,
        /// How long it was given.
        after: Duration,
    },
    /// Waiting for the server has cost what it may cost in a run.
    #[error("{endpoint} is too slow: {} s spent waiting for it in {call}", waited.as_secs_f32())]
    TooSlow {
        /// The server.
        endpoint: Endpoint,
        /// The method that was waited for.
        call: &'static str,
        /// How long calls were waited for in this run, all in all.
        waited: Duration,
    },
    /// The server sends what nobody asked for, without end.
    #[error("{endpoint} sends more than it was asked for")]
    Noise {
        /// The server.
        endpoint: Endpoint,
    },
    /// The server has no room, or no quota for us.
    #[error("{endpoint} is full or over its quota: {message}")]
    Full {
        /// The server.
        endpoint: Endpoint,
        /// What it said.
        message: String,
    },
    /// The server does not execute actions.
    #[error("{endpoint} is a cache without remote execution")]
    NoExecution {
        /// The server.
        endpoint: Endpoint,
    },
    /// The server is not of the Remote Execution API, or has no cache.
    #[error("{endpoint} does not offer {service} of the Remote Execution API")]
    NoService {
        /// The server.
        endpoint: Endpoint,
        /// The service or method that it lacks.
        service: &'static str,
    },
    /// The server does not speak version 2 of the API.
    #[error("{endpoint} speaks version {found} of the Remote Execution API, not 2")]
    Version {
        /// The server.
        endpoint: Endpoint,
        /// The highest version that it speaks.
        found: String,
    },
    /// The server does not name blobs by SHA-256.
    #[error("{endpoint} does not offer SHA-256 digests")]
    NoDigest {
        /// The server.
        endpoint: Endpoint,
    },
    /// The server answered with an error that is none of the others.
    #[error("{endpoint} failed in {call}: {code}: {message}")]
    Rpc {
        /// The server.
        endpoint: Endpoint,
        /// The method.
        call: &'static str,
        /// The status code.
        code: RpcCode,
        /// What it said.
        message: String,
    },
    /// The server's answer contradicts the API.
    #[error("{endpoint} gave an answer to {call} that cannot be understood: {what}")]
    Answer {
        /// The server.
        endpoint: Endpoint,
        /// The method.
        call: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The server does not have a blob.
    #[error("{endpoint} does not have blob {digest}")]
    MissingBlob {
        /// The server.
        endpoint: Endpoint,
        /// The blob.
        digest: BlobDigest,
    },
    /// What the server gave for a blob is something else, or cut short.
    #[error("{endpoint} gave a wrong content for blob {digest}")]
    WrongBlob {
        /// The server.
        endpoint: Endpoint,
        /// The blob.
        digest: BlobDigest,
    },
    /// A blob of ours changed or went away before it was uploaded.
    #[error("{} is no longer blob {digest}", path.display())]
    Changed {
        /// Where it was.
        path: PathBuf,
        /// What it was.
        digest: BlobDigest,
    },
    /// The record of a key must not be used.
    #[error("record of {} refused: {refusal}", key.0.short())]
    Refused {
        /// The key that was asked for.
        key: ActionKey,
        /// Why.
        refusal: Refusal,
    },
    /// There is no key to sign with, so nothing may be uploaded.
    #[error("records are not uploaded without a signing key")]
    NoSigningKey,
    /// A record to be uploaded names an object that the store does not have.
    #[error("object {object} of the record of {} is not in the cache", key.0.short())]
    NoObject {
        /// The record's key.
        key: ActionKey,
        /// The object.
        object: ObjectDigest,
    },
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server failed before in this run and is not asked again.
    #[error("{0}")]
    GaveUp(Arc<RemoteError>),
    /// An action took longer than it may.
    #[error("the action took too long: {message}")]
    TimedOut {
        /// What the server said.
        message: String,
    },
    /// A tree of inputs cannot be made.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The caller did not want the answer any more.
    #[error("cancelled")]
    Cancelled,
}

impl RemoteError {
    /// That a file cannot be read.
    pub fn file(path: &std::path::Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_path_buf(),
            source,
        }
    }

    /// Whether the server has to be left alone for the rest of the run.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::File { .. }
                | Self::Untrusted(_)
                | Self::Tls { .. }
                | Self::Header { .. }
                | Self::Helper { .. }
                | Self::Unreachable { .. }
                | Self::Certificate { .. }
                | Self::ClientCertificate { .. }
                | Self::Denied { .. }
                | Self::Deadline { .. }
                | Self::TooSlow { .. }
                | Self::Noise { .. }
                | Self::NoService { .. }
                | Self::Version { .. }
                | Self::NoDigest { .. }
        )
    }

    /// Whether the server said that something is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Rpc { code, .. } if code.0 == tonic::Code::NotFound)
    }
}

/// A status code of gRPC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RpcCode(pub(crate) tonic::Code);

impl RpcCode {
    /// The code's number, as gRPC defines it.
    pub fn number(self) -> i32 {
        self.0 as i32
    }
}

impl fmt::Display for RpcCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            tonic::Code::Ok => "OK",
            tonic::Code::Cancelled => "CANCELLED",
            tonic::Code::Unknown => "UNKNOWN",
            tonic::Code::InvalidArgument => "INVALID_ARGUMENT",
            tonic::Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
            tonic::Code::NotFound => "NOT_FOUND",
            tonic::Code::AlreadyExists => "ALREADY_EXISTS",
            tonic::Code::PermissionDenied => "PERMISSION_DENIED",
            tonic::Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            tonic::Code::FailedPrecondition => "FAILED_PRECONDITION",
            tonic::Code::Aborted => "ABORTED",
            tonic::Code::OutOfRange => "OUT_OF_RANGE",
            tonic::Code::Unimplemented => "UNIMPLEMENTED",
            tonic::Code::Internal => "INTERNAL",
            tonic::Code::Unavailable => "UNAVAILABLE",
            tonic::Code::DataLoss => "DATA_LOSS",
            tonic::Code::Unauthenticated => "UNAUTHENTICATED",
        })
    }
}

impl fmt::Debug for RpcCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Suspicion> for RemoteError {
    fn from(suspicion: Suspicion) -> Self {
        match suspicion {
            Suspicion::Unknown { path, source } => Self::File { path, source },
            other => Self::Untrusted(other),
        }
    }
}
