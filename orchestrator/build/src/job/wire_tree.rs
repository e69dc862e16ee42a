//! A tree that kiln has fingerprinted, as engines name it: with the SHA-256 of each file, which are found out
//! once and kept in the index. A kernel has some sixteen thousand.

use std::{path::Path, sync::Arc};

use kiln_cache::{EntryKind, Manifest, ObjectDigest, TreeScan};
use kiln_kernel::memo;
use kiln_remote::{Blob, BlobDigest, Mode, RemoteError, Tree};
use rayon::prelude::*;

use crate::plan::BuildSite;

/// The name under which the digests of a tree's files are kept.
const MEMO: &str = "wire digests";

/// How long a digest is as it is kept: its hash, and its size in eight bytes.
const WIDTH: usize = 40;

/// The tree at `host`, of which there is a scan.
pub(super) fn wire_tree(
    host: &Path,
    scan: &TreeScan,
    site: &BuildSite,
) -> Result<Arc<Tree>, RemoteError> {
    let manifest = scan.manifest();
    let Some(paths) = file_paths(&manifest) else {
        // That names the file whose name is not UTF-8.
        return Tree::of_directory(host);
    };
    let digests = match known(site, scan.digest, paths.len()) {
        Some(digests) => digests,
        None => {
            let digest = |path: &&str| {
                let path = host.join(path);
                let blob = Blob::file(&path).map_err(|source| RemoteError::file(&path, source))?;
                Ok(blob.digest())
            };
            let digests = paths
                .par_iter()
                .map(digest)
                .collect::<Result<Vec<_>, RemoteError>>()?;
            keep(site, scan.digest, &digests);
            digests
        }
    };
    let mut tree = Tree::builder();
    let mut digests = digests.into_iter();
    for entry in manifest.entries() {
        let path = String::from_utf8_lossy(&entry.path);
        match &entry.kind {
            EntryKind::Directory => tree.directory(&path)?,
            EntryKind::Symlink { target } => {
                tree.symlink(&path, &String::from_utf8_lossy(target))?
            }
            EntryKind::File { executable, .. } => {
                let Some(digest) = digests.next() else { break };
                let blob = Blob::known(host.join(&*path), digest);
                tree.file(&path, blob, Mode::of(*executable))?
            }
        };
    }
    Ok(tree.finish())
}

/// The paths of all files, in the manifest's order. None if the name or the target of anything is not UTF-8.
fn file_paths(manifest: &Manifest) -> Option<Vec<&str>> {
    let mut paths = Vec::new();
    for entry in manifest.entries() {
        let path = str::from_utf8(&entry.path).ok()?;
        match &entry.kind {
            EntryKind::File { .. } => paths.push(path),
            EntryKind::Symlink { target } => drop(str::from_utf8(target).ok()?),
            EntryKind::Directory => {}
        }
    }
    Some(paths)
}

fn known(site: &BuildSite, of: ObjectDigest, files: usize) -> Option<Vec<BlobDigest>> {
    let bytes = memo::load_bytes(&site.index()?, MEMO, of)?;
    let digests: Vec<BlobDigest> = bytes.chunks_exact(WIDTH).filter_map(unpacked).collect();
    (digests.len() == files && bytes.len() == files * WIDTH).then_some(digests)
}

fn keep(site: &BuildSite, of: ObjectDigest, digests: &[BlobDigest]) {
    let bytes: Vec<u8> = digests
        .iter()
        .flat_map(|digest| digest.sha256.into_iter().chain(digest.size.to_le_bytes()))
        .collect();
    if let Some(index) = site.index() {
        memo::keep_bytes(&index, MEMO, of, &bytes);
    }
}

fn unpacked(bytes: &[u8]) -> Option<BlobDigest> {
    let (sha256, size) = bytes.split_first_chunk()?;
    let (size, _) = size.split_first_chunk()?;
    Some(BlobDigest {
        sha256: *sha256,
        size: u64::from_le_bytes(*size),
    })
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use kiln_cache::{ScanOptions, Store, scan_tree};

    use super::*;

    #[test]
    fn a_scanned_tree_is_what_its_directory_is_also_when_it_is_known() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(&temp.path().join("cache")).unwrap();
        let site = BuildSite::new(store, Ok(())).unwrap();
        let host = temp.path().join("linux");
        fs::create_dir_all(host.join("include/config/empty")).unwrap();
        fs::write(host.join("Makefile"), "all:\n").unwrap();
        fs::write(host.join("include/config/MODULES"), "").unwrap();
        fs::write(host.join("include/config/KALLSYMS"), "").unwrap();
        fs::write(host.join("fixdep"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(host.join("fixdep"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("../linux/Makefile", host.join("include/link")).unwrap();
        let scan = scan_tree(&host, None, &ScanOptions::default()).unwrap();
        let expected = Tree::of_directory(&host).unwrap().digest();
        let first = wire_tree(&host, &scan, &site).unwrap();
        assert_eq!(first.digest(), expected);

        // What is known needs no files.
        fs::write(host.join("Makefile"), "none:\n").unwrap();
        let known = wire_tree(&host, &scan, &site).unwrap();
        assert_eq!(known.digest(), expected);
        let scan = scan_tree(&host, None, &ScanOptions::default()).unwrap();
        let changed = wire_tree(&host, &scan, &site).unwrap();
        assert_ne!(changed.digest(), expected);
    }
}
