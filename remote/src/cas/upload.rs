//! Uploads: batches for small blobs, ByteStream writes for larger ones.

use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::batches;
use crate::blob::{Blob, BlobDigest, hex};
use crate::error::{RemoteError, RpcCode};
use crate::proto::bytestream::WriteRequest;
use crate::proto::bytestream::byte_stream_client::ByteStreamClient;
use crate::proto::{reapi, rpc};
use crate::session::{Access, Call, Session, Tries, is_full, one_line};
use reapi::content_addressable_storage_client::ContentAddressableStorageClient as Client;

/// What a piece of a stream holds.
const PIECE: usize = 256 << 10;

/// How many pieces of one stream may be in memory.
const PIECES: usize = 2;

const BATCH: Call = Call::write("BatchUpdateBlobs");

/// A stream is bounded by the rate that the budget asks for, not by this.
const WRITE: Call = Call {
    name: "Write",
    access: Access::Write,
    deadline: Duration::from_secs(3600),
};

impl Session {
    /// Uploads those of some blobs that the server lacks; how many those were.
    pub(crate) async fn provide(self: &Arc<Self>, blobs: Vec<Blob>) -> Result<usize, RemoteError> {
        let mut seen = HashSet::new();
        let mut blobs = blobs;
        blobs.retain(|blob| seen.insert(blob.digest()));
        let digests: Vec<_> = blobs.iter().map(Blob::digest).collect();
        let missing = self.missing(&digests).await?;
        blobs.retain(|blob| missing.contains(&blob.digest()));
        let sent = blobs.len();
        self.counts.blobs_there.add((digests.len() - sent) as u64);
        self.upload(blobs).await?;
        Ok(sent)
    }

    /// Uploads blobs, whether or not the server has them.
    pub(crate) async fn upload(self: &Arc<Self>, blobs: Vec<Blob>) -> Result<(), RemoteError> {
        let info = self.server().await?.info.clone();
        let limit = info.largest_blob.unwrap_or(u64::MAX);
        if let Some(blob) = blobs.iter().find(|blob| blob.digest().size > limit) {
            return Err(RemoteError::Full {
                endpoint: self.endpoint().clone(),
                message: format!("blob {} is larger than {limit} bytes", blob.digest()),
            });
        }
        let (batches, large) = batches(blobs, Blob::digest, info.batch);
        let mut tasks = JoinSet::new();
        for batch in batches {
            let session = Arc::clone(self);
            tasks.spawn(async move { session.upload_batch(batch).await });
        }
        for blob in large {
            let session = Arc::clone(self);
            tasks.spawn(async move { session.upload_stream(&blob).await });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("uploads neither panic nor are they aborted")?;
        }
        Ok(())
    }

    async fn upload_batch(&self, batch: Vec<Blob>) -> Result<(), RemoteError> {
        let _transfer = self.transfer().await;
        let size: u64 = batch.iter().map(|blob| blob.digest().size).sum();
        // The request, and the copy that is on its way.
        let _room = self.room(2 * size).await;
        let count = batch.len() as u64;
        let message = tokio::task::spawn_blocking(|| read(batch)).await;
        let requests = message.expect("reading files does not panic")?;
        let message = reapi::BatchUpdateBlobsRequest {
            instance_name: self.endpoint().instance().to_owned(),
            requests,
            ..Default::default()
        };
        let answer = self.unary(BATCH, message, |channel, request| async move {
            Client::new(channel).batch_update_blobs(request).await
        });
        let responses = answer.await?.responses;
        let mut statuses = responses.into_iter().filter_map(|one| one.status);
        if let Some(status) = statuses.find(|status| status.code != 0) {
            return Err(self.conclude(BATCH, self.blob_failure(BATCH.name, &status)));
        }
        self.counts.blobs_sent.add(count);
        Ok(())
    }

    /// What the status of one blob of a batch means.
    pub(super) fn blob_failure(&self, call: &'static str, status: &rpc::Status) -> RemoteError {
        let endpoint = self.endpoint().clone();
        let message = one_line(&status.message);
        match Code::from_i32(status.code) {
            code if is_full(code, &message) => RemoteError::Full { endpoint, message },
            code => RemoteError::Rpc {
                endpoint,
                call,
                code: RpcCode(code),
                message,
            },
        }
    }

    async fn upload_stream(&self, blob: &Blob) -> Result<(), RemoteError> {
        let _transfer = self.transfer().await;
        let _room = self.room((PIECES * PIECE) as u64).await;
        let mut tries = Tries::new(self, WRITE);
        loop {
            let name = format!("uploads/{}/blobs/{}", random_uuid(), blob.digest());
            let name = self.endpoint().resource(&name);
            let pieces = pieces(blob, name);
            let written = self.attempt(WRITE, pieces, |channel, request| async move {
                ByteStreamClient::new(channel).write(request).await
            });
            match written.await {
                // Less is said by a server that had the blob already, as -1 or as its size.
                Ok(_) => break,
                Err(failure) => tries.after(failure).await?,
            }
        }
        self.counts.blobs_sent.add(1);
        Ok(())
    }
}

fn read(batch: Vec<Blob>) -> Result<Vec<reapi::batch_update_blobs_request::Request>, RemoteError> {
    let one = |blob: &Blob| {
        let content = blob.content();
        let content = content.map_err(|error| RemoteError::file(&blob.place(), error))?;
        Ok(reapi::batch_update_blobs_request::Request {
            digest: Some(blob.digest().to_proto()),
            data: content.ok_or_else(|| RemoteError::Changed {
                path: blob.place(),
                digest: blob.digest(),
            })?,
            ..Default::default()
        })
    };
    batch.iter().map(one).collect()
}

/// A blob as the messages of a write. They end early if it cannot be read; the server then refuses it.
fn pieces(blob: &Blob, name: String) -> ReceiverStream<WriteRequest> {
    let (sender, receiver) = mpsc::channel(PIECES);
    let blob = blob.clone();
    tokio::task::spawn_blocking(move || {
        let Ok(mut reader) = blob.reader() else {
            return;
        };
        let mut left = blob.digest().size;
        let mut offset = 0;
        loop {
            let mut data = vec![0; PIECE.min(left as usize)];
            if reader.read_exact(&mut data).is_err() {
                return;
            }
            left -= data.len() as u64;
            let piece = WriteRequest {
                resource_name: if offset == 0 {
                    name.clone()
                } else {
                    String::new()
                },
                write_offset: offset,
                finish_write: left == 0,
                data,
            };
            offset += piece.data.len() as i64;
            if sender.blocking_send(piece).is_err() || left == 0 {
                return;
            }
        }
    });
    ReceiverStream::new(receiver)
}

/// A version 4 UUID (RFC 9562), which names one attempt to write. It need not be hard to guess.
fn random_uuid() -> String {
    let mut bytes = fastrand::u128(..).to_be_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex(&bytes);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    parts.map(|part| &digits[part]).join("-")
}

impl BlobDigest {
    /// The name that a blob has as a resource to be read.
    pub(super) fn resource(&self) -> String {
        format!("blobs/{self}")
    }
}
