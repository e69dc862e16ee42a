//! Reads an RPM: its headers, and the cpio archive after them, member by member.
//!
//! The rpm crate holds the whole payload in memory. Here it is read once, through the decompressor, and the digests that
//! the headers state of it are compared.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Seek, empty},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rpm::{DigestAlgorithm, IndexTag, PackageMetadata};

use crate::{
    ArchiveError, Limits,
    compression::decompressed,
    cpio::{Cpio, Header, Kind},
    hashed::Hashed,
    members::{Members, hostile},
    rpm_header,
};

/// Hands all members on; returns the headers.
pub(crate) fn read(
    mut file: impl BufRead + Seek,
    limits: &Limits,
    members: &mut Members<'_>,
) -> Result<PackageMetadata, ArchiveError> {
    let metadata = rpm_header::read(&mut file, limits)?;
    metadata.verify_digests()?;
    let mut files = Files::of(&metadata, limits)?;
    let mut payload = Hashed::sha256(file);
    let reader = decompressed(BufReader::new(&mut payload))?;
    let mut archive = Cpio::new(limits.metered(reader), limits.path);
    while let Some(header) = archive.next()? {
        files.hand_on(&header, &mut archive.content(), members)?;
    }
    // Decompressors have checks of their own at the end.
    archive.finish()?;
    files.end(members)?;
    let stated = metadata
        .header
        .get_entry_data_as_string(IndexTag::RPMTAG_PAYLOADSHA256);
    if let Ok(stated) = stated
        && !payload.ends_with(stated)?
    {
        return Err(ArchiveError::Damaged("its payload has another digest"));
    }
    Ok(metadata)
}

/// What the headers say of the files, and the names that wait for their content.
struct Files {
    /// By path: an algorithm and the digest.
    digests: HashMap<PathBuf, (DigestAlgorithm, String)>,
    /// By device and inode: names that came without content.
    waiting: HashMap<(u32, u32, u32), Vec<(Header, PathBuf)>>,
    /// How many have waited, and may.
    names: u64,
    most: u64,
}

impl Files {
    fn of(metadata: &PackageMetadata, limits: &Limits) -> Result<Self, ArchiveError> {
        let mut digests = HashMap::new();
        let entries = metadata.get_file_entries()?;
        if entries.len() as u64 > limits.members {
            return Err(Limits::too_large("members", limits.members));
        }
        for entry in entries {
            if let Some(digest) = entry.digest() {
                let path = relative(&entry.path()).to_owned();
                digests.insert(path, (digest.algorithm(), digest.as_hex().to_owned()));
            }
        }
        Ok(Self {
            digests,
            waiting: HashMap::new(),
            names: 0,
            most: limits.members,
        })
    }

    fn hand_on(
        &mut self,
        header: &Header,
        content: &mut dyn Read,
        members: &mut Members<'_>,
    ) -> Result<(), ArchiveError> {
        let path = relative(Path::new(OsStr::from_bytes(&header.name)));
        match header.kind() {
            Kind::Directory => members.directory(path),
            Kind::Symlink => {
                let mut target = Vec::new();
                let longest = members.longest_path() as u64 + 1;
                content.take(longest).read_to_end(&mut target)?;
                members.symlink(path, Path::new(OsStr::from_bytes(&target)))
            }
            // Of several names only the last has the content.
            Kind::File if header.links > 1 && header.size == 0 => {
                self.names += 1;
                if self.names > self.most {
                    return Err(Limits::too_large("members", self.most));
                }
                let names = self.waiting.entry(header.inode).or_default();
                names.push((header.clone(), path.to_owned()));
                Ok(())
            }
            Kind::File => {
                self.file(header, path, content, members)?;
                for (_, name) in self.waiting.remove(&header.inode).unwrap_or_default() {
                    members.hard_link(&name, path)?;
                }
                Ok(())
            }
            Kind::Other => Err(members.other(path)),
        }
    }

    fn file(
        &self,
        header: &Header,
        path: &Path,
        content: &mut dyn Read,
        members: &mut Members<'_>,
    ) -> Result<(), ArchiveError> {
        let (mode, modified) = (header.mode, header.modified.into());
        let stated = self.digests.get(path);
        let known = stated
            .and_then(|(algorithm, digest)| Some((Hashed::by(*algorithm, &mut *content)?, digest)));
        let Some((mut hashed, digest)) = known else {
            return members.file(path, mode, modified, content);
        };
        members.file(path, mode, modified, &mut hashed)?;
        match hashed.ends_with(digest)? {
            true => Ok(()),
            false => Err(hostile(path, "has another digest than is stated")),
        }
    }

    /// The names whose file is empty.
    fn end(self, members: &mut Members<'_>) -> Result<(), ArchiveError> {
        for (header, path) in self.waiting.into_values().flatten() {
            members.file(&path, header.mode, header.modified.into(), &mut empty())?;
        }
        Ok(())
    }
}

/// A path of an RPM, which begins at the root, as those of other archives.
fn relative(path: &Path) -> &Path {
    let path = path.strip_prefix("/").unwrap_or(path);
    path.strip_prefix(".").unwrap_or(path)
}
