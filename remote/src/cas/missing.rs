//! What a server lacks.

use std::collections::HashSet;

use crate::blob::BlobDigest;
use crate::error::RemoteError;
use crate::proto::reapi;
use crate::session::{Access, Call, MESSAGE_LIMIT, Session};
use reapi::content_addressable_storage_client::ContentAddressableStorageClient as Client;

/// So many digests are less than a mebibyte.
const DIGESTS: usize = 10_000;

impl Session {
    /// Those of some blobs that the server does not have, each once.
    pub(crate) async fn missing(
        &self,
        digests: &[BlobDigest],
    ) -> Result<HashSet<BlobDigest>, RemoteError> {
        const CALL: Call = Call {
            access: Access::Write,
            ..Call::read("FindMissingBlobs")
        };
        let mut missing = HashSet::new();
        for digests in digests.chunks(DIGESTS) {
            let message = reapi::FindMissingBlobsRequest {
                instance_name: self.endpoint().instance().to_owned(),
                blob_digests: digests.iter().map(|digest| digest.to_proto()).collect(),
                ..Default::default()
            };
            let answer = self.unary(CALL, message, |channel, request| async move {
                let mut client = Client::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
                client.find_missing_blobs(request).await
            });
            for digest in answer.await?.missing_blob_digests {
                let digest = BlobDigest::from_proto(Some(&digest));
                missing.insert(digest.ok_or_else(|| RemoteError::Answer {
                    endpoint: self.endpoint().clone(),
                    call: CALL.name,
                    what: "a digest that is none",
                })?);
            }
        }
        Ok(missing)
    }
}
