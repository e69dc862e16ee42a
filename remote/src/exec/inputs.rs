//! Getting an action's inputs to the server, and remembering what is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as AsyncMutex;

use super::Engine;
use super::work::Encoded;
use crate::blob::{Blob, BlobDigest};
use crate::error::RemoteError;
use crate::tree::{Directory, Tree};

/// For how long a blob is taken to be there once the server has said so. If it is not, the action fails in
/// a way that makes us ask again.
const TRUSTED: Duration = Duration::from_secs(600);

/// What the server is known to have.
#[derive(Debug, Default)]
pub(super) struct Known {
    blobs: Mutex<HashMap<BlobDigest, Instant>>,
    /// One at a time for each larger tree: the others then find it there.
    parts: Mutex<HashMap<BlobDigest, Arc<AsyncMutex<()>>>>,
}

impl Known {
    fn blobs(&self) -> MutexGuard<'_, HashMap<BlobDigest, Instant>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn part(&self, digest: BlobDigest) -> Arc<AsyncMutex<()>> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(parts.entry(digest).or_default())
    }

    /// The server has lost something: nothing is known any more.
    pub(super) fn forget(&self) {
        self.blobs().clear();
    }

    fn unknown(&self, directory: &Directory) -> Vec<Blob> {
        let blobs = self.blobs();
        let now = Instant::now();
        let known = |digest: &BlobDigest| {
            let since = blobs.get(digest);
            since.is_some_and(|since| now.duration_since(*since) < TRUSTED)
        };
        let mut unknown = Vec::new();
        directory.blobs(&known, &mut unknown);
        unknown
    }

    fn learn(&self, digests: Vec<BlobDigest>) {
        let now = Instant::now();
        self.blobs()
            .extend(digests.into_iter().map(|digest| (digest, now)));
    }
}

impl Engine {
    /// Sees to it that the server has all that an action needs; how many blobs it did not have.
    pub(super) async fn provide(
        &self,
        inputs: &Tree,
        work: &Encoded,
    ) -> Result<usize, RemoteError> {
        let mut sent = 0;
        for part in &inputs.parts {
            let lock = self.known.part(part.root.digest());
            let _alone = lock.lock().await;
            sent += self.provide_blobs(self.known.unknown(&part.root)).await?;
        }
        let mut blobs = self.known.unknown(&inputs.root);
        blobs.extend([work.action.clone(), work.command.clone()]);
        Ok(sent + self.provide_blobs(blobs).await?)
    }

    async fn provide_blobs(&self, blobs: Vec<Blob>) -> Result<usize, RemoteError> {
        if blobs.is_empty() {
            return Ok(0);
        }
        let digests = blobs.iter().map(Blob::digest).collect();
        let sent = self.session.provide(blobs).await?;
        self.known.learn(digests);
        Ok(sent)
    }
}
