//! A client of the Bazel Remote Execution API v2: kiln's records in a shared cache, kiln's jobs elsewhere.
//!
//! [`RemoteCache`] keeps signed records in a server's ActionCache and CAS, [`Executor`] runs actions there.
//! Both are synchronous and may be used from any thread; tokio and tonic stay inside, on two threads of
//! their own. Neither may be called from within another tokio runtime. The crate knows nothing of what is
//! built. It never prints, exits or reads the environment, but that the system's root certificates are
//! looked for where `SSL_CERT_FILE` and `SSL_CERT_DIR` say.
//!
//! What goes over the wire, whom a client trusts and what a server can cost is in `docs/remote.md`.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod believed;
mod blob;
mod budget;
mod cas;
mod credentials;
mod endpoint;
mod error;
mod exec;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod options;
mod proto;
mod session;
mod signing;
mod statistics;
mod tier;
mod tree;

pub use blob::{Blob, BlobDigest};
pub use budget::Budget;
pub use credentials::{Credentials, Token};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{RemoteError, RpcCode};
pub use exec::{Cached, Done, DoneFile, Executor, Handle, Stage, Work};
pub use options::{Options, TlsOptions};
pub use session::ServerInfo;
pub use signing::{
    KeyError, KeyId, Refusal, SignedRecord, SigningKey, Trust, TrustedKey, write_key_pair,
};
pub use statistics::Statistics;
pub use tier::{PushSummary, RemoteCache};
pub use tree::{Mode, Tree, TreeBuilder, TreeError};
