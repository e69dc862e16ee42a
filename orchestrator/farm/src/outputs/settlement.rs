//! The end of a run: the sums and the ledger of what was put into a folder, and the removal of what is stale.
//!
//! Sums and ledgers name nothing that a power failure could take away; a file is listed until its removal
//! lasts, so that it is nobody's when it comes back.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use kiln_build::results::DeliveryError;
use kiln_publish::sums_text;

use super::{
    Leftovers, Scope,
    folder::Folder,
    ledger::{Ledger, Removal},
    strangers::Strangers,
};
use crate::Shard;

/// What is settled, and where.
pub(super) struct Settlement<'a> {
    pub(super) folder: &'a Folder,
    pub(super) shard: Option<Shard>,
    pub(super) scope: Scope,
    /// Whether there are to be sums.
    pub(super) checksums: bool,
    pub(super) strangers: &'a Strangers,
}

impl Settlement<'_> {
    /// Writes the sums, and removes what is stale: what is listed and not `made`, and does not
    /// stay by its cell.
    ///
    /// # Errors
    /// Fails if something cannot be read, written or removed.
    pub(super) fn settle(
        &self,
        ledger: &mut Ledger,
        mut made: BTreeSet<PathBuf>,
        stays: impl Fn(&str) -> bool,
    ) -> Result<Leftovers, DeliveryError> {
        let directory = self.folder.path();
        let sums = match self.shard {
            None => kiln_publish::SUMS.to_owned(),
            Some(shard) => format!("{}.{}", kiln_publish::SUMS, shard.file_name_part()),
        };
        if self.checksums {
            made.insert(PathBuf::from(&sums));
        }
        let stale = match self.scope {
            Scope::Addition => Vec::new(),
            Scope::Whole => {
                if self.shard.is_none() {
                    ledger.take_in_shards(directory);
                }
                ledger.settle(&made, stays)
            }
        };
        self.folder.sync_all()?;
        if self.checksums {
            self.write_sums(&sums, ledger)?;
        }
        // What is to go is listed until it is gone.
        ledger.write(self.folder, self.shard)?;
        self.folder.sync_top()?;
        let leftovers = self.remove(ledger, stale)?;
        if !leftovers.removed.is_empty() {
            self.folder.sync_all()?;
        }
        ledger.write(self.folder, self.shard)?;
        Ok(leftovers)
    }

    fn write_sums(&self, name: &str, ledger: &mut Ledger) -> Result<(), DeliveryError> {
        let directory = self.folder.path();
        let current = ledger.current(directory);
        let sums = current.iter().map(|(path, sum)| match path.to_str() {
            Some(path) => Ok((path, *sum)),
            None => Err(DeliveryError::Output {
                path: directory.join(path),
                source: io::Error::other("its name is not text, which sums need"),
            }),
        });
        let text = sums_text(sums.collect::<Result<Vec<_>, _>>()?);
        let paths = [directory.join(name)];
        self.strangers
            .keep(&paths, || self.folder.write(name, &text))?;
        ledger.put(directory, &directory.join(Path::new(name)), "", false)
    }

    fn remove(&self, ledger: &mut Ledger, stale: Vec<PathBuf>) -> Result<Leftovers, DeliveryError> {
        let mut leftovers = Leftovers::default();
        for path in stale {
            match ledger.remove(self.folder, &path) {
                Ok(Removal::Gone) => leftovers.removed.push(path),
                Ok(Removal::Changed) => leftovers.changed.push(path),
                Err(source) => {
                    let path = self.folder.path().join(path);
                    return Err(DeliveryError::Output { path, source });
                }
            }
        }
        Ok(leftovers)
    }
}
