//! One unpacked package: its directory, what it should hold, and whether it does.
//!
//! ```text
//! <store>/<digest of the package file>/entry.json    what was unpacked
//! <store>/<digest of the package file>/root/         the files, as if it were /
//! ```
//!
//! Made under a temporary name and renamed when whole, so that there is all of it or none. An
//! entry whose files are not those that were unpacked, for whatever reason, is not used.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use kiln_cache::{ObjectDigest, ScanOptions, TreeScan, scan_tree};
use kiln_durable::{Disk, Failure, regular};
use serde::{Deserialize, Serialize};

use super::{KernelStoreError, check_owner, facts::Facts, sweep::touch};
use crate::{
    fingerprints::{FingerprintError, Fingerprints},
    sizes,
    toolbox::KBUILD_PREFIX,
};

/// Changes when something else is kept of a package, or it is described in another form.
const ENTRY_FORMAT: u32 = 1;

/// The file that describes an entry.
pub(super) const DESCRIPTION: &str = "entry.json";

/// No description is longer.
pub(super) const DESCRIPTION_LIMIT: u64 = 16 << 20;

/// The directory with an entry's files.
const ROOT: &str = "root";

/// What an entry should hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    format: u32,
    pub(super) facts: Facts,
    /// The digest of each tree, by its path inside.
    tops: BTreeMap<PathBuf, String>,
}

/// The files of one package.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The package file, or the folder.
    pub(super) file: PathBuf,
    /// The digest of the package file.
    pub(super) digest: Option<ObjectDigest>,
    pub(super) facts: Facts,
    /// The directory that has the files, as if it were `/`.
    pub(super) directory: PathBuf,
    /// The trees and links in it, each whole or not at all: paths inside, sorted.
    pub(super) tops: Vec<PathBuf>,
}

impl Entry {
    /// Opens the entry that was made of `file`; none if it is not there, or not what it was.
    pub(super) fn open(
        store: &Path,
        file: &Path,
        digest: ObjectDigest,
        fingerprints: &mut Fingerprints<'_>,
    ) -> Option<Self> {
        let place = store.join(digest.to_string());
        check_owner(&place).ok()?;
        let text = regular::read(&place.join(DESCRIPTION), DESCRIPTION_LIMIT).ok()?;
        let description: Description = serde_json::from_slice(&text).ok()?;
        let directory = place.join(ROOT);
        let found = describe(&directory, description.facts.clone(), fingerprints).ok()?;
        if found != description {
            return None;
        }
        touch(&place);
        Some(Self {
            file: file.to_owned(),
            digest: Some(digest),
            facts: description.facts,
            directory,
            tops: description.tops.into_keys().collect(),
        })
    }

    /// A folder that has the files of packages in it already.
    pub(super) fn folder(path: &Path) -> Result<Self, KernelStoreError> {
        let directory = fs::canonicalize(path).map_err(|source| KernelStoreError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            file: path.to_owned(),
            digest: None,
            facts: Facts::default(),
            tops: tops(&directory),
            directory,
        })
    }

    /// Describes what was unpacked into the directory `place`, which is not an entry yet; not
    /// synced. Gives the trees in it, by their paths below `place`.
    pub(super) fn finish(
        place: &Path,
        facts: Facts,
        disk: &Disk,
    ) -> Result<Vec<(PathBuf, TreeScan)>, KernelStoreError> {
        let io_error = |source| KernelStoreError::Io {
            path: place.to_owned(),
            source,
        };
        let root = Self::root_of(place);
        let mut scans = Vec::new();
        let mut digests = BTreeMap::new();
        for top in tops(&root) {
            let path = at(&root, &top);
            let digest = match link_digest(&path) {
                Some(digest) => digest,
                None if path.is_dir() => {
                    let scan = scan_tree(&path, None, &ScanOptions::default())
                        .map_err(FingerprintError::from)?;
                    let digest = scan.digest.to_string();
                    scans.push((at(Path::new(ROOT), &top), scan));
                    digest
                }
                None => {
                    let content = regular::read_at_once(&path, sizes::BINARY).map_err(io_error)?;
                    ObjectDigest::of(&content).to_string()
                }
            };
            digests.insert(top, digest);
        }
        let description = Description {
            format: ENTRY_FORMAT,
            facts,
            tops: digests,
        };
        let text = serde_json::to_vec_pretty(&description).expect("a description is plain data");
        let path = place.join(DESCRIPTION);
        disk.write_new(&path, |file| {
            file.set_permissions(Permissions::from_mode(0o644))
                .and_then(|()| file.write_all(&text))
                .map_err(|source| Failure::new(&path, source))
        })?;
        Ok(scans)
    }

    /// Where the files of an entry in the making go.
    pub(super) fn root_of(place: &Path) -> PathBuf {
        place.join(ROOT)
    }

    /// Whether something of this package is at a path inside, or below it.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.tops
            .iter()
            .any(|top| path.starts_with(top) || top.starts_with(path))
    }
}

fn describe(
    directory: &Path,
    facts: Facts,
    fingerprints: &mut Fingerprints<'_>,
) -> Result<Description, FingerprintError> {
    let digests = tops(directory).into_iter().map(|top| {
        let digest = top_digest(&at(directory, &top), fingerprints)?;
        Ok((top, digest))
    });
    Ok(Description {
        format: ENTRY_FORMAT,
        facts,
        tops: digests.collect::<Result<_, FingerprintError>>()?,
    })
}

/// The digest of a tree, of a file, or of what a link says.
pub(super) fn top_digest(
    path: &Path,
    fingerprints: &mut Fingerprints<'_>,
) -> Result<String, FingerprintError> {
    if let Some(digest) = link_digest(path) {
        return Ok(digest);
    }
    let digest = if path.is_dir() {
        fingerprints.tree(path)?.digest
    } else {
        fingerprints.file(path)?
    };
    Ok(digest.to_string())
}

fn link_digest(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    Some(format!("link {}", target.display()))
}

/// A path inside, below the directory that has the files.
pub(super) fn at(directory: &Path, inside: &Path) -> PathBuf {
    directory.join(inside.strip_prefix("/").unwrap_or(inside))
}

/// The trees and links of unpacked header packages: what is directly in /usr/src, kbuild's
/// programs, and the links (or, with some distributions, trees) of installed kernels.
fn tops(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = children(directory, "/usr/src");
    for lib in ["/usr/lib", "/lib"] {
        // A folder may be a whole system, whose /lib is a link.
        if at(directory, Path::new(lib)).is_symlink() {
            continue;
        }
        found.extend(
            children(directory, lib)
                .into_iter()
                .filter(|path| file_name(path).starts_with(KBUILD_PREFIX)),
        );
        for kernel in children(directory, &format!("{lib}/modules")) {
            let links = ["build", "source"].map(|name| kernel.join(name));
            found.extend(
                links
                    .into_iter()
                    .filter(|link| fs::symlink_metadata(at(directory, link)).is_ok()),
            );
        }
    }
    found.sort();
    found
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn children(directory: &Path, inside: &str) -> Vec<PathBuf> {
    let inside = Path::new(inside);
    let entries: io::Result<Vec<_>> =
        fs::read_dir(at(directory, inside)).and_then(Iterator::collect);
    entries
        .unwrap_or_default()
        .into_iter()
        .map(|entry| inside.join(entry.file_name()))
        .collect()
}
