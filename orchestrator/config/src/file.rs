//! One file of settings as it lies on the disk: found or not, readable or not, whose it is.

use std::{
    fmt,
    fs::File,
    io::{self, ErrorKind, Read},
    path::Path,
    sync::Arc,
};

use kiln_durable::regular;
use kiln_files::{Guard, Secrecy, Suspicion};

use super::{
    error::Problem,
    origin::{Layer, Position},
};

/// More than any file of settings has, in bytes.
const SIZE_LIMIT: u64 = 1 << 20;

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// It was read.
    Read,
    /// It does not exist.
    Absent,
    /// It lies where the user may not look.
    OutOfSight,
    /// It is there and cannot be read.
    Unusable,
}

/// A file of settings. Its text may hold secrets and is in no output, not even of `Debug`.
pub struct SettingsFile {
    /// Its path.
    pub path: Arc<Path>,
    /// What it is.
    pub layer: Layer,
    /// What became of it.
    pub state: FileState,
    pub(super) text: String,
    /// The file that was read, whatever its path leads to by now.
    opened: Option<File>,
}

impl SettingsFile {
    /// Reads a file if there is one; what is wrong with it is added to `problems`.
    pub(super) fn load(path: &Path, layer: Layer, problems: &mut Vec<Problem>) -> Self {
        let mut file = Self {
            path: Arc::from(path),
            layer,
            state: FileState::Unusable,
            text: String::new(),
            opened: None,
        };
        let mut bytes = Vec::new();
        let read = regular::open_at_once(path).and_then(|opened| {
            (&opened).take(SIZE_LIMIT + 1).read_to_end(&mut bytes)?;
            Ok(opened)
        });
        match read {
            Ok(opened) => file.opened = Some(opened),
            Err(error) => {
                match is_missing(path, &error) {
                    Some(state) => file.state = state,
                    None => problems.push(Problem::Unreadable {
                        path: path.to_owned(),
                        source: error,
                    }),
                }
                return file;
            }
        }
        if bytes.len() as u64 > SIZE_LIMIT {
            problems.push(Problem::TooLarge {
                path: path.to_owned(),
                limit: SIZE_LIMIT,
            });
            return file;
        }
        match String::from_utf8(bytes) {
            Ok(text) => {
                file.text = text;
                file.state = FileState::Read;
            }
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                file.text = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
                problems.push(Problem::NotText {
                    at: file.position(valid),
                });
            }
        }
        file
    }

    /// Whether what it says may be relied upon by `user`.
    pub(super) fn inspect(&self, user: u32) -> Result<(), Suspicion> {
        match &self.opened {
            Some(opened) => Guard::of(user).inspect_open(&self.path, opened, Secrecy::Public),
            // Who could put one there could have taken one away.
            None => Guard::of(user).inspect_way(&self.path),
        }
    }

    /// The directory that relative paths in the file start from.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// The place of a byte.
    pub(super) fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            path: Arc::clone(&self.path),
            layer: self.layer,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Debug for SettingsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettingsFile")
            .field("path", &self.path)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Whether an error says that there is no file.
fn is_missing(path: &Path, error: &io::Error) -> Option<FileState> {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory if is_nowhere(path) => {
            Some(FileState::Absent)
        }
        // Who may not even see a file is not meant by it: HOME is often still another's.
        ErrorKind::PermissionDenied if path.metadata().is_err() => Some(FileState::OutOfSight),
        _ => None,
    }
}

/// Whether nothing has the name of a file, and its directory is one or is not there either: a link that leads nowhere is
/// somebody's wish. What is above the directory says nothing; HOME is often the null device.
fn is_nowhere(path: &Path) -> bool {
    let directory = path.parent().unwrap_or(Path::new("/"));
    has_no_entry(path) && (directory.is_dir() || has_no_entry(directory))
}

fn has_no_entry(path: &Path) -> bool {
    let found = path.symlink_metadata();
    found.is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}
