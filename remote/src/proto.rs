//! Short names for the generated messages and clients that the crate uses.

pub(crate) use bazel_remote_apis::build::bazel::remote::execution::v2 as reapi;
pub(crate) use bazel_remote_apis::google::{bytestream, longrunning, protobuf, rpc};
