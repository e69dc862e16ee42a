//! The outputs of a farm beyond modules in a folder: packages, tarballs, signatures, sums.
//!
//! Each is made of what the cache has, after the builds, side by side for all cells. What is
//! there already, made of the same record by the same settings, is left alone.

mod cell;
mod error;
mod folder;
mod ledger;
mod provenance;
mod settlement;
mod stamp;
mod strangers;
#[cfg(test)]
mod tests;

pub use error::OutputError;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use cell::CellPublisher;
use folder::Folder;
use kiln_build::{
    outcome::{CellResult, Outcome},
    plan::{BuildSite, CellId, Plan},
    results::{self, DeliveryError},
};
use kiln_cache::{ActionRecord, Store, Syncing};
use kiln_files::Secrecy;
use kiln_publish::{Family, ModuleKey, ModuleSigner, SigningTool, believed};
use kiln_scheduler::CancelToken;
use ledger::{Ledger, is_ledger};
use rayon::prelude::*;
use settlement::Settlement;
use strangers::Strangers;

use super::{
    FarmError, FarmKernel, Manifest, Shard,
    family::KernelFamily,
    manifest::{Format, Outputs, SigningStyle},
};
use crate::outputs::stamp::SignerContent;

/// Publishes the results of one run into a folder.
pub struct Publisher {
    outputs: Outputs,
    manifest: PathBuf,
    directory: PathBuf,
    signer: Option<ModuleSigner>,
    shard: Option<Shard>,
    scope: Scope,
    /// Whose each kernel is, by release and architecture.
    kernels: HashMap<String, KernelFamily>,
    strangers: Strangers,
}

impl Publisher {
    /// Checks what can be checked before anything is built.
    ///
    /// # Errors
    /// Fails if the key, the certificate or the signing tool is not there, or one of them or the manifest not believed.
    pub fn new(
        manifest: &Manifest,
        kernels: &[FarmKernel],
        outputs: &Outputs,
        directory: &Path,
        (shard, scope): (Option<Shard>, Scope),
    ) -> Result<Self, FarmError> {
        let signer = outputs.signing.as_ref().map(|signing| ModuleSigner {
            tool: match &signing.sign_file {
                Some(program) => SigningTool::SignFile(manifest.directory().join(program)),
                None => SigningTool::Openssl,
            },
            hash: signing.hash.clone(),
            key: match ModuleKey::new(&signing.key) {
                key if key.is_in_token() => key,
                file => {
                    let path = manifest.directory().join(file.name());
                    ModuleKey::new(&path.to_string_lossy())
                }
            },
            certificate: manifest.directory().join(&signing.certificate),
        });
        if let Some(signer) = &signer {
            // Who can write to the manifest has signed whatever they want.
            let secrecy = match signer.key.has_pin() {
                true => Secrecy::Secret,
                false => Secrecy::Public,
            };
            let checked = believed("manifest", manifest.path(), secrecy);
            let checked = checked.and_then(|()| signer.check());
            checked.map_err(|source| FarmError::Outputs {
                path: manifest.path().to_owned(),
                source: Box::new(source),
            })?;
        }
        Ok(Self {
            outputs: outputs.clone(),
            manifest: manifest.path().to_owned(),
            directory: directory.to_owned(),
            strangers: Strangers::new(directory),
            signer,
            shard,
            scope,
            kernels: kernels
                .iter()
                .map(|kernel| (kernel.target.tree.target(), kernel.family))
                .collect(),
        })
    }

    /// Whether modules are put into the folder as they are in the cache.
    pub fn wants_plain_modules(&self) -> bool {
        self.wants(Format::Modules) && !self.signs(SigningStyle::Appended)
    }

    /// Puts a cell's plain results into the folder, as [`results::deliver`] does.
    ///
    /// # Errors
    /// Fails if they cannot be read or written.
    pub fn deliver(
        &self,
        store: &Store,
        plan: &Plan,
        cell: CellId,
        record: &ActionRecord,
    ) -> Result<(), DeliveryError> {
        let directory = results::directory(&self.directory, plan, cell);
        let files = results::files(&directory, record);
        self.strangers.keep(&files, || {
            let root = &self.directory;
            results::deliver(store, root, plan, cell, record, Syncing::First)
        })
    }

    fn wants(&self, format: Format) -> bool {
        self.outputs.formats.contains(&format)
    }

    fn signs(&self, style: SigningStyle) -> bool {
        let signing = self.outputs.signing.as_ref();
        signing.is_some_and(|signing| signing.style == style)
    }

    /// Whether a cell needs more than its modules in the folder.
    fn is_plain(&self) -> bool {
        self.outputs.formats == [Format::Modules]
            && self.signer.is_none()
            && self.outputs.provenance.is_empty()
    }

    /// The families whose packages are asked for, for a kernel (release and architecture).
    fn families(&self, kernel: &str) -> Vec<Family> {
        let farm = self.outputs.packages.family.map(Family::from);
        let of_kernel = self.kernels.get(kernel).copied();
        let of_kernel = of_kernel.unwrap_or(KernelFamily::Unknown);
        [
            (Format::Deb, kiln_publish::Format::Deb),
            (Format::Rpm, kiln_publish::Format::Rpm),
        ]
        .into_iter()
        .filter(|(wanted, _)| self.wants(*wanted))
        .filter_map(|(_, format)| of_kernel.of_packages(format, farm))
        .collect()
    }

