//! The preparation of a commit: every new content is written beside its final path and is on disk.
//!
//! Nothing of it can be seen at a final path.

use kiln_durable::{Disk, Failure, all_at_once};

use super::{
    overlay::Source,
    plan::{Plan, Preparation},
};

/// The mode of directories that have to be made.
const DIRECTORY: u32 = 0o755;

/// The mode of installed files.
const FILE: u32 = 0o644;

/// Prepares all puts of a plan.
pub(super) fn prepare(
    disk: &Disk,
    plan: &Plan,
    preparations: &[Preparation<'_>],
) -> Result<(), Failure> {
    plan.check()?;
    for directory in &plan.made {
        disk.make_directory(directory, DIRECTORY)?;
    }
    let puts: Vec<_> = plan.puts.iter().zip(preparations).collect();
    all_at_once(&puts, |(put, preparation)| {
        let path = &put.prepared;
        match preparation {
            Preparation::Link(target) => disk.symlink(target, path),
            Preparation::File(Source::Bytes(bytes)) => disk.write(path, bytes, FILE),
            Preparation::File(Source::Copy(from)) => disk.copy(from, path, FILE),
            // Another file system, or one without second names, needs a copy.
            Preparation::File(Source::Move(from)) => disk
                .link(from, path)
                .or_else(|_| disk.duplicate(from, path)),
        }
    })?;
    disk.sync_directories_of(plan.prepared_paths())
}
