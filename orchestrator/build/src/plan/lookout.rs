//! Looks at files for one part of a key, and keeps what it takes to look at each of them again.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use kiln_cache::{ObjectDigest, TreeScan};
use kiln_kernel::{
    fingerprints::{FingerprintError, Fingerprints},
    layers::Place,
    toolbox::SystemRoot,
    witness::{Origin, Witness},
};

/// What was seen so far of one part.
pub struct Lookout<'f, 's> {
    fingerprints: &'f mut Fingerprints<'s>,
    seen: Vec<Arc<Witness>>,
}

impl<'f, 's> Lookout<'f, 's> {
    /// Starts having seen nothing.
    pub fn new(fingerprints: &'f mut Fingerprints<'s>) -> Self {
        Self {
            fingerprints,
            seen: Vec::new(),
        }
    }

    /// What remembers values between runs. Files that are looked at through it have no witness.
    pub fn fingerprints(&mut self) -> &mut Fingerprints<'s> {
        self.fingerprints
    }

    /// A directory tree.
    ///
    /// # Errors
    /// Fails if it cannot be read.
    pub fn tree(&mut self, path: &Path) -> Result<Arc<TreeScan>, FingerprintError> {
        let witness = self.fingerprints.tree_witness(path)?;
        let scan = witness.scan().map(Arc::clone);
        self.seen.push(witness);
        Ok(scan.expect("the witness of a tree has its scan"))
    }

    /// The digest of a file, links followed.
    ///
    /// # Errors
    /// Fails if it cannot be read.
    pub fn file(&mut self, path: &Path) -> Result<ObjectDigest, FingerprintError> {
        let witness = self.fingerprints.file_witness(path)?;
        let digest = witness.digest();
        self.seen.push(witness);
        Ok(digest.expect("the witness of a file has its digest"))
    }

    /// What stands at a path, which is looked at or listed by others: a link, a directory, or nothing.
    ///
    /// # Errors
    /// Fails if it cannot be looked at.
    pub fn spot(&mut self, path: &Path) -> Result<(), FingerprintError> {
        self.seen.push(self.fingerprints.spot_witness(path)?);
        Ok(())
    }

    /// Follows a path of a system, minding every link on the way.
    ///
    /// # Errors
    /// Fails if a link cannot be looked at.
    pub fn resolve(
        &mut self,
        system: &SystemRoot,
        path: &Path,
    ) -> Result<Option<Place>, FingerprintError> {
        let mut links: Vec<PathBuf> = Vec::new();
        let place = system.files().resolve_by_name(path, &mut links);
        for link in &links {
            self.spot(link)?;
        }
        Ok(place)
    }

    /// All that was seen.
    pub fn origin(self) -> Origin {
        self.seen.into_iter().collect()
    }
}
