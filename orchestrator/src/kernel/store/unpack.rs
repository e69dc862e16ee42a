//! Unpacks a header package: only what builds of modules need, and nothing outside its directory.
//!
//! Packages come from anywhere. A member whose path is absolute, climbs, or goes through a link or
//! a file condemns the whole package; links are made and never followed. Owners are dropped, and of
//! modes only the execute bit is kept, so that any user can unpack and use any package.

use std::{
    collections::{HashMap, HashSet},
    fs::{File, Permissions},
    io::{self, BufReader, Read, Seek, Write},
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

use kiln_durable::{Disk, Failure};

use super::{KernelStoreError, facts::Facts};
use crate::{
    package::{ArchiveKind, decompressed, rpm_headers},
    toolbox::KBUILD_PREFIX,
};

/// More than any package of headers unpacks to.
const SIZE_LIMIT: u64 = 4 << 30;

/// What stands at a path that was unpacked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link,
}

/// Puts the members of one package below a directory.
struct Unpacker<'a> {
    package: &'a Path,
    into: &'a Path,
    disk: &'a Disk,
    /// Every member so far, also those that are not kept.
    members: HashMap<PathBuf, Kind>,
    /// The directories that were made.
    made: HashSet<PathBuf>,
    room: u64,
}

/// Unpacks what is needed of `package` into the empty directory `into`; not synced.
pub(super) fn unpack(package: &Path, into: &Path, disk: &Disk) -> Result<Facts, KernelStoreError> {
    let io_error = |source| KernelStoreError::Unpack {
        path: package.to_owned(),
        source,
    };
    let mut unpacker = Unpacker {
        package,
        into,
        disk,
        members: HashMap::from([(PathBuf::new(), Kind::Directory)]),
        made: HashSet::new(),
        room: SIZE_LIMIT,
    };
    let file = File::open(package).map_err(io_error)?;
    match ArchiveKind::of(&file).map_err(io_error)? {
        Some(ArchiveKind::Deb) => unpacker.deb(BufReader::new(file)),
        Some(ArchiveKind::Rpm) => unpacker.rpm(),
        Some(ArchiveKind::Tar) => {
            let reader = decompressed(BufReader::new(file)).map_err(io_error)?;
            unpacker.tar(reader).map(|()| Facts::default())
        }
        None => Err(KernelStoreError::NotAPackage {
            path: package.to_owned(),
        }),
    }
}

/// Unpacks a package of anybody's.
#[cfg(feature = "fuzzing")]
pub(crate) fn unpack_for_fuzzing(package: &Path, into: &Path) {
    let Ok(facts) = unpack(package, into, &Disk::default()) else {
        return;
    };
    let _ = facts.dependency_with("linux");
    for relation in &facts.depends {
        let _ = (relation.fits("6.1"), relation.needs());
    }
}

