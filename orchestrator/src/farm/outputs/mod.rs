//! The outputs of a farm beyond modules in a folder: packages, tarballs, signatures, sums.
//!
//! Each is made of what the cache has, after the builds, side by side for all cells. What is
//! there already, made of the same record by the same settings, is left alone.

mod cell;
mod provenance;
mod stamp;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use kiln_cache::ActionRecord;
use kiln_publish::{Family, ModuleSigner, SigningTool, digest_file, write_sums};
use kiln_scheduler::CancelToken;
use rayon::prelude::*;

use super::{
    FarmError, FarmKernel, Manifest, Shard,
    family::KernelFamily,
    manifest::{Format, Outputs, SigningStyle},
};
use crate::{
    error::CommandError,
    plan::{BuildSite, CellId, Plan},
};
use cell::CellPublisher;

/// Publishes the results of one run into a folder.
pub(crate) struct Publisher {
    outputs: Outputs,
    directory: PathBuf,
    signer: Option<ModuleSigner>,
    shard: Option<Shard>,
    /// Whose each kernel is, by release and architecture.
    kernels: HashMap<String, KernelFamily>,
}

impl Publisher {
    /// Checks what can be checked before anything is built.
    ///
    /// # Errors
    /// Fails if the key, the certificate or the signing tool is not there.
    pub(crate) fn new(
        manifest: &Manifest,
        kernels: &[FarmKernel],
        outputs: &Outputs,
        directory: &Path,
        shard: Option<Shard>,
    ) -> Result<Self, FarmError> {
        let signer = outputs.signing.as_ref().map(|signing| ModuleSigner {
            tool: match &signing.sign_file {
                Some(program) => SigningTool::SignFile(manifest.directory().join(program)),
                None => SigningTool::Openssl,
            },
            hash: signing.hash.clone(),
            key: if signing.key.starts_with("pkcs11:") {
                signing.key.clone()
            } else {
                let path = manifest.directory().join(&signing.key);
                path.to_string_lossy().into_owned()
            },
            certificate: manifest.directory().join(&signing.certificate),
        });
        if let Some(signer) = &signer {
            signer.check().map_err(|source| FarmError::Outputs {
                path: manifest.path().to_owned(),
                source: Box::new(source),
            })?;
        }
        Ok(Self {
            outputs: outputs.clone(),
            directory: directory.to_owned(),
            signer,
            shard,
            kernels: kernels
                .iter()
                .map(|kernel| (kernel.target.tree.target(), kernel.family))
                .collect(),
        })
    }

    /// Whether modules are put into the folder as they are in the cache.
    pub(crate) fn wants_plain_modules(&self) -> bool {
        self.wants(Format::Modules) && !self.signs(SigningStyle::Appended)
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

    /// Publishes cells with their records, then the sums of everything in the folder; of a
    /// shard, those of what it has published. A run that is stopped leaves the rest to the next.
    ///
    /// # Errors
    /// Fails with the first thing that cannot be read, made or written.
    pub(crate) fn publish(
        &self,
        site: &BuildSite,
        plan: &Plan,
        cells: &[(CellId, Arc<ActionRecord>)],
        cancel: &CancelToken,
    ) -> Result<(), CommandError> {
        if cells.is_empty() {
            return Ok(());
        }
        let published: Vec<Vec<PathBuf>> = if self.is_plain() {
            Vec::new()
        } else {
            cells
                .par_iter()
                .map(|(cell, record)| CellPublisher::new(self, site, plan, *cell, record).publish())
                .collect::<Result<_, CommandError>>()?
        };
        if !self.outputs.checksums || cancel.is_cancelled() {
            return Ok(());
        }
        let sums = match self.shard {
            None => write_sums(&self.directory).map(drop),
            Some(shard) => {
                let mut files: BTreeSet<PathBuf> = published.into_iter().flatten().collect();
                for (cell, _) in cells {
                    let directory = crate::results::directory(&self.directory, plan, *cell);
                    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
                    files.extend(entries.map(|entry| entry.path()).filter(|p| p.is_file()));
                }
                self.write_shard_sums(shard, &files)
            }
        };
        sums.map_err(|source| {
            FarmError::PublishFolder {
                directory: self.directory.clone(),
                source: Box::new(source),
            }
            .into()
        })
    }

    /// The sums of one shard, so that those of all shards are the sums of the whole.
    fn write_shard_sums(
        &self,
        shard: Shard,
        files: &BTreeSet<PathBuf>,
    ) -> Result<(), kiln_publish::PublishError> {
        let name = format!("{}.{}", kiln_publish::SUMS, shard.file_name_part());
        let path = self.directory.join(name);
        let mut text = String::new();
        for file in files {
            let inner = file.strip_prefix(&self.directory).unwrap_or(file);
            text.push_str(&format!("{}  {}\n", digest_file(file)?, inner.display()));
        }
        fs::write(&path, text).map_err(|source| kiln_publish::PublishError::Write { path, source })
    }
}
