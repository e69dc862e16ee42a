//! Downloads: batches for small blobs, ByteStream reads for larger ones, resumed where they broke off.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;
use tokio::task::JoinSet;
use tonic::Code;

use super::batches;
use crate::blob::{BlobDigest, BlobHasher};
use crate::error::RemoteError;
use crate::proto::bytestream::ReadRequest;
use crate::proto::bytestream::byte_stream_client::ByteStreamClient;
use crate::proto::reapi;
use crate::session::{Call, Failure, MESSAGE_LIMIT, Session, Tries};
use reapi::content_addressable_storage_client::ContentAddressableStorageClient as Client;

const BATCH: Call = Call::read("BatchReadBlobs");
const READ: Call = Call::read("Read");

/// A blob that was downloaded and has its digest.
#[derive(Debug)]
pub(crate) enum Received {
    /// A small one.
    Memory(Vec<u8>),
    /// A large one, in a file of mode 0600.
    File(NamedTempFile),
}

impl Session {
    /// Downloads blobs, large ones to files in `scratch`. Those that the server does not have are missing
    /// in the answer.
    pub(crate) async fn download(
        self: &Arc<Self>,
        digests: Vec<BlobDigest>,
        scratch: &Path,
    ) -> Result<HashMap<BlobDigest, Received>, RemoteError> {
        let mut digests = digests;
        digests.sort_unstable();
        digests.dedup();
        let mut received = HashMap::with_capacity(digests.len());
        // No server needs to be asked for nothing.
        if digests.first().is_some_and(|digest| digest.size == 0) {
            digests.retain(|digest| digest.size > 0);
            received.insert(BlobDigest::of(b""), Received::Memory(Vec::new()));
        }
        if digests.is_empty() {
            return Ok(received);
        }
        let limit = self.server().await?.info.batch;
        let (batches, large) = batches(digests, |digest| *digest, limit);
        let mut tasks = JoinSet::new();
        for batch in batches {
            let session = Arc::clone(self);
            tasks.spawn(async move { session.download_batch(batch).await });
        }
        for digest in large {
            let (session, scratch) = (Arc::clone(self), scratch.to_path_buf());
            tasks.spawn(async move {
                let file = session.download_stream(digest, scratch).await?;
                Ok(file
                    .map(|file| (digest, Received::File(file)))
                    .into_iter()
                    .collect())
            });
        }
        while let Some(done) = tasks.join_next().await {
            let some: Vec<_> = done.expect("downloads neither panic nor are they aborted")?;
            self.counts.blobs_received.add(some.len() as u64);
            received.extend(some);
        }
        Ok(received)
    }

    async fn download_batch(
        &self,
        batch: Vec<BlobDigest>,
    ) -> Result<Vec<(BlobDigest, Received)>, RemoteError> {
        let _transfer = self.transfer().await;
        let _room = self
            .room(batch.iter().map(|digest| digest.size).sum())
            .await;
        let message = reapi::BatchReadBlobsRequest {
            instance_name: self.endpoint().instance().to_owned(),
            digests: batch.iter().map(|digest| digest.to_proto()).collect(),
            ..Default::default()
        };
        let answer = self.unary(BATCH, message, |channel, request| async move {
            let mut client = Client::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
            client.batch_read_blobs(request).await
        });
        let mut received = Vec::with_capacity(batch.len());
        for one in answer.await?.responses {
            let digest = BlobDigest::from_proto(one.digest.as_ref());
            let digest = digest.filter(|digest| batch.contains(digest));
            let digest = digest.ok_or_else(|| RemoteError::Answer {
                endpoint: self.endpoint().clone(),
                call: BATCH.name,
                what: "a blob that was not asked for",
            })?;
            let status = one.status.unwrap_or_default();
            match Code::from_i32(status.code) {
                Code::Ok if BlobDigest::of(&one.data) == digest => {
                    received.push((digest, Received::Memory(one.data)));
                }
                Code::Ok => {
                    return Err(RemoteError::WrongBlob {
                        endpoint: self.endpoint().clone(),
                        digest,
                    });
                }
                Code::NotFound => {}
                _ => return Err(self.blob_failure(BATCH.name, &status)),
            }
        }
        Ok(received)
    }

    /// Downloads a blob to a file; `None` if the server does not have it.
    async fn download_stream(
        &self,
        digest: BlobDigest,
        scratch: PathBuf,
    ) -> Result<Option<NamedTempFile>, RemoteError> {
        let _transfer = self.transfer().await;
        let file = NamedTempFile::new_in(&scratch);
        let mut stream = Stream {
            digest,
            hasher: BlobHasher::default(),
            file: file.map_err(|error| RemoteError::file(&scratch, error))?,
        };
        let mut tries = Tries::new(self, READ);
        loop {
            let before = stream.hasher.size();
            match self.read_on(&mut stream).await {
                Ok(()) => break,
                Err(Failure { error, .. }) if error.is_not_found() => return Ok(None),
                Err(failure) => {
                    if stream.hasher.size() > before {
                        tries.progressed();
                    }
                    tries.after(failure).await?;
                }
            }
        }
        if stream.hasher.finish() != digest {
            return Err(RemoteError::WrongBlob {
                endpoint: self.endpoint().clone(),
                digest,
            });
        }
        Ok(Some(stream.file))
    }

    /// Reads on from where a stream is, to its end or until it breaks off.
    async fn read_on(&self, stream: &mut Stream) -> Result<(), Failure> {
        let message = ReadRequest {
            resource_name: self.endpoint().resource(&stream.digest.resource()),
            read_offset: stream.hasher.size() as i64,
            read_limit: 0,
        };
        let mut answer = self
            .attempt(READ, message, |channel, request| async move {
                let client = ByteStreamClient::new(channel);
                client
                    .max_decoding_message_size(MESSAGE_LIMIT)
                    .read(request)
                    .await
            })
            .await?;
        loop {
            let next = async {
                let next = answer.message().await;
                next.map_err(|status| Failure::of(self.endpoint(), READ.name, 0, &status))
            };
            let Some(piece) = self.bounded(READ, next).await? else {
                break;
            };
            let wrong = || RemoteError::WrongBlob {
                endpoint: self.endpoint().clone(),
                digest: stream.digest,
            };
            if stream.hasher.size() + piece.data.len() as u64 > stream.digest.size {
                return Err(Failure::end(wrong()));
            }
            // Into the page cache: no longer than hashing it takes.
            let written = stream.file.write_all(&piece.data);
            written.map_err(|error| Failure::end(RemoteError::file(stream.file.path(), error)))?;
            stream.hasher.update(&piece.data);
        }
        if stream.hasher.size() < stream.digest.size {
            return Err(Failure::again(RemoteError::WrongBlob {
                endpoint: self.endpoint().clone(),
                digest: stream.digest,
            }));
        }
        Ok(())
    }
}

struct Stream {
    digest: BlobDigest,
    hasher: BlobHasher,
    file: NamedTempFile,
}
