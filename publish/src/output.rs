//! Files that are there as a whole or not at all.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use tempfile::NamedTempFile;

use crate::error::PublishError;

/// How names of files begin that are not at their place yet.
pub(crate) const TEMPORARY: &str = ".kiln-publish-";

/// Writes a file beside its place, then puts it there. Makes the directory where there is
/// none; readable as the process's umask lets new files be.
///
/// # Errors
/// Fails if `write` does, if the file cannot be written, and if what is at the place is no
/// file. What was there then stays.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), PublishError>,
) -> Result<(), PublishError> {
    let mut file = beside(path)?;
    write(file.as_file_mut())?;
    place(file, path)
}

/// Like [`replace`], with the whole content.
pub(crate) fn replace_with(path: &Path, content: &[u8]) -> Result<(), PublishError> {
    replace(path, |file| {
        file.write_all(content).map_err(PublishError::write(path))
    })
}

/// A new file in the directory of `path`, gone when dropped.
pub(crate) fn beside(path: &Path) -> Result<NamedTempFile, PublishError> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(PublishError::NotAFile {
            path: path.to_owned(),
        });
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let made = fs::create_dir_all(directory).and_then(|()| {
        tempfile::Builder::new()
            .prefix(TEMPORARY)
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory)
    });
    made.map_err(PublishError::write(path))
}

/// Puts a file that is complete at its place.
pub(crate) fn place(file: NamedTempFile, path: &Path) -> Result<(), PublishError> {
    let placed = file
        .as_file()
        .sync_all()
        .and_then(|()| file.persist(path).map_err(io::Error::from));
    placed.map(drop).map_err(PublishError::write(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_what_was_there_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/file");
        replace_with(&path, b"first").unwrap();
        let failed = replace(&path, |file| {
            file.write_all(b"half").unwrap();
            Err(PublishError::Incomplete { what: "end" })
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let device = Path::new("/dev/null");
        assert!(matches!(
            replace_with(device, b"x"),
            Err(PublishError::NotAFile { .. })
        ));
        let directory = tempfile::tempdir().unwrap();
        assert!(replace_with(directory.path(), b"x").is_err());
    }
}
