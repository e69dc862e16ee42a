//! `kiln remote`: the keys of a shared cache, and whether its server can be used.

use kiln_build::shared::{SharedCacheError, options};
use kiln_config::{Endpoint, Settings};
use kiln_remote::{RemoteCache, SigningKey, Trust, write_key_pair};

use crate::{Exit, cli::RemoteCommand, error::CommandError, report};

pub(super) fn run(settings: &Settings, command: &RemoteCommand) -> Result<Exit, CommandError> {
    match command {
        RemoteCommand::Keygen { private, public } => keygen(private, public)?,
        RemoteCommand::Status(_) => return status(settings),
    }
    Ok(Exit::Success)
}

fn keygen(private: &std::path::Path, public: &std::path::Path) -> Result<(), SharedCacheError> {
    let key = SigningKey::generate().map_err(SharedCacheError::Key)?;
    write_key_pair(private, public, &key)?;
    report::new_keys(private, public, &key.id().to_string());
    Ok(())
}

/// Asks each server that is set what it offers.
fn status(settings: &Settings) -> Result<Exit, CommandError> {
    let cache = settings.remote_cache.as_ref();
    let exec = settings.remote_exec.as_ref();
    let servers: [(&str, Option<&Endpoint>); 2] = [
        ("remote_cache", cache.map(|server| &server.endpoint)),
        ("remote_exec", exec.map(|server| &server.endpoint)),
    ];
    let mut exit = Exit::Success;
    for (name, endpoint) in servers {
        let Some(endpoint) = endpoint else {
            report::server_not_set(name);
            continue;
        };
        let client = RemoteCache::new(options(settings, endpoint)?, Trust::new(Vec::new()), None)
            .map_err(SharedCacheError::Client)?;
        match client.check() {
            Ok(info) if name == "remote_exec" && !info.execution => {
                report::server_cannot_run(name, endpoint);
                exit = Exit::Environment;
            }
            Ok(info) => report::server(name, endpoint, &info),
            Err(error) => {
                report::server_fails(name, endpoint, &error);
                exit = Exit::Environment;
            }
        }
    }
    Ok(exit)
}
