//! Files that are there as a whole or not at all.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use kiln_files::{FilesError, NewFile};

use crate::error::PublishError;

/// How names of files begin that are not at their place yet.
pub(crate) const TEMPORARY: &str = ".kiln-publish-";

/// The mode of files that everybody may read.
const COMMON: u32 = 0o666;

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
    replace_as(path, COMMON, write)
}

/// Like [`replace`], with a mode of which the umask takes away.
pub(crate) fn replace_as(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> Result<(), PublishError>,
) -> Result<(), PublishError> {
    let mut file = beside(path, mode)?;
    write(file.file())?;
    place(file, path)
}

/// Like [`replace`], with the whole content.
pub(crate) fn replace_with(path: &Path, content: &[u8]) -> Result<(), PublishError> {
    replace(path, |file| {
        file.write_all(content).map_err(PublishError::write(path))
    })
}

/// A new file in the directory of `path`, gone when dropped.
fn beside(path: &Path, mode: u32) -> Result<NewFile, PublishError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory).map_err(PublishError::write(path))?;
    NewFile::named(path, mode, TEMPORARY).map_err(|error| match error {
        FilesError::InTheWay { path } => PublishError::NotAFile { path },
        other => PublishError::write(path)(other.into()),
    })
}

/// A file without a name on the disk of `path`, whose directory is there.
pub(crate) fn nameless(path: &Path) -> Result<File, PublishError> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let made = tempfile::tempfile_in(directory.unwrap_or(Path::new(".")));
    made.map_err(PublishError::write(path))
}

/// Puts a file that is complete at its place.
pub(crate) fn place(mut file: NewFile, path: &Path) -> Result<(), PublishError> {
    let synced = file.file().sync_all();
    let placed = synced.and_then(|()| file.place().map_err(Into::into));
    placed.map_err(PublishError::write(path))
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