impl Unpacker<'_> {
    fn io_error(&self) -> impl Fn(io::Error) -> KernelStoreError + use<> {
        let path = self.package.to_owned();
        move |source| KernelStoreError::Unpack {
            path: path.clone(),
            source,
        }
    }

    fn failure(&self) -> impl Fn(Failure) -> KernelStoreError + use<> {
        let io_error = self.io_error();
        move |failure| io_error(failure.source)
    }

    fn hostile(&self, member: &Path, reason: &'static str) -> KernelStoreError {
        KernelStoreError::Hostile {
            path: self.package.to_owned(),
            member: member.to_owned(),
            reason,
        }
    }

    fn deb(&mut self, reader: impl Read + Seek) -> Result<Facts, KernelStoreError> {
        let io_error = self.io_error();
        let mut facts = Facts::default();
        let mut members = ar::Archive::new(reader);
        while let Some(member) = members.next_entry() {
            let member = member.map_err(&io_error)?;
            let name = member.header().identifier().to_owned();
            if name.starts_with(b"control.tar") {
                let control = decompressed(BufReader::new(member)).map_err(&io_error)?;
                facts = Facts::of_control_tar(control).map_err(&io_error)?;
            } else if name.starts_with(b"data.tar") {
                let data = decompressed(BufReader::new(member)).map_err(&io_error)?;
                self.tar(data)?;
                return Ok(facts);
            }
        }
        Err(io_error(io::Error::new(
            io::ErrorKind::InvalidData,
            "the Debian package has no data.tar",
        )))
    }

    fn tar(&mut self, reader: impl Read) -> Result<(), KernelStoreError> {
        let io_error = self.io_error();
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries().map_err(&io_error)? {
            let mut entry = entry.map_err(&io_error)?;
            let raw = entry.path().map_err(&io_error)?.into_owned();
            let header = entry.header();
            let kind = header.entry_type();
            let mode = header.mode().map_err(&io_error)?;
            let time = header.mtime().map_err(&io_error)?;
            if raw.is_absolute() {
                return Err(self.hostile(&raw, "has an absolute path"));
            }
            if kind.is_dir() {
                self.directory(&raw)?;
            } else if kind.is_file() {
                self.file(&raw, mode, time, &mut entry)?;
            } else if kind.is_symlink() || kind.is_hard_link() {
                let target = entry.link_name().map_err(&io_error)?;
                let target = target.map(|t| t.into_owned()).unwrap_or_default();
                if kind.is_symlink() {
                    self.link(&raw, &target)?;
                } else {
                    self.hard_link(&raw, &target)?;
                }
            } else if !kind.is_pax_global_extensions() {
                return Err(self.hostile(&raw, "is no file, directory or link"));
            }
        }
        Ok(())
    }

    fn rpm(&mut self) -> Result<Facts, KernelStoreError> {
        let path = self.package.to_owned();
        let rpm_error = |source| KernelStoreError::Rpm {
            path: path.clone(),
            source,
        };
        let package = rpm_headers::open(&path).map_err(rpm_error)?;
        package.verify_digests().map_err(rpm_error)?;
        // Of files with several names only one has content.
        let mut contents = HashMap::new();
        let mut names = Vec::new();
        for file in package.files().map_err(rpm_error)? {
            let file = file.map_err(rpm_error)?;
            let entry = &file.metadata;
            if entry.flags().contains(rpm::FileFlags::GHOST) {
                continue;
            }
            let full = entry.path();
            let raw = full.strip_prefix("/").unwrap_or(&full);
            let (mode, time) = (entry.permissions(), u64::from(entry.modified_at().0));
            match entry.file_type() {
                rpm::FileType::Dir => self.directory(raw)?,
                rpm::FileType::SymbolicLink => {
                    self.link(raw, Path::new(entry.linkto().unwrap_or_default()))?;
                }
                rpm::FileType::Regular => match file.content() {
                    Some(mut content) => {
                        self.file(raw, mode.into(), time, &mut content)?;
                        if let Some(digest) = entry.digest() {
                            contents.insert(digest.clone().into_owned(), raw.to_owned());
                        }
                    }
                    None => names.push((raw.to_owned(), entry.digest().cloned())),
                },
                _ => return Err(self.hostile(raw, "is no file, directory or link")),
            }
        }
        for (name, digest) in names {
            match digest.and_then(|digest| contents.get(&digest.into_owned())) {
                Some(first) => self.hard_link(&name, first)?,
                None => return Err(self.hostile(&name, "has no content")),
            }
        }
        Ok(Facts::of_rpm(&package.metadata))
    }

    /// Checks a member's path, and makes the directories that it is in.
    ///
    /// Gives its path below the directory, and whether it is kept.
    fn place(&mut self, raw: &Path, kind: Kind) -> Result<(PathBuf, bool), KernelStoreError> {
        let mut path = PathBuf::new();
        for part in raw.components() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) => {
                    if !path.as_os_str().is_empty() {
                        self.ancestor(&path, raw)?;
                    }
                    path.push(name);
                }
                Component::ParentDir => return Err(self.hostile(raw, "leaves the package")),
                _ => return Err(self.hostile(raw, "has an absolute path")),
            }
        }
        let known = self.members.insert(path.clone(), kind);
        if known.is_some_and(|known| known != Kind::Directory || kind != Kind::Directory) {
            return Err(self.hostile(raw, "is there twice"));
        }
        let kept = is_kept(&path);
        if kept && let Some(parent) = path.parent() {
            self.make(parent)?;
        }
        Ok((path, kept))
    }

    fn ancestor(&mut self, path: &Path, raw: &Path) -> Result<(), KernelStoreError> {
        match self.members.get(path) {
            Some(Kind::Directory) => Ok(()),
            Some(_) => Err(self.hostile(raw, "is below something that is no directory")),
            None => {
                self.members.insert(path.to_owned(), Kind::Directory);
                Ok(())
            }
        }
    }

    fn make(&mut self, path: &Path) -> Result<(), KernelStoreError> {
        if path.as_os_str().is_empty() || self.made.contains(path) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.make(parent)?;
        }
        let directory = self.into.join(path);
        self.disk
            .make_new_directory(&directory, 0o755)
            .map_err(self.failure())?;
        self.made.insert(path.to_owned());
        Ok(())
    }

    fn directory(&mut self, raw: &Path) -> Result<(), KernelStoreError> {
        let (path, kept) = self.place(raw, Kind::Directory)?;
        if kept { self.make(&path) } else { Ok(()) }
    }

    fn file(
        &mut self,
        raw: &Path,
        mode: u32,
        time: u64,
        content: &mut dyn Read,
    ) -> Result<(), KernelStoreError> {
        let (path, kept) = self.place(raw, Kind::File)?;
        if !kept {
            return Ok(());
        }
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time));
        let time = time.ok_or_else(|| self.hostile(raw, "has a time that cannot be"))?;
        let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
        let place = self.into.join(&path);
        let mut write = |file: &mut File| {
            let left = copy(content, file, self.room)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            file.set_modified(time)?;
            Ok(left)
        };
        let written = self.disk.write_new(&place, |file| {
            write(file).map_err(|source| Failure::new(&place, source))
        });
        self.room = written
            .map_err(self.failure())?
            .ok_or_else(|| KernelStoreError::TooLarge {
                path: self.package.to_owned(),
                limit: SIZE_LIMIT,
            })?;
        Ok(())
    }

    fn link(&mut self, raw: &Path, target: &Path) -> Result<(), KernelStoreError> {
        let (path, kept) = self.place(raw, Kind::Link)?;
        if !kept {
            return Ok(());
        }
        self.disk
            .symlink(target, &self.into.join(path))
            .map_err(self.failure())
    }

    /// Gives a file that was unpacked another name.
    fn hard_link(&mut self, raw: &Path, target: &Path) -> Result<(), KernelStoreError> {
        let (path, kept) = self.place(raw, Kind::File)?;
        if !kept {
            return Ok(());
        }
        let target: PathBuf = target
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect();
        if self.members.get(&target) != Some(&Kind::File) || !is_kept(&target) {
            return Err(self.hostile(raw, "is a link to a file that is not in the package"));
        }
        self.disk
            .second_name(&self.into.join(target), &self.into.join(path))
            .map_err(self.failure())
    }
}

