//! What a server offers, asked before anything else.

use super::{Channel, Failure, Session};
use crate::error::RemoteError;
use crate::proto::reapi;
use reapi::capabilities_client::CapabilitiesClient;
use reapi::{compressor, digest_function, symlink_absolute_path_strategy};

/// The most that goes into one message, in bytes, whatever a server would take: gRPC's own limit.
const BATCH: u64 = (4 << 20) - 4096;

/// A server, connected.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) channel: Channel,
    pub(crate) info: ServerInfo,
}

/// What a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The lowest and highest version of the API that it speaks.
    pub versions: (String, String),
    /// The most bytes that it takes in one message.
    pub batch: u64,
    /// The largest blob that it takes, if it says so.
    pub largest_blob: Option<u64>,
    /// Whether blobs may be sent as zstd by ByteStream.
    pub zstd: bool,
    /// Whether records may be written.
    pub update: bool,
    /// Whether it executes actions.
    pub execution: bool,
    /// Whether the inputs of an action may have absolute links.
    pub absolute_links: bool,
}

impl Session {
    /// Asks a server that was just connected.
    pub(super) async fn ask(&self, channel: Channel) -> Result<Server, Failure> {
        let message = reapi::GetCapabilitiesRequest {
            instance_name: self.endpoint().instance().to_owned(),
        };
        let (request, generation) = self.request(message).await?;
        let mut client = CapabilitiesClient::new(channel.clone());
        let answer = client.get_capabilities(request).await.map_err(|status| {
            Failure::of(self.endpoint(), "GetCapabilities", generation, &status)
        })?;
        self.breaker.answered();
        let info = self.understand(answer.get_ref()).map_err(Failure::end)?;
        Ok(Server { channel, info })
    }

    fn understand(&self, answer: &reapi::ServerCapabilities) -> Result<ServerInfo, RemoteError> {
        let endpoint = || self.endpoint().clone();
        let cache = answer.cache_capabilities.as_ref();
        let cache = cache.ok_or_else(|| RemoteError::NoService {
            endpoint: endpoint(),
            service: "a cache",
        })?;
        let version = |version: &Option<bazel_remote_apis::build::bazel::semver::SemVer>| {
            let version = version.clone().unwrap_or_default();
            (
                version.major,
                format!("{}.{}", version.major, version.minor),
            )
        };
        let low = version(&answer.low_api_version);
        let high = version(&answer.high_api_version);
        // A server that leaves them out is taken at its word for everything else.
        if (answer.high_api_version.is_some() && high.0 < 2) || low.0 > 2 {
            return Err(RemoteError::Version {
                endpoint: endpoint(),
                found: high.1,
            });
        }
        let sha256 = digest_function::Value::Sha256 as i32;
        let functions = &cache.digest_functions;
        if !functions.is_empty() && !functions.contains(&sha256) {
            return Err(RemoteError::NoDigest {
                endpoint: endpoint(),
            });
        }
        let batch = match u64::try_from(cache.max_batch_total_size_bytes) {
            Ok(0) | Err(_) => BATCH,
            Ok(limit) => limit.min(BATCH),
        };
        let execution = answer.execution_capabilities.as_ref();
        let execution = execution.is_some_and(|execution| {
            let functions = &execution.digest_functions;
            let listed = functions.is_empty() || functions.contains(&sha256);
            let single = [0, sha256].contains(&execution.digest_function);
            execution.exec_enabled && (single || functions.contains(&sha256)) && listed
        });
        let update = cache.action_cache_update_capabilities.as_ref();
        Ok(ServerInfo {
            versions: (low.1, high.1),
            batch,
            largest_blob: u64::try_from(cache.max_cas_blob_size_bytes)
                .ok()
                .filter(|limit| *limit > 0),
            zstd: cache
                .supported_compressors
                .contains(&(compressor::Value::Zstd as i32)),
            update: update.is_some_and(|update| update.update_enabled),
            execution,
            absolute_links: cache.symlink_absolute_path_strategy()
                == symlink_absolute_path_strategy::Value::Allowed,
        })
    }
}
