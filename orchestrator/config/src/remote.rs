//! How to talk to a remote cache and a remote engine: whom to believe, who to be, and that
//! nothing secret goes over the network unencrypted.

use std::path::{Path, PathBuf};

use kiln_files::Secrecy;

use super::{
    catalog::{
        REMOTE_CA, REMOTE_CERT, REMOTE_CREDENTIAL_HELPER, REMOTE_HEADERS, REMOTE_KEY, REMOTE_TOKEN,
        REMOTE_TOKEN_FILE, Setting,
    },
    endpoint::{Endpoint, Transport},
    error::Problem,
    layers::Layers,
    origin::Layer,
    pairs::Headers,
    path::Program,
    secret::Secret,
};

/// Credentials and headers, the same for both servers.
#[derive(Debug, Clone, Default)]
pub struct RemoteSettings {
    /// The authorities that servers' certificates are checked against, in PEM; the system's
    /// if there is none.
    pub ca: Option<PathBuf>,
    /// The client's certificate, for mTLS.
    pub identity: Option<Identity>,
    /// What stands in `authorization`.
    pub credential: Option<Credential>,
    /// Sent with each call.
    pub headers: Headers,
}

/// A client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its chain, in PEM.
    pub cert: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// How the client says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// By a bearer token.
    Token(Secret),
    /// By the bearer token in a file, which may be replaced while kiln runs.
    TokenFile(PathBuf),
    /// By what a program answers (Bazel's credential helper protocol).
    Helper(Program),
}

/// A server's setting and its address.
type ServerSetting<'a> = (&'static Setting, Option<&'a Endpoint>);

impl RemoteSettings {
    pub(super) fn read(layers: &mut Layers<'_>, servers: &[ServerSetting<'_>]) -> Self {
        let ca = layers.take(&REMOTE_CA, None);
        let settings = Self {
            ca,
            identity: identity(layers),
            credential: credential(layers),
            headers: layers.take(&REMOTE_HEADERS, None).unwrap_or_default(),
        };
        for (setting, endpoint) in servers {
            if let Some(endpoint) = endpoint {
                settings.forbid_cleartext(layers, setting, endpoint);
            }
        }
        settings
    }

    /// The files that must be there: each setting, its path, and who may read it.
    pub(super) fn named_files(&self) -> Vec<(&'static str, &Path, Secrecy)> {
        let mut named = Vec::new();
        if let Some(ca) = &self.ca {
            named.push((REMOTE_CA.key, ca.as_path(), Secrecy::Public));
        }
        if let Some(Identity { cert, key }) = &self.identity {
            named.push((REMOTE_CERT.key, cert, Secrecy::Public));
            named.push((REMOTE_KEY.key, key, Secrecy::Secret));
        }
        match &self.credential {
            Some(Credential::TokenFile(path)) => {
                named.push((REMOTE_TOKEN_FILE.key, path, Secrecy::Secret));
            }
            Some(Credential::Helper(Program(path))) if path.components().count() > 1 => {
                named.push((REMOTE_CREDENTIAL_HELPER.key, path, Secrecy::Public));
            }
            _ => {}
        }
        named
    }

    /// Complains about secrets that a server would be sent unencrypted.
    fn forbid_cleartext(&self, layers: &mut Layers<'_>, server: &Setting, endpoint: &Endpoint) {
        if endpoint.transport == Transport::Tls || endpoint.is_loopback() {
            return;
        }
        let secret = match &self.credential {
            Some(Credential::Token(_)) => REMOTE_TOKEN.key,
            Some(Credential::TokenFile(_)) => REMOTE_TOKEN_FILE.key,
            Some(Credential::Helper(_)) => REMOTE_CREDENTIAL_HELPER.key,
            None if !self.headers.0.is_empty() => REMOTE_HEADERS.key,
            None => return,
        };
        if let Some(origin) = layers.origin(server).cloned() {
            layers.problems.push(Problem::Cleartext {
                origin,
                key: secret,
                url: endpoint.to_string(),
            });
        }
    }
}

fn identity(layers: &mut Layers<'_>) -> Option<Identity> {
    let cert: Option<PathBuf> = layers.take(&REMOTE_CERT, None);
    let key: Option<PathBuf> = layers.take(&REMOTE_KEY, None);
    let (there, missing) = match (cert, key) {
        (Some(cert), Some(key)) => return Some(Identity { cert, key }),
        (None, None) => return None,
        (Some(_), None) => (&REMOTE_CERT, &REMOTE_KEY),
        (None, Some(_)) => (&REMOTE_KEY, &REMOTE_CERT),
    };
    if let Some(origin) = layers.origin(there).cloned() {
        layers.problems.push(Problem::Incomplete {
            origin,
            key: there.key,
            missing: missing.key,
        });
    }
    None
}

/// Of the three ways to say who one is, the one that the latest layer names.
fn credential(layers: &mut Layers<'_>) -> Option<Credential> {
    let token = layers.take(&REMOTE_TOKEN, None);
    let file = layers.take(&REMOTE_TOKEN_FILE, None);
    let helper = layers.take(&REMOTE_CREDENTIAL_HELPER, None);
    let mut named: Vec<(Layer, &'static Setting, Credential)> = [
        (&REMOTE_TOKEN, token.map(Credential::Token)),
        (&REMOTE_TOKEN_FILE, file.map(Credential::TokenFile)),
        (&REMOTE_CREDENTIAL_HELPER, helper.map(Credential::Helper)),
    ]
    .into_iter()
    .filter_map(|(setting, credential)| {
        Some((layers.origin(setting)?.layer(), setting, credential?))
    })
    .collect();
    named.sort_by_key(|(layer, ..)| *layer);
    let (layer, setting, winner) = named.pop()?;
    for (other_layer, other, _) in &named {
        if *other_layer != layer {
            if let Some(entry) = layers.entry(other) {
                entry.gives_way_to = Some(setting.key);
            }
        } else if let Some(origin) = layers.origin(setting).cloned() {
            layers.problems.push(Problem::Alternatives {
                origin,
                key: setting.key,
                other: other.key,
            });
        }
    }
    Some(winner)
}
