//! The plain API, for what kiln's client would not do: to put wrong things there, and to see what is there.

use bazel_remote_apis::build::bazel::remote::execution::v2 as reapi;
use kiln_cache::ActionKey;
use kiln_remote::BlobDigest;
use prost::Message;
use reapi::action_cache_client::ActionCacheClient;
use reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use tonic::transport::Channel;

/// A client without any care.
pub(crate) struct Raw {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
}

impl Raw {
    pub(crate) fn connect(port: u16) -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        let endpoint = Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
        let channel = runtime.block_on(endpoint.connect()).unwrap();
        Self { runtime, channel }
    }

    /// Uploads a blob.
    pub(crate) fn put(&self, content: &[u8]) -> reapi::Digest {
        let digest = proto(BlobDigest::of(content));
        let request = reapi::BatchUpdateBlobsRequest {
            requests: vec![reapi::batch_update_blobs_request::Request {
                digest: Some(digest.clone()),
                data: content.to_vec(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut client = ContentAddressableStorageClient::new(self.channel.clone());
        let answer = self.runtime.block_on(client.batch_update_blobs(request));
        let answer = answer.unwrap().into_inner();
        assert_eq!(
            answer.responses[0].status.clone().unwrap_or_default().code,
            0
        );
        digest
    }

    /// Downloads a blob.
    pub(crate) fn read(&self, digest: &reapi::Digest) -> Vec<u8> {
        let request = reapi::BatchReadBlobsRequest {
            digests: vec![digest.clone()],
            ..Default::default()
        };
        let mut client = ContentAddressableStorageClient::new(self.channel.clone());
        let answer = self.runtime.block_on(client.batch_read_blobs(request));
        let answer = answer.unwrap().into_inner();
        answer.responses[0].data.clone()
    }

    /// The result under a key.
    pub(crate) fn result(&self, key: &ActionKey) -> Option<reapi::ActionResult> {
        let request = reapi::GetActionResultRequest {
            action_digest: Some(self.action(key)),
            ..Default::default()
        };
        let mut client = ActionCacheClient::new(self.channel.clone());
        let answer = self.runtime.block_on(client.get_action_result(request));
        answer.ok().map(tonic::Response::into_inner)
    }

    /// Replaces the result under a key.
    pub(crate) fn set_result(&self, key: &ActionKey, result: reapi::ActionResult) {
        let request = reapi::UpdateActionResultRequest {
            action_digest: Some(self.action(key)),
            action_result: Some(result),
            ..Default::default()
        };
        let mut client = ActionCacheClient::new(self.channel.clone());
        let answer = self.runtime.block_on(client.update_action_result(request));
        answer.unwrap();
    }

    /// The digest of the Action that stands for a key, as `docs/remote.md` defines it.
    pub(crate) fn action(&self, key: &ActionKey) -> reapi::Digest {
        let command = reapi::Command {
            arguments: vec!["kiln".to_owned(), "job".to_owned(), key.to_string()],
            output_paths: vec![String::new()],
            ..Default::default()
        };
        let root = reapi::Directory::default();
        let action = reapi::Action {
            command_digest: Some(self.put(&command.encode_to_vec())),
            input_root_digest: Some(self.put(&root.encode_to_vec())),
            ..Default::default()
        };
        self.put(&action.encode_to_vec())
    }
}

fn proto(digest: BlobDigest) -> reapi::Digest {
    reapi::Digest {
        hash: digest.hash(),
        size_bytes: digest.size as i64,
    }
}

/// The signed record among the files of a result.
pub(crate) fn envelope(result: &mut reapi::ActionResult) -> &mut reapi::OutputFile {
    let mut files = result.output_files.iter_mut();
    files.find(|file| file.path == ".kiln/record").unwrap()
}
