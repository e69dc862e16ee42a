//! How to reach a server, who we are, and what it may cost.

use std::path::PathBuf;

use crate::budget::Budget;
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;

/// Everything about one server. Made by [`Options::new`]; the fields may be changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Where it is.
    pub endpoint: Endpoint,
    /// How it proves who it is, and how we do. Only looked at where the endpoint is secure.
    pub tls: TlsOptions,
    /// What we show it.
    pub credentials: Credentials,
    /// Headers to be sent with each call: names in lower case, values of visible ASCII.
    pub headers: Vec<(String, String)>,
    /// What it may cost.
    pub budget: Budget,
    /// How many calls that move blobs may be under way at once.
    pub concurrency: usize,
    /// How many bytes of blobs may be in memory at once.
    pub memory: u64,
    /// Where a large blob is kept that is not to be downloaded anywhere else.
    pub scratch: PathBuf,
}

/// Certificates and keys, as PEM files.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// The certificates that may have signed the server's; the system's own if there is none.
    pub ca: Option<PathBuf>,
    /// Our certificate (with what it needs up to a root) and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that must be in the server's certificate, where it is not the host.
    pub server_name: Option<String>,
}

impl Options {
    /// A server without credentials, with the system's certificates and the default budget.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            tls: TlsOptions::default(),
            credentials: Credentials::None,
            headers: Vec::new(),
            budget: Budget::default(),
            concurrency: 32,
            memory: 64 << 20,
            scratch: PathBuf::from("/tmp"),
        }
    }
}
