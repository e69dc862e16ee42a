//! Puts the files of an RPM below a directory, each member there or not at all.
//!
//! The paths in an RPM are whatever its maker wrote: they may climb, or go through links that the same package
//! brings. Such members are left out, as they are of tarballs.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use super::rpm_headers;

/// Unpacks the package below the directory `into`, which exists.
pub(super) fn unpack(archive: &Path, into: &Path) -> Result<(), rpm::Error> {
    let package = rpm_headers::open(archive)?;
    // Of files with several names only one has content.
    let mut contents = HashMap::new();
    let mut names = Vec::new();
    for file in package.files()? {
        let file = file?;
        let entry = &file.metadata;
        if entry.flags().contains(rpm::FileFlags::GHOST) {
            continue;
        }
        let Some(place) = place(into, &entry.path())? else {
            continue;
        };
        match entry.file_type() {
            rpm::FileType::Dir if place.is_symlink() => {}
            rpm::FileType::Dir => fs::create_dir_all(&place)?,
            rpm::FileType::SymbolicLink => {
                make_room(&place)?;
                symlink(entry.linkto().unwrap_or_default(), &place)?;
            }
            rpm::FileType::Regular => match file.content() {
                Some(content) => {
                    make_room(&place)?;
                    write(&place, content, entry.permissions().into())?;
                    if let Some(digest) = entry.digest() {
                        contents.insert(digest.clone().into_owned(), place);
                    }
                }
                None => names.push((place, entry.digest().cloned())),
            },
            _ => {}
        }
    }
    for (name, digest) in names {
        if let Some(first) = digest.and_then(|digest| contents.get(&digest.into_owned())) {
            make_room(&name)?;
            fs::hard_link(first, &name)?;
        }
    }
    Ok(())
}

/// Where a member goes, with the directories above it made; nothing if that is not below `into`.
fn place(into: &Path, member: &Path) -> io::Result<Option<PathBuf>> {
    let mut place = into.to_owned();
    let mut is_root = true;
    for part in member.components() {
        match part {
            Component::Normal(name) => {
                if !is_root && !is_directory(&place)? {
                    return Ok(None);
                }
                is_root = false;
                place.push(name);
            }
            Component::ParentDir => return Ok(None),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok((!is_root).then_some(place))
}

/// Whether there is a directory and no link to one; where there is nothing, one is made.
fn is_directory(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir(path)?;
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

/// Removes a file or link that an earlier member has put there.
fn make_room(place: &Path) -> io::Result<()> {
    match fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write(place: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(place)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode & 0o777))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes an RPM with these files, and links with their targets.
    fn package(at: &Path, files: &[&str], links: &[(&str, &str)]) {
        let mut builder = rpm::PackageBuilder::new("hostile", "1", "GPL", "noarch", "hostile");
        for (link, target) in links {
            let options = rpm::FileOptions::symlink(*link, *target);
            builder.with_symlink(options).unwrap();
        }
        for path in files {
            let options = rpm::FileOptions::new(*path);
            builder.with_file_contents(*path, options).unwrap();
        }
        builder.build().unwrap().write_file(at).unwrap();
    }

    #[test]
    fn nothing_leaves_the_directory() {
        let temp = tempfile::tempdir().unwrap();
        let into = temp.path().join("a/b/c");
        fs::create_dir_all(&into).unwrap();
        let elsewhere = temp.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let file = temp.path().join("hostile.rpm");
        package(
            &file,
            &[
                "/usr/src/a-1/dkms.conf",
                "/../../escaped/file",
                "/usr/../../../escaped",
                "/usr/src/door/through",
            ],
            &[("/usr/src/door", elsewhere.to_str().unwrap())],
        );
        unpack(&file, &into).unwrap();
        let text = fs::read_to_string(into.join("usr/src/a-1/dkms.conf")).unwrap();
        assert_eq!(text, "/usr/src/a-1/dkms.conf");
        let names = |path: &Path| fs::read_dir(path).unwrap().count();
        assert_eq!(names(&elsewhere), 0);
        assert_eq!((names(temp.path()), names(&temp.path().join("a"))), (3, 1));
        assert_eq!(names(&temp.path().join("a/b")), 1);
    }
}
