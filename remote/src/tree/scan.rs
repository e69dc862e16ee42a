//! A directory of this machine as a tree.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::{Directory, Mode, Node, Tree, TreeError};
use crate::blob::Blob;
use crate::error::RemoteError;

impl Tree {
    /// Takes a directory with all that is in it. Files are hashed side by side, and read again when they
    /// are uploaded: they must stay as they are. Symbolic links stay links; owners and times are left out.
    ///
    /// # Errors
    ///
    /// When something cannot be read, has a name that is not UTF-8, or is a device, a socket or a pipe.
    pub fn of_directory(path: &Path) -> Result<Arc<Self>, RemoteError> {
        Ok(Arc::new(Self {
            root: directory(path)?,
            parts: Vec::new(),
        }))
    }
}

fn directory(path: &Path) -> Result<Arc<Directory>, RemoteError> {
    let unreadable = |error| RemoteError::file(path, error);
    let entries: Vec<fs::DirEntry> = fs::read_dir(path)
        .and_then(Iterator::collect)
        .map_err(unreadable)?;
    let one = |entry: &fs::DirEntry| {
        let path = entry.path();
        let name = entry.file_name().into_string();
        let name = name.map_err(|_| TreeError::Name { path: path.clone() })?;
        Ok((name, node(entry, path)?))
    };
    let entries: Result<_, RemoteError> = entries.par_iter().map(one).collect();
    Ok(Directory::seal(entries?))
}

fn node(entry: &fs::DirEntry, path: PathBuf) -> Result<Node, RemoteError> {
    let unreadable = |error| RemoteError::file(&path, error);
    let kind = entry.file_type().map_err(unreadable)?;
    if kind.is_dir() {
        return Ok(Node::Directory(directory(&path)?));
    }
    if kind.is_symlink() {
        let target = fs::read_link(&path).map_err(unreadable)?;
        let target = target.into_os_string().into_string();
        return match target {
            Ok(target) => Ok(Node::Symlink(target)),
            Err(_) => Err(TreeError::Name { path }.into()),
        };
    }
    if !kind.is_file() {
        return Err(TreeError::Kind { path }.into());
    }
    let mode = entry.metadata().map_err(unreadable)?.permissions().mode();
    let blob = Blob::file(&path).map_err(unreadable)?;
    Ok(Node::File(blob, Mode::of_bits(mode)))
}
