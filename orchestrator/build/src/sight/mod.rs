//! What a job looked at of the system's own files, and whether all of that is as it was.
//!
//! A job may look at any file of /usr, and at those of /etc that its sandbox shows. Which it does look at,
//! opens, executes, lists or looks for in vain, is traced while it runs ([`kiln_trace`]); the paths, each with what was
//! there, are then a component of its key. A later run finds the paths under the key of everything else, looks at
//! each of them, and so knows the key of the outcome. docs/tracing.md.

mod audit;
mod candidates;
mod everything;
mod extent;
mod files;
mod found;
mod hidden;
mod links;
mod loader_cache;
mod look;
mod onlooker;
mod seen;

pub use audit::{Audit, Finding};
pub(crate) use candidates::{find_candidates, key_as_now, remember};
pub(crate) use everything::EVERYTHING;
pub use everything::Reach;
pub use extent::Extent;
pub use files::SystemFiles;
pub(crate) use found::{FoundKey, Void, found_key};
pub use links::{OwnLink, own_links};
pub use look::{Looker, Moved, Since};
pub use onlooker::{Onlooker, Traced};
pub use seen::{SEEN, Seen, SeenError};

/// The entries of a loader cache.
#[cfg(feature = "fuzzing")]
pub fn loader_entries(
    content: &[u8],
    names: &std::collections::BTreeSet<String>,
) -> Option<String> {
    loader_cache::entries(content, names)
}
