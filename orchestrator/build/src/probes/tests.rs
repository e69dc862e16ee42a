//! What the tests of this module share.

use std::sync::Arc;

use kiln_cache::Store;
use kiln_sandbox::{BuildUser, Isolation};

use crate::plan::BuildSite;

/// A site with a cache of its own, and the directory that both are in.
pub(super) fn site() -> (tempfile::TempDir, Arc<BuildSite>) {
    let temp = tempfile::tempdir().unwrap();
    let store = Store::open(&temp.path().join("cache")).unwrap();
    let bubblewrap = Isolation::probe(BuildUser::detect());
    assert_eq!(bubblewrap, Ok(()), "this test needs bubblewrap");
    let site = Arc::new(BuildSite::new(store, bubblewrap).unwrap());
    (temp, site)
}
