//! The journal of a kernel's transaction: `<kernel_dir>/.kiln/`.
//!
//! It holds one plan, and the plan's name says how far it is: `prepare` may be taken back, `commit` must be
//! finished, `depmod` is done but for the module dependencies. Only `prepare` is ever written; the rest is
//! renaming, so that there is no moment without a valid plan. Format: docs/install-transactions.md.

use std::{
    io,
    path::{Path, PathBuf},
};

use kiln_cache::ObjectDigest;
use kiln_durable::{Disk, Failure, regular};
use kiln_files::{Directory, Guard, Suspicion};
use kiln_kernel::sizes;

use super::{error::TransactionError, plan::Plan};

/// The directory in the kernel's.
const DIRECTORY: &str = ".kiln";

/// Begins the first line, before the version of the format.
const MAGIC: &str = "kiln-transaction";

const VERSION: u32 = 1;

/// How far a plan is; the name of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Prepare,
    Commit,
    Depmod,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Commit => "commit",
            Self::Depmod => "depmod",
        }
    }
}

/// What was found of a plan.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Plan(Plan),
    /// Not what was written: cut short by a crash, or damaged.
    Damaged,
}

/// Where the journal of one kernel is.
pub(super) struct Journal {
    directory: PathBuf,
}

impl Journal {
    pub(super) fn of(kernel_dir: &Path) -> Self {
        let directory = kernel_dir.join(DIRECTORY);
        Self { directory }
    }

    /// Whether a process has left anything of it.
    pub(super) fn exists(&self) -> bool {
        self.directory.symlink_metadata().is_ok()
    }

    /// Sees to it that nobody else can have written what is there: it says what root renames and removes.
    pub(super) fn must_be_own(&self) -> Result<(), TransactionError> {
        let guard = Guard::of_process();
        let files = [Stage::Prepare, Stage::Commit, Stage::Depmod].map(|stage| self.path(stage));
        for path in std::iter::once(&self.directory).chain(&files) {
            let Ok(found) = path.symlink_metadata() else {
                continue;
            };
            let judged = match found.is_symlink() {
                // No journal is behind a link.
                true => Err(Suspicion::Unknown {
                    path: path.clone(),
                    source: io::Error::other("it is a link"),
                }),
                false => guard.inspect_own(path, &found),
            };
            judged.map_err(|suspicion| self.foreign(suspicion))?;
        }
        Ok(())
    }

    fn foreign(&self, source: Suspicion) -> TransactionError {
        TransactionError::Foreign {
            path: self.directory.clone(),
            source,
        }
    }

    pub(super) fn path(&self, stage: Stage) -> PathBuf {
        self.directory.join(stage.name())
    }

    /// Whether a stage was reached.
    pub(super) fn is_at(&self, stage: Stage) -> bool {
        self.path(stage).exists()
    }

    /// Reads the plan that is at a stage.
    pub(super) fn read(&self, stage: Stage) -> Result<Found, TransactionError> {
        let path = self.path(stage);
        let failed = |source| TransactionError::Read {
            path: path.clone(),
            source,
        };
        let opened = Directory::open_itself(&self.directory)
            .and_then(|directory| directory.file(Path::new(stage.name())));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(source) => return Err(failed(source)),
        };
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        }
        // It may be another by now than the one that was looked at.
        Guard::of_process()
            .inspect_own(&path, &found)
            .map_err(|suspicion| self.foreign(suspicion))?;
        let text = regular::read_opened(&file, sizes::JOURNAL).map_err(failed)?;
        match decode(&text) {
            Ok(plan) => Ok(Found::Plan(plan)),
            Err(Unreadable::Damaged) => Ok(Found::Damaged),
            Err(Unreadable::Newer) => Err(TransactionError::Newer { path }),
        }
    }

    /// Writes a plan that is going to be prepared.
    pub(super) fn write(&self, disk: &Disk, plan: &Plan) -> Result<(), Failure> {
        let path = self.path(Stage::Prepare);
        let text = encode(plan).map_err(|error| Failure::new(&path, error))?;
        disk.make_directory(&self.directory, 0o700)?;
        disk.write(&path, &text, 0o600)?;
        disk.sync_directory(&self.directory)?;
        disk.sync_directories_of([&self.directory])
    }

    /// Takes the plan from one stage to the next, not yet on disk.
    pub(super) fn advance(&self, disk: &Disk, from: Stage, to: Stage) -> Result<(), Failure> {
        disk.rename(&self.path(from), &self.path(to))
    }

    /// Makes the stage last.
    pub(super) fn sync(&self, disk: &Disk) -> Result<(), Failure> {
        disk.sync_directory(&self.directory)
    }

    /// Removes the plan at a stage, and the journal if there is no other. Not synced: what comes back
    /// after a power failure is harmless.
    pub(super) fn remove(&self, disk: &Disk, stage: Stage) -> Result<(), Failure> {
        disk.remove(&self.path(stage))?;
        disk.remove_directory(&self.directory)
    }
}

enum Unreadable {
    Damaged,
    Newer,
}

/// `kiln-transaction <version> <digest of the rest>`, and the plan as JSON.
fn encode(plan: &Plan) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec_pretty(plan)?;
    let mut text = format!("{MAGIC} {VERSION} {}\n", ObjectDigest::of(&body)).into_bytes();
    text.extend(body);
    match text.len() as u64 > sizes::JOURNAL {
        // Nobody would read it.
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(text),
    }
}

fn decode(text: &[u8]) -> Result<Plan, Unreadable> {
    let end = text.iter().position(|byte| *byte == b'\n');
    let (head, body) = text.split_at(end.map_or(text.len(), |end| end + 1));
    let head = std::str::from_utf8(head).map_err(|_| Unreadable::Damaged)?;
    let words: Vec<&str> = head.split_ascii_whitespace().collect();
    let [MAGIC, version, digest] = words[..] else {
        return Err(Unreadable::Damaged);
    };
    if ObjectDigest::of(body).to_string() != digest {
        return Err(Unreadable::Damaged);
    }
    match version.parse() {
        Ok(VERSION) => serde_json::from_slice(body).map_err(|_| Unreadable::Damaged),
        Ok(later) if later > VERSION => Err(Unreadable::Newer),
        _ => Err(Unreadable::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let text = encode(&Plan::default()).unwrap();
        assert_eq!(decode(&text).ok(), Some(Plan::default()));
    }

    #[test]
    fn whatever_was_cut_or_changed_is_no_plan() {
        let text = encode(&Plan::default()).unwrap();
        for end in 0..text.len() {
            assert!(matches!(decode(&text[..end]), Err(Unreadable::Damaged)));
        }
        let body = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for at in body..text.len() {
            let mut text = text.clone();
            text[at] ^= 1;
            assert!(matches!(decode(&text), Err(Unreadable::Damaged)), "{at}");
        }
        // What is still the same plan to a reader of JSON was not written by us either.
        let longer = [&text[..], b" "].concat();
        assert!(matches!(decode(&longer), Err(Unreadable::Damaged)));
    }

    #[test]
    fn a_plan_of_a_later_release_is_not_touched() {
        let text = String::from_utf8(encode(&Plan::default()).unwrap()).unwrap();
        let later = text.replace("transaction 1 ", "transaction 2 ");
        assert!(matches!(decode(later.as_bytes()), Err(Unreadable::Newer)));
    }
}