/// Copies at most `room` bytes; gives what room is left, or nothing if there was more to copy.
fn copy(from: &mut dyn Read, to: &mut File, room: u64) -> io::Result<Option<u64>> {
    let mut left = room;
    let mut buffer = [0; 64 << 10];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(Some(left));
        }
        match left.checked_sub(length as u64) {
            Some(rest) => left = rest,
            None => return Ok(None),
        }
        to.write_all(&buffer[..length])?;
    }
}

/// Whether builds of modules can need a path: header trees, kbuild's programs, and the links of
/// installed kernels to them. Not the modules of a kernel.
fn is_kept(path: &Path) -> bool {
    let mut names = path.iter().map(|name| name.to_string_lossy());
    let mut next = || names.next().unwrap_or_default().into_owned();
    let (first, second) = (next(), next());
    let (root, below, more) = if first == "lib" {
        ("lib".to_owned(), second, next())
    } else if first == "usr" && second == "lib" {
        ("lib".to_owned(), next(), next())
    } else {
        (first, second, String::new())
    };
    match (root.as_str(), below.as_str()) {
        ("usr", "src") => path.components().count() > 2,
        ("lib", "modules") => {
            let inner = names.next().unwrap_or_default();
            !more.is_empty() && (inner == "build" || inner == "source")
        }
        ("lib", name) => name.starts_with(KBUILD_PREFIX),
        _ => false,
    }
}
