//! What we show a server with each call: a bearer token, or what a credential helper says.
//!
//! The helper is asked as Bazel asks one (EngFlow's credential-helper specification): `HELPER get`, a JSON
//! object with the `uri` on its standard input, one with `headers` and perhaps `expires` on its output.
//! Secrets are never shown, neither by `Debug` nor in errors.

mod expiry;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use kiln_files::{Guard, Secrecy};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Mutex;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use zeroize::Zeroizing;

use crate::believed;
use crate::error::RemoteError;

/// Who we say we are.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nobody.
    #[default]
    None,
    /// Whoever has this bearer token.
    Token(Token),
    /// Whoever has the bearer token in this file. It is read again every half minute, and at once when
    /// the server refuses what it held.
    TokenFile(PathBuf),
    /// Whoever this program says. It is asked again when what it said has expired or is refused.
    Helper(PathBuf),
}

/// A bearer token; not shown, and wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Takes a token; white space around it is not part of it.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned().into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// A file is cheap to read; whoever renews it does so before it expires.
const FILE_LIFE: Duration = Duration::from_secs(30);

/// What expires within this time is renewed already.
const MARGIN: Duration = Duration::from_secs(10);

pub(crate) type Headers = Vec<(AsciiMetadataKey, AsciiMetadataValue)>;

/// Keeps what was read or said until it expires.
#[derive(Debug)]
pub(crate) struct CredentialSource {
    credentials: Credentials,
    uri: String,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    headers: Option<Headers>,
    expires: Option<SystemTime>,
    /// Counts how often it was renewed, so that many refused calls renew it once.
    generation: u64,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("expires", &self.expires)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl CredentialSource {
    pub(crate) fn new(credentials: Credentials, uri: String) -> Self {
        Self {
            credentials,
            uri,
            held: Mutex::default(),
        }
    }

    /// The headers to send, and which generation of them this is.
    pub(crate) async fn headers(&self) -> Result<(Headers, u64), RemoteError> {
        let mut held = self.held.lock().await;
        let now = SystemTime::now();
        let good = held.expires.is_none_or(|expires| now + MARGIN < expires);
        if let Some(headers) = held.headers.as_ref().filter(|_| good) {
            return Ok((headers.clone(), held.generation));
        }
        let (headers, expires) = self.renew(now).await?;
        held.headers = Some(headers.clone());
        held.expires = expires;
        held.generation += 1;
        Ok((headers, held.generation))
    }

    /// The server refused this generation. Whether there may be a better one.
    pub(crate) async fn refused(&self, generation: u64) -> bool {
        if matches!(self.credentials, Credentials::None | Credentials::Token(_)) {
            return false;
        }
        let mut held = self.held.lock().await;
        if held.generation == generation {
            held.headers = None;
        }
        true
    }

    async fn renew(&self, now: SystemTime) -> Result<(Headers, Option<SystemTime>), RemoteError> {
        match &self.credentials {
            Credentials::None => Ok((Vec::new(), None)),
            Credentials::Token(token) => Ok((bearer(token)?, None)),
            Credentials::TokenFile(path) => {
                let bytes = believed::read_aside(path, Secrecy::Secret).await?;
                let text = str::from_utf8(&bytes).map_err(|error| {
                    RemoteError::file(path, io::Error::new(io::ErrorKind::InvalidData, error))
                })?;
                Ok((bearer(&Token::new(text))?, Some(now + FILE_LIFE + MARGIN)))
            }
            Credentials::Helper(path) => ask(path, &self.uri).await,
        }
    }
}

fn bearer(token: &Token) -> Result<Headers, RemoteError> {
    let value = Zeroizing::new(format!("Bearer {}", *token.0));
    let header = header("authorization", &value)?;
    Ok(vec![header])
}

/// A header as the transport wants it.
pub(crate) fn header(
    name: &str,
    value: &str,
) -> Result<(AsciiMetadataKey, AsciiMetadataValue), RemoteError> {
    let bad = || RemoteError::Header {
        name: name.to_owned(),
    };
    let key = AsciiMetadataKey::from_bytes(name.as_bytes()).map_err(|_| bad())?;
    let mut value: AsciiMetadataValue = value.parse().map_err(|_| bad())?;
    value.set_sensitive(true);
    Ok((key, value))
}

#[derive(Serialize)]
struct Request<'r> {
    uri: &'r str,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    headers: BTreeMap<String, Vec<String>>,
    expires: Option<String>,
}

async fn ask(path: &Path, uri: &str) -> Result<(Headers, Option<SystemTime>), RemoteError> {
    let failed = |problem: String| RemoteError::Helper {
        path: path.to_path_buf(),
        problem,
    };
    // A name is looked up in PATH, as that of any other program is.
    if path.components().count() > 1 {
        Guard::of_process().inspect(path, Secrecy::Public)?;
    }
    let mut child = Command::new(path)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let request = serde_json::to_vec(&Request { uri }).expect("a string is JSON");
    if let Some(mut stdin) = child.stdin.take() {
        // A helper may answer without reading the question.
        let _ = stdin.write_all(&request).await;
    }
    let output = child
        .wait_with_output()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().find(|line| !line.trim().is_empty());
        return Err(failed(match said {
            Some(line) => format!("{}: {}", output.status, line.trim()),
            None => output.status.to_string(),
        }));
    }
    // What the parser says could quote the token.
    let answer: Response = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("its answer is not the JSON of a credential helper".to_owned()))?;
    let expires = match answer.expires {
        None => None,
        Some(text) => Some(
            expiry::parse(&text)
                .ok_or_else(|| failed(format!("{text:?} is not a time of RFC 3339")))?,
        ),
    };
    let mut headers = Vec::new();
    for (name, values) in &answer.headers {
        for value in values {
            headers.push(header(&name.to_ascii_lowercase(), value)?);
        }
    }
    Ok((headers, expires))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use kiln_files::Suspicion;

    use super::*;

    /// What there is to send, where a file with `content` and `mode` is what says so.
    async fn headers(
        content: &str,
        mode: u32,
        credentials: fn(PathBuf) -> Credentials,
    ) -> Result<usize, RemoteError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let source = CredentialSource::new(credentials(path), "grpcs://cache".to_owned());
        source.headers().await.map(|(headers, _)| headers.len())
    }

    #[tokio::test]
    async fn a_token_that_others_may_read_is_not_sent() {
        let said = |mode| headers("s3cret\n", mode, Credentials::TokenFile);
        assert_eq!(said(0o600).await.unwrap(), 1);
        let error = said(0o644).await.unwrap_err();
        assert!(matches!(
            error,
            RemoteError::Untrusted(Suspicion::Readable { .. })
        ));
    }

    #[tokio::test]
    async fn a_helper_that_others_may_write_to_is_not_asked() {
        let script = "#!/bin/sh\necho '{\"headers\": {\"a\": [\"b\"]}}'\n";
        let said = |mode| headers(script, mode, Credentials::Helper);
        assert_eq!(said(0o755).await.unwrap(), 1);
        assert!(matches!(
            said(0o757).await.unwrap_err(),
            RemoteError::Untrusted(Suspicion::Writable { .. })
        ));
    }
}
