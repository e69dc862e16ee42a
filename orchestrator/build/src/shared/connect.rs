//! From settings to a client of the server that they name.

use kiln_config::Settings;

use super::SharedCache;

/// Why the settings of the shared cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SharedCacheError {
    /// Nothing may be uploaded that nobody has signed.
    #[cfg(feature = "remote")]
    #[error(
        "remote_cache.upload is set and signing.key is not: nobody would believe unsigned records"
    )]
    NoKey,
    /// A key or another file that settings name cannot be used.
    #[cfg(feature = "remote")]
    #[error(transparent)]
    Client(#[from] kiln_remote::RemoteError),
    /// No key can be made.
    #[cfg(feature = "remote")]
    #[error("no key can be made")]
    Key(#[source] kiln_remote::KeyError),
    /// The server's address or a credential is not one for the client.
    #[cfg(feature = "remote")]
    #[error(transparent)]
    Endpoint(#[from] kiln_remote::EndpointError),
}

/// The shared cache that the settings name, if they name one. Nothing is connected yet.
#[cfg(feature = "remote")]
pub fn connect(settings: &Settings) -> Result<Option<SharedCache>, SharedCacheError> {
    use kiln_remote::{RemoteCache, SigningKey, Trust, TrustedKey};

    let Some(cache) = &settings.remote_cache else {
        return Ok(None);
    };
    let mut options = options(settings, &cache.endpoint)?;
    options.budget.patience = cache.budget;
    options.budget.connect = options.budget.connect.min(cache.budget);
    let mut trusted = Vec::new();
    for said in &settings.signing.trust {
        let mut key = TrustedKey::from_file(&said.path)?;
        key.not_before = said.not_before.as_ref().map(seconds);
        key.not_after = said.not_after.as_ref().map(seconds);
        trusted.push(key);
    }
    let key = match &settings.signing.key {
        Some(path) if cache.upload => Some(SigningKey::from_file(path)?),
        None if cache.upload => return Err(SharedCacheError::NoKey),
        _ => None,
    };
    // Who signs believes its own signature.
    trusted.extend(key.as_ref().map(SigningKey::trusted));
    let client = RemoteCache::new(options, Trust::new(trusted), key)?;
    Ok(Some(SharedCache::new(Box::new(client), cache.upload)))
}

/// Without a client there is none; whoever names a server is told so.
#[cfg(not(feature = "remote"))]
pub fn connect(_: &Settings) -> Result<Option<SharedCache>, SharedCacheError> {
    Ok(None)
}

/// How a client is to speak to an endpoint.
#[cfg(feature = "remote")]
pub fn options(
    settings: &Settings,
    endpoint: &kiln_config::Endpoint,
) -> Result<kiln_remote::Options, SharedCacheError> {
    use kiln_config::Credential;
    use kiln_remote::{Credentials, Options, Token};

    let remote = &settings.remote;
    let mut options = Options::new(endpoint.to_string().parse()?);
    options.tls.ca.clone_from(&remote.ca);
    options.tls.identity = remote
        .identity
        .as_ref()
        .map(|identity| (identity.cert.clone(), identity.key.clone()));
    options.credentials = match &remote.credential {
        None => Credentials::None,
        Some(Credential::Token(secret)) => Credentials::Token(Token::new(secret.expose())),
        Some(Credential::TokenFile(path)) => Credentials::TokenFile(path.clone()),
        Some(Credential::Helper(program)) => Credentials::Helper(program.0.clone()),
    };
    let headers = remote.headers.0.iter();
    options.headers = headers.map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok(options)
}

#[cfg(feature = "remote")]
fn seconds(moment: &kiln_config::Moment) -> u64 {
    let since = moment.time.duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
