//! What `kiln remote` says.

use std::path::Path;

use kiln_config::Endpoint;
use kiln_remote::{RemoteError, ServerInfo};

use super::{out, words::chain};

/// A key pair was made.
pub(crate) fn new_keys(private: &Path, public: &Path, id: &str) {
    out::line(&format!("key {id}"));
    out::line(&format!(
        "  signs:    {} (signing.key on machines that upload)",
        private.display()
    ));
    out::line(&format!(
        "  believed: {} (signing.trust on all others)",
        public.display()
    ));
}

/// No server is set.
pub(crate) fn server_not_set(name: &str) {
    out::line(&format!("{name}: not set"));
}

/// A server answers.
pub(crate) fn server(name: &str, endpoint: &Endpoint, info: &ServerInfo) {
    out::line(&format!("{name}: {endpoint} answers"));
    out::line(&format!(
        "  REAPI {} to {}, {}{}",
        info.versions.0,
        info.versions.1,
        if info.update {
            "takes results"
        } else {
            "takes no results from us"
        },
        if info.execution { ", runs actions" } else { "" },
    ));
    out::line(&format!(
        "  batches of up to {} KiB{}",
        info.batch >> 10,
        if info.zstd { ", zstd" } else { "" }
    ));
}

/// A server answers, and is no engine.
pub(crate) fn server_cannot_run(name: &str, endpoint: &Endpoint) {
    out::error_line(&format!("{name}: {endpoint} answers, and runs no actions"));
}

/// A server cannot be used.
pub(crate) fn server_fails(name: &str, endpoint: &Endpoint, error: &RemoteError) {
    out::error_line(&format!("{name}: {endpoint}: {}", chain(error)));
}
