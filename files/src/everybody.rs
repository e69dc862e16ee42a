//! What everybody may read.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use rustix::process::geteuid;

/// Whether everybody may get to a file or directory and read it, and neither it nor a directory on the way is the caller's own:
/// what an ordinary user has may be meant for nobody else, whatever its mode says. Root has nothing of that kind.
#[must_use]
pub fn is_everybodys(path: &Path) -> bool {
    let caller = geteuid();
    let is_open = |path: &Path, wanted: u32| {
        fs::metadata(path).is_ok_and(|there| {
            let is_private = !caller.is_root() && there.uid() == caller.as_raw();
            there.mode() & wanted == wanted && !is_private
        })
    };
    let wanted = if path.is_dir() { 0o5 } else { 0o4 };
    path.ancestors().skip(1).all(|above| is_open(above, 0o1)) && is_open(path, wanted)
}
