//! One file of results, which takes its place when it is whole.

use std::{fs, io, path::Path, time::SystemTime};

use kiln_cache::Syncing;
use kiln_durable::{Disk, Failure, Temporary};

/// How a file is put at its place.
pub struct Placing<'a> {
    /// The disk that it is written to.
    pub disk: &'a Disk,
    /// Its mode, to which the umask applies.
    pub mode: u32,
    /// The time that it has then, if not that of writing.
    pub time: Option<SystemTime>,
    /// Whether it is whole under its name after a power failure too, time and all.
    pub syncing: Syncing,
}

impl Placing<'_> {
    /// Writes a file beside its place, and puts it there. The directory must be there.
    ///
    /// # Errors
    /// Fails if it cannot be written, and if what is there is neither a file nor a link to one
    /// nor to nothing; what was there then stays.
    pub fn place(
        &self,
        path: &Path,
        write: impl FnOnce(&mut Temporary) -> io::Result<()>,
    ) -> io::Result<()> {
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return Err(io::Error::other("there is something that is no file"));
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let placed = || -> Result<(), Failure> {
            let disk = self.disk;
            let (file, ()) = disk.write_temporary(directory, self.mode, |file| {
                write(file).map_err(|source| Failure::new(path, source))
            })?;
            if let Some(time) = self.time {
                disk.set_modified(&file, time)?;
            }
            if self.syncing == Syncing::First {
                disk.sync_files(&[&file])?;
            }
            disk.name(file, path)
        };
        placed().map_err(|failure| failure.source)
    }
}
