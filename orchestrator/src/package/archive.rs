//! Unpacks `.deb`, `.rpm` and tarballs, and finds the packages in them.
//!
//! Archives come from anywhere: every member is placed below the target directory or not
//! at all, and only directories, regular files and links are made.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::rpm_payload;

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read or unpacked.
    #[error("cannot unpack {path}")]
    Io {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The RPM is damaged or of an unknown kind.
    #[error("cannot unpack {path}")]
    Rpm {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: rpm::Error,
    },
    /// It holds no dkms.conf.
    #[error("{path} holds no dkms.conf")]
    NoConf {
        /// The archive.
        path: PathBuf,
    },
}

const DEB_MAGIC: &[u8] = b"!<arch>\n";
const RPM_MAGIC: &[u8] = &[0xed, 0xab, 0xee, 0xdb];
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const XZ_MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const BZIP2_MAGIC: &[u8] = b"BZh";
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const TAR_MAGIC_OFFSET: usize = 257;

/// A kind of archive that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchiveKind {
    /// A Debian package.
    Deb,
    /// An RPM.
    Rpm,
    /// A tarball, compressed or not.
    Tar,
}

impl ArchiveKind {
    /// What the first bytes of a file say that it is.
    pub(crate) fn of(file: &File) -> io::Result<Option<Self>> {
        let mut head = [0; 512];
        let mut length = 0;
        while length < head.len() {
            match file.read_at(&mut head[length..], length as u64)? {
                0 => break,
                read => length += read,
            }
        }
        let head = &head[..length];
        let compressed = [GZIP_MAGIC, XZ_MAGIC, BZIP2_MAGIC, ZSTD_MAGIC];
        let tar = head.get(TAR_MAGIC_OFFSET..TAR_MAGIC_OFFSET + 5) == Some(b"ustar");
        Ok(if head.starts_with(DEB_MAGIC) {
            Some(Self::Deb)
        } else if head.starts_with(RPM_MAGIC) {
            Some(Self::Rpm)
        } else if tar || compressed.iter().any(|magic| head.starts_with(magic)) {
            Some(Self::Tar)
        } else {
            None
        })
    }
}

/// Whether the first bytes of a file are those of an archive that [`unpack`] reads.
pub(super) fn is_archive(path: &Path) -> bool {
    File::open(path)
        .and_then(|file| ArchiveKind::of(&file))
        .is_ok_and(|kind| kind.is_some())
}

/// Unpacks `archive` into the empty directory `into` and gives the directories in it, at
/// the least depth, that hold a dkms.conf; relative to `into`, sorted.
///
/// # Errors
/// Fails if the archive cannot be read or holds no package.
pub fn unpack(archive: &Path, into: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    let io_error = |source| ArchiveError::Io {
        path: archive.to_owned(),
        source,
    };
    let file = File::open(archive).map_err(io_error)?;
    let kind = ArchiveKind::of(&file).map_err(io_error)?;
    let reader = BufReader::new(file);
    match kind {
        Some(ArchiveKind::Rpm) => unpack_rpm(archive, into)?,
        Some(ArchiveKind::Deb) => unpack_deb(reader, into).map_err(io_error)?,
        _ => unpack_tar(decompressed(reader).map_err(io_error)?, into).map_err(io_error)?,
    }
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
        return Err(ArchiveError::NoConf {
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

fn unpack_deb(reader: impl Read + Seek, into: &Path) -> io::Result<()> {
    let mut members = ar::Archive::new(reader);
    while let Some(member) = members.next_entry() {
        let member = member?;
        if member.header().identifier().starts_with(b"data.tar") {
            return unpack_tar(decompressed(BufReader::new(member))?, into);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "the Debian package has no data.tar",
    ))
}

/// Chooses the decompressor by the content, not by a name.
pub(crate) fn decompressed<'a>(mut reader: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let magic = reader.fill_buf()?;
    Ok(if magic.starts_with(GZIP_MAGIC) {
        Box::new(flate2::bufread::MultiGzDecoder::new(reader))
    } else if magic.starts_with(XZ_MAGIC) {
        Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(reader))
    } else if magic.starts_with(BZIP2_MAGIC) {
        Box::new(bzip2::bufread::MultiBzDecoder::new(reader))
    } else if magic.starts_with(ZSTD_MAGIC) {
        Box::new(zstd::stream::read::Decoder::with_buffer(reader)?)
    } else {
        Box::new(reader)
    })
}

fn unpack_tar(reader: impl Read, into: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_mtime(false);
    archive.set_preserve_ownerships(false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_file() || kind.is_symlink() || kind.is_hard_link() {
            // Leaves out members that would land outside `into`.
            entry.unpack_in(into)?;
        }
    }
    Ok(())
}

fn unpack_rpm(archive: &Path, into: &Path) -> Result<(), ArchiveError> {
    let rpm_error = |source| ArchiveError::Rpm {
        path: archive.to_owned(),
        source,
    };
    let target = into.join("payload");
    fs::create_dir(&target).map_err(|source| ArchiveError::Io {
        path: archive.to_owned(),
        source,
    })?;
    rpm_payload::unpack(archive, &target).map_err(rpm_error)
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
    fn finds_packages_and_keeps_members_inside() {
        let temp = tempfile::tempdir().unwrap();
        let archive = temp.path().join("x.tar.zst");
        let bytes = tarball(&[
            ("usr/src/foo-1/dkms.conf", "PACKAGE_NAME=foo\n"),
            ("usr/src/foo-1/sub/dkms.conf", "nested\n"),
            ("../escaped", "x"),
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
            Err(ArchiveError::Io { .. })
        ));
        fs::write(&archive, tarball(&[("readme", "hello")])).unwrap();
        assert!(matches!(
            unpack(&archive, &into),
            Err(ArchiveError::NoConf { .. })
        ));
    }
}
