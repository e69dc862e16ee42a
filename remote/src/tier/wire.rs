//! How a record looks on the wire; the whole mapping is in `docs/remote.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use kiln_cache::{ActionKey, ActionRecord, ObjectDigest, Status};
use prost::Message;

use crate::blob::{Blob, BlobDigest};
use crate::proto::{protobuf, reapi};

/// Where the signed envelope is among the output files.
pub(super) const RECORD: &str = ".kiln/record";

/// The Action whose digest stands for a key, and what it refers to.
pub(super) struct Synthetic {
    pub(super) action: Blob,
    pub(super) command: Blob,
    pub(super) root: Blob,
}

impl Synthetic {
    /// Every client must make the same bytes of a key: nothing else may go in here.
    pub(super) fn of(key: &ActionKey) -> Self {
        let command = reapi::Command {
            arguments: vec!["kiln".to_owned(), "job".to_owned(), key.to_string()],
            // All of the working directory.
            output_paths: vec![String::new()],
            ..Default::default()
        };
        let command = Blob::bytes(command.encode_to_vec());
        let root = Blob::bytes(reapi::Directory::default().encode_to_vec());
        let action = reapi::Action {
            command_digest: Some(command.digest().to_proto()),
            input_root_digest: Some(root.digest().to_proto()),
            ..Default::default()
        };
        Self {
            action: Blob::bytes(action.encode_to_vec()),
            command,
            root,
        }
    }
}

/// The result under which a record and its objects are kept.
pub(super) fn result(
    record: &ActionRecord,
    blobs: &BTreeMap<ObjectDigest, BlobDigest>,
    envelope: BlobDigest,
) -> reapi::ActionResult {
    let file = |path: &str, digest: BlobDigest, executable| reapi::OutputFile {
        path: path.to_owned(),
        digest: Some(digest.to_proto()),
        is_executable: executable,
        ..Default::default()
    };
    let outputs = record.outputs.iter().map(|output| {
        let digest = blobs[&output.object];
        (
            output.path.as_str(),
            file(&output.path, digest, output.executable),
        )
    });
    // A map: servers want them sorted, and each path once. The envelope's own path is not to be taken.
    let mut files: BTreeMap<&str, _> = outputs.collect();
    files.insert(RECORD, file(RECORD, envelope, false));
    let ended = Duration::from_nanos(record.created);
    reapi::ActionResult {
        output_files: files.into_values().collect(),
        stdout_digest: record.log.map(|log| blobs[&log].to_proto()),
        exit_code: match &record.status {
            Status::Success => 0,
            Status::Failure { code, .. } => *code,
        },
        execution_metadata: Some(reapi::ExecutedActionMetadata {
            worker: "kiln".to_owned(),
            execution_start_timestamp: Some(timestamp(ended.saturating_sub(record.cost.wall))),
            execution_completed_timestamp: Some(timestamp(ended)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn timestamp(since_1970: Duration) -> protobuf::Timestamp {
    protobuf::Timestamp {
        seconds: since_1970.as_secs() as i64,
        nanos: since_1970.subsec_nanos() as i32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change makes every uploaded record a miss: it must be meant.
    #[test]
    fn an_actions_digest_is_pinned() {
        let key: ActionKey = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
            .parse()
            .unwrap();
        let pinned = "27725f3d6cf11b336bf7192d61a38e18118cee01b51557d17aba4843ae8c2e67/138";
        assert_eq!(Synthetic::of(&key).action.digest().to_string(), pinned);
    }
}
