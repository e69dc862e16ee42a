//! A file that is being written, under a name that nobody looks for.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Disk;

/// How the names of temporary files begin.
pub(crate) const PREFIX: &str = ".kiln-";

/// A written file without its final name; removed when dropped, unless [`Disk::name`] gave it one.
#[derive(Debug)]
pub struct Temporary {
    file: File,
    path: PathBuf,
    disk: Disk,
    /// Whether the file is still to be removed.
    is_ours: bool,
}

impl Temporary {
    pub(crate) fn new(disk: &Disk, file: File, path: PathBuf) -> Self {
        Self {
            file,
            path,
            disk: disk.clone(),
            is_ours: true,
        }
    }

    /// Whether a path has a name as those of temporary files.
    pub fn is_name_of_one(path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
    }

    /// The file, open for reading and writing.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it is for now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It has another name now.
    pub(crate) fn release(mut self) {
        self.is_ours = false;
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.is_ours {
            // What cannot be removed now is for whoever looks after leftovers.
            let _ = self.disk.remove(&self.path);
        }
    }
}
