//! Archives of source packages: what is unpacked of them, and where the packages are in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kiln_archive::{ArchiveError, Kind, unpack_into};
use kiln_durable::regular;

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackageArchiveError {
    /// It cannot be unpacked, or must not be.
    #[error("cannot unpack {path}")]
    Unpack {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: ArchiveError,
    },
    /// It holds no dkms.conf.
    #[error("{path} holds no dkms.conf")]
    NoConf {
        /// The archive.
        path: PathBuf,
    },
}

/// Whether the first bytes of a file are those of an archive that [`unpack`] reads.
pub(super) fn is_archive(path: &Path) -> bool {
    regular::open_at_once(path)
        .and_then(|file| Kind::of(&file))
        .is_ok_and(|kind| kind.is_some())
}

/// Unpacks `archive` into the empty directory `into` and gives the directories in it, at
/// the least depth, that hold a dkms.conf; relative to `into`, sorted.
///
/// # Errors
/// Fails if the archive cannot be read, is hostile, or holds no package.
pub fn unpack(archive: &Path, into: &Path) -> Result<Vec<PathBuf>, PackageArchiveError> {
    unpack_into(archive, into).map_err(|source| PackageArchiveError::Unpack {
        path: archive.to_owned(),
        source,
    })?;
    let mut packages = Vec::new();
    let mut level = vec![into.to_owned()];
    while packages.is_empty() && !level.is_empty() {
        packages = level
            .iter()
            .filter(|d| d.join("dkms.conf").is_file())
            .filter_map(|d| d.strip_prefix(into).ok().map(Path::to_owned))
            .collect();
        level = level.iter().flat_map(|d| subdirectories(d)).collect();
    }
    if packages.is_empty() {
        return Err(PackageArchiveError::NoConf {
            path: archive.to_owned(),
        });
    }
    packages.sort();
    Ok(packages)
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tarball(members: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in members {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn finds_packages_and_refuses_members_outside() {
        let temp = tempfile::tempdir().unwrap();
        let archive = temp.path().join("x.tar.zst");
        let bytes = tarball(&[
            ("usr/src/foo-1/dkms.conf", "PACKAGE_NAME=foo\n"),
            ("usr/src/foo-1/sub/dkms.conf", "nested\n"),
            ("usr/src/bar-1/dkms.conf", "PACKAGE_NAME=bar\n"),
        ]);
        fs::write(&archive, zstd::encode_all(&bytes[..], 1).unwrap()).unwrap();
        assert!(is_archive(&archive));
        let into = temp.path().join("a/b");
        fs::create_dir_all(&into).unwrap();
        let found = unpack(&archive, &into).unwrap();
        assert_eq!(
            found,
            [Path::new("usr/src/bar-1"), Path::new("usr/src/foo-1")]
        );
        let bytes = tarball(&[
            ("usr/src/foo-1/dkms.conf", "PACKAGE_NAME=foo\n"),
            ("../escaped", "x"),
        ]);
        fs::write(&archive, &bytes).unwrap();
        let into = temp.path().join("a/c");
        fs::create_dir_all(&into).unwrap();
        unpack(&archive, &into).unwrap_err();
        assert!(!temp.path().join("a/escaped").exists());
    }

    #[test]
    fn a_damaged_or_empty_archive_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let archive = temp.path().join("x.tar.gz");
        fs::write(&archive, [0x1f, 0x8b, 8, 0, 1, 2, 3]).unwrap();
        let into = temp.path().join("into");
        fs::create_dir(&into).unwrap();
        assert!(matches!(
            unpack(&archive, &into),
            Err(PackageArchiveError::Unpack { .. })
        ));
        fs::write(&archive, tarball(&[("readme", "hello")])).unwrap();
        assert!(matches!(
            unpack(&archive, &into),
            Err(PackageArchiveError::NoConf { .. })
        ));
    }
}
