//! The preparation of a commit: every new content is written beside its final path and is on disk.
//!
//! Nothing of it can be seen at a final path.

use std::{collections::HashMap, fs, os::unix::fs::MetadataExt, path::Path};

use kiln_durable::{Disk, Failure, all_at_once};
use rustix::{fs::statvfs, io::Errno};

use super::{
    overlay::Source,
    plan::{Plan, Preparation, Put},
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
    refuse_without_room(&puts)?;
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

/// Fails if a file system has not the room for what is copied to it. What is sparse is copied as if it were not.
fn refuse_without_room(puts: &[(&Put, &Preparation<'_>)]) -> Result<(), Failure> {
    let mut needed: HashMap<u64, u64> = HashMap::new();
    for (put, preparation) in puts {
        let Some((device, size)) = copied(put, preparation) else {
            continue;
        };
        let needed = needed.entry(device).or_default();
        *needed = needed.saturating_add(size);
        let free = directory_of(put).map(statvfs);
        if let Some(Ok(disk)) = free
            && *needed > disk.f_bfree.saturating_mul(disk.f_frsize)
        {
            return Err(Failure::new(&put.to, Errno::NOSPC.into()));
        }
    }
    Ok(())
}

/// The file system that a file is copied to, and how many bytes that takes; nothing if it is not copied.
fn copied(put: &Put, preparation: &Preparation<'_>) -> Option<(u64, u64)> {
    let Preparation::File(Source::Copy(from) | Source::Move(from)) = preparation else {
        return None;
    };
    let from = fs::symlink_metadata(from).ok()?;
    let to = directory_of(put)?.metadata().ok()?.dev();
    let is_moved = matches!(preparation, Preparation::File(Source::Move(_))) && from.dev() == to;
    (!is_moved).then_some((to, from.len()))
}

fn directory_of(put: &Put) -> Option<&Path> {
    put.prepared.parent()
}
