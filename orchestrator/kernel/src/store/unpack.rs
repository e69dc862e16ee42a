//! Unpacks a header package: only what builds of modules need.
//!
//! Packages come from anywhere; [`kiln_archive`] has the rules that their members keep. Owners are dropped, and of modes only
//! the execute bit is kept, so that any user can unpack and use any package.

use std::{
    fs::{File, Permissions},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use kiln_archive::{ArchiveError, Description, FileMeta, Limits, Target};
use kiln_durable::{Disk, Failure};

use super::{KernelStoreError, facts::Facts};
use crate::toolbox::KBUILD_PREFIX;

/// Unpacks what is needed of `package` into the empty directory `into`; not synced.
pub(super) fn unpack(package: &Path, into: &Path, disk: &Disk) -> Result<Facts, KernelStoreError> {
    let mut place = Place { into, disk };
    let described = Limits::default()
        .within(into)
        .map_err(ArchiveError::from)
        .and_then(|limits| kiln_archive::unpack(package, &limits, &mut place));
    match described {
        Ok(Description::Deb(control)) => Ok(Facts::of_control(&control)),
        Ok(Description::Rpm(metadata)) => Ok(Facts::of_rpm(&metadata)),
        Ok(Description::None) => Ok(Facts::default()),
        Err(ArchiveError::Unknown) => Err(KernelStoreError::NotAPackage {
            path: package.to_owned(),
        }),
        Err(source) => Err(KernelStoreError::Unpack {
            path: package.to_owned(),
            source,
        }),
    }
}

/// Unpacks a package of anybody's.
#[cfg(feature = "fuzzing")]
pub fn unpack_for_fuzzing(package: &Path, into: &Path) {
    let Ok(facts) = unpack(package, into, &Disk::default()) else {
        return;
    };
    let _ = facts.dependency_with("linux");
    for relation in &facts.depends {
        let _ = (relation.fits("6.1"), relation.needs());
    }
}

/// A directory of the store that nobody else knows of yet.
struct Place<'a> {
    into: &'a Path,
    disk: &'a Disk,
}

impl Place<'_> {
    fn at(&self, path: &Path) -> PathBuf {
        self.into.join(path)
    }
}

impl Target for Place<'_> {
    fn wants(&self, path: &Path) -> bool {
        is_kept(path)
    }

    fn directory(&mut self, path: &Path) -> io::Result<()> {
        let made = self.disk.make_new_directory(&self.at(path), 0o755);
        made.map_err(|failure| failure.source)
    }

    fn file(&mut self, path: &Path, meta: FileMeta, content: &mut dyn Read) -> io::Result<()> {
        let place = self.at(path);
        let mut write = |file: &mut File| {
            io::copy(content, file)?;
            file.set_permissions(Permissions::from_mode(meta.mode()))?;
            file.set_modified(meta.modified)
        };
        let written = self.disk.write_new(&place, |file| {
            write(file).map_err(|source| Failure::new(&place, source))
        });
        written.map_err(|failure| failure.source)
    }

    fn symlink(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        let made = self.disk.symlink(target, &self.at(path));
        made.map_err(|failure| failure.source)
    }

    fn hard_link(&mut self, path: &Path, existing: &Path) -> io::Result<()> {
        let made = self.disk.second_name(&self.at(existing), &self.at(path));
        made.map_err(|failure| failure.source)
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
