//! What is to be executed, and what came of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;

use crate::blob::{Blob, BlobDigest};
use crate::proto::{protobuf, reapi};
use crate::tree::Tree;

/// An action. Everything but `deadline` and `download` is part of its digest.
#[derive(Clone, Debug)]
pub struct Work {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Its environment: this and nothing else.
    pub environment: BTreeMap<String, String>,
    /// Where it runs, relative to the root of the inputs; must be in them.
    pub directory: String,
    /// The files and directories that it makes, relative to `directory`.
    pub outputs: Vec<String>,
    /// What a worker must be, such as `container-image`.
    pub platform: BTreeMap<String, String>,
    /// What it may read.
    pub inputs: Arc<Tree>,
    /// How long it may run; as long as the server allows if there is none.
    pub timeout: Option<Duration>,
    /// How long all of it may take, waiting for a worker included.
    pub deadline: Option<Duration>,
    /// Whether an earlier result will do.
    pub cached: Cached,
    /// Where its outputs are to be put, under their paths; nowhere if there is none.
    pub download: Option<PathBuf>,
}

/// Whether an earlier result will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached {
    /// It will.
    Use,
    /// It is executed anew, and the result kept.
    Rerun,
    /// It is executed anew, and the result forgotten.
    Never,
}

impl Cached {
    /// The same, without an earlier result.
    pub(super) fn anew(self) -> Self {
        match self {
            Self::Use | Self::Rerun => Self::Rerun,
            Self::Never => Self::Never,
        }
    }
}

/// What is done for an action now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its inputs are on their way.
    Uploading,
    /// It waits for a worker.
    Queued,
    /// It runs.
    Executing,
    /// Its outputs are on their way.
    Downloading,
}

/// An action that ran to its end, or had done so before.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Done {
    /// Its exit status.
    pub exit_code: i32,
    /// The files that it made, also those in directories.
    pub files: Vec<DoneFile>,
    /// The symbolic links that it made: path and target.
    pub symlinks: Vec<(String, String)>,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: Vec<u8>,
    /// Whether it had run before.
    pub cached: bool,
    /// Who ran it, in the server's words.
    pub worker: String,
    /// How long it waited for a worker, if the server says so.
    pub queued: Option<Duration>,
    /// How long it ran, if the server says so.
    pub ran: Option<Duration>,
}

/// A file that an action made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoneFile {
    /// Relative to the action's directory.
    pub path: String,
    /// Its content.
    pub digest: BlobDigest,
    /// Whether it may be executed.
    pub executable: bool,
}

/// An action as the API has it.
pub(super) struct Encoded {
    pub(super) action: Blob,
    pub(super) command: Blob,
}

impl Work {
    /// With these inputs for its own.
    pub(super) fn encode(&self, inputs: &Tree) -> Encoded {
        let platform = reapi::Platform {
            properties: self
                .platform
                .iter()
                .map(|(name, value)| reapi::platform::Property {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
        };
        let mut outputs = self.outputs.clone();
        outputs.sort_unstable();
        outputs.dedup();
        let environment = self.environment.iter();
        let environment = environment.map(|(name, value)| reapi::command::EnvironmentVariable {
            name: name.clone(),
            value: value.clone(),
        });
        // Servers of version 2.1 and before look for the platform in the command.
        #[expect(deprecated)]
        let command = reapi::Command {
            arguments: self.argv.clone(),
            environment_variables: environment.collect(),
            output_paths: outputs,
            working_directory: self.directory.clone(),
            platform: Some(platform.clone()),
            ..Default::default()
        };
        let command = Blob::bytes(command.encode_to_vec());
        let action = reapi::Action {
            command_digest: Some(command.digest().to_proto()),
            input_root_digest: Some(inputs.digest().to_proto()),
            timeout: self.timeout.map(|timeout| protobuf::Duration {
                seconds: timeout.as_secs() as i64,
                nanos: timeout.subsec_nanos() as i32,
            }),
            do_not_cache: self.cached == Cached::Never,
            platform: Some(platform),
            ..Default::default()
        };
        Encoded {
            action: Blob::bytes(action.encode_to_vec()),
            command,
        }
    }
}