    /// Publishes what succeeded, then the sums of all that the manifest makes; takes away what
    /// it no longer makes. A run that is stopped leaves the rest to the next.
    ///
    /// # Errors
    /// Fails with the first thing that cannot be read, made or written.
    pub fn publish(
        &self,
        site: &BuildSite,
        plan: &Plan,
        outcome: &Outcome,
        cancel: &CancelToken,
    ) -> Result<Leftovers, OutputError> {
        let cells = successes(plan, outcome);
        let folder = &Folder::new(&self.directory, site.store.disk());
        let mut ledger = Ledger::new(&self.directory, &self.manifest);
        let is_new = !ledger.read(&self.directory, self.shard);
        let published: Vec<Vec<PathBuf>> = if self.is_plain() || outcome.interrupted {
            Vec::new()
        } else {
            let signer = self.signer_content()?;
            cells
                .par_iter()
                .map(|(cell, record)| {
                    let place = (folder, &ledger);
                    CellPublisher::new(self, site, place, plan, *cell, record, signer.as_ref())
                        .publish()
                })
                .collect::<Result<_, OutputError>>()?
        };
        let mut made = BTreeSet::new();
        for (index, (cell, record)) in cells.iter().enumerate() {
            let results = results::directory(&self.directory, plan, *cell);
            let label = label(plan, *cell);
            let plain = self
                .wants(Format::Modules)
                .then(|| results::files(&results, record));
            let others = published.get(index).into_iter().flatten().cloned();
            for file in plain.into_iter().flatten().chain(others) {
                ledger.put(&self.directory, &file, &label, true)?;
                made.insert(self.inner(&file));
            }
        }
        if outcome.interrupted || cancel.is_cancelled() {
            if !made.is_empty() {
                ledger.write(folder, self.shard)?;
            }
            return Ok(Leftovers::default());
        }
        if made.is_empty() && is_new {
            return Ok(Leftovers::default());
        }
        let undecided = Undecided::new(plan, outcome);
        let settlement = Settlement {
            folder,
            shard: self.shard,
            scope: self.scope,
            checksums: self.outputs.checksums,
            strangers: &self.strangers,
        };
        let mut leftovers = settlement.settle(&mut ledger, made, |cell| undecided.has(cell))?;
        leftovers.aside = self.strangers.take_aside();
        if is_new && self.scope == Scope::Whole && self.shard.is_none() {
            leftovers.unknown = self.unknown(&ledger, &leftovers.aside);
        }
        Ok(leftovers)
    }

    /// What is in the folder, and of which nothing is known.
    fn unknown(&self, ledger: &Ledger, aside: &[PathBuf]) -> Vec<PathBuf> {
        let mut unknown = Vec::new();
        let mut open = vec![self.directory.clone()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                let inner = self.inner(&entry.path());
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(entry.path());
                } else if !ledger.lists(&inner) && !is_ledger(&inner) && !aside.contains(&inner) {
                    unknown.push(inner);
                }
            }
        }
        unknown.sort();
        unknown
    }

    fn inner(&self, path: &Path) -> PathBuf {
        ledger::inner(&self.directory, path)
    }

    /// What modules are signed with now. It is read before it is used: what is replaced while
    /// it is used makes the next run sign again.
    fn signer_content(&self) -> Result<Option<SignerContent>, DeliveryError> {
        let content = self.signer.as_ref().map(SignerContent::read).transpose();
        content.map_err(|source| DeliveryError::Output {
            path: self.directory.clone(),
            source,
        })
    }
}

/// What a run builds of its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of it, or all of its shard.
    Whole,
    /// A kernel that was added.
    Addition,
}

/// What was in the folder that the manifest does not make.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Removed.
    pub removed: Vec<PathBuf>,
    /// Changed since kiln put it there, and kept.
    pub changed: Vec<PathBuf>,
    /// Not put there by kiln, as far as is known, and kept.
    pub unknown: Vec<PathBuf>,
    /// The same, by the names that it has now: its own are taken by outputs.
    pub aside: Vec<PathBuf>,
}

/// The cells whose results the manifest asks for and this run does not have: what there was
/// of them stays, but has no sum.
struct Undecided {
    labels: BTreeSet<String>,
    /// A conf that says nothing may be of any package.
    any: bool,
}

impl Undecided {
    fn new(plan: &Plan, outcome: &Outcome) -> Self {
        let mut this = Self {
            labels: BTreeSet::new(),
            any: false,
        };
        for (index, result) in outcome.results.iter().enumerate() {
            match result {
                CellResult::Fault(_) => this.any = true,
                CellResult::Failed(_)
                | CellResult::KnownFailure(_)
                | CellResult::Blocked { .. }
                | CellResult::Aborted(_)
                | CellResult::Cancelled
                | CellResult::Pending => {
                    if plan.cells[index].asked_for {
                        this.labels.insert(label(plan, CellId::new(index)));
                    }
                }
                CellResult::NotAsked
                | CellResult::Hit(_)
                | CellResult::Built(_)
                | CellResult::LeftOut(_)
                | CellResult::Excluded(_) => {}
            }
        }
        this
    }

    fn has(&self, cell: &str) -> bool {
        !cell.is_empty() && (self.any || self.labels.contains(cell))
    }
}

/// What a ledger calls a cell: its folder.
fn label(plan: &Plan, cell: CellId) -> String {
    let folder = results::directory(Path::new(""), plan, cell);
    folder.to_string_lossy().into_owned()
}

/// The cells that were asked for and have results.
fn successes(plan: &Plan, outcome: &Outcome) -> Vec<(CellId, Arc<ActionRecord>)> {
    outcome
        .results
        .iter()
        .enumerate()
        .filter(|(index, _)| plan.cells[*index].asked_for)
        .filter_map(|(index, result)| Some((CellId::new(index), result.success()?.clone())))
        .collect()
}
