//! What `fuzz/` feeds with anything: what a server or an engine answers.

use prost::Message;

use crate::{exec::list_for_fuzzing, proto::reapi, signing::read_for_fuzzing};

/// An envelope, as if its signature were good, and one that claims to be.
pub fn signed_record(bytes: &[u8]) {
    read_for_fuzzing(bytes);
}

/// A directory that an action made, and the messages that hold it.
pub fn output_tree(bytes: &[u8]) {
    if let Ok(found) = reapi::Tree::decode(bytes) {
        list_for_fuzzing(&found);
    }
    let _ = reapi::ActionResult::decode(bytes);
    let _ = reapi::ExecuteResponse::decode(bytes);
}
