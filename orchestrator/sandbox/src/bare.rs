//! Running an action without namespaces, where bubblewrap may not run.
//!
//! What the view binds or links below the scratch directory is made there as a symbolic
//! link; what it binds elsewhere is on the real system already and stays as it is.

use std::{ffi::OsStr, fs, io, os::unix::fs::symlink, path::Path, process::Command};

use super::{Layout, Scratch, View};

pub(super) fn command(
    layout: &Layout,
    view: &View,
    scratch: &Scratch,
    program: &OsStr,
) -> io::Result<Command> {
    let base = layout.run.parent().unwrap_or(&layout.run);
    for (host, inside) in &view.read_only {
        if inside.starts_with(base) && inside != host {
            link(host, inside)?;
        }
    }
    for (inside, target) in &view.links {
        if inside.starts_with(base) {
            link(target, inside)?;
        }
    }
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(view.environment.iter().map(|(k, v)| (k, v)))
        // It may not write to what is everybody's.
        .env("TMPDIR", scratch.temporary(Path::new("/tmp")))
        .current_dir(&view.directory);
    Ok(command)
}

fn link(target: &Path, at: &Path) -> io::Result<()> {
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent)?;
    }
    match symlink(target, at) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            if at.is_symlink() {
                fs::remove_file(at)?;
                symlink(target, at)
            } else {
                Ok(())
            }
        }
        other => other,
    }
}
