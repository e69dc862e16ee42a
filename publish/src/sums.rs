//! `SHA256SUMS` of a directory, in the format of sha256sum(1).

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    digest::{FileDigest, digest_file},
    error::PublishError,
    output::{TEMPORARY, replace_with},
};

/// The name of the file with the sums.
pub const SUMS: &str = "SHA256SUMS";

/// Signatures of the sums, which cannot be in them.
const SIGNATURES: [&str; 4] = [
    "SHA256SUMS.asc",
    "SHA256SUMS.gpg",
    "SHA256SUMS.sig",
    "SHA256SUMS.p7s",
];

/// Writes the sums of all regular files below a directory, sorted by path, to `SHA256SUMS`
/// there, and gives them. That file, signatures of it and temporary files of this crate are
/// not in it, and neither are links: what they lead to may be elsewhere.
///
/// # Errors
/// Fails if a file cannot be read, its name is not UTF-8, or the sums cannot be written.
pub fn write_sums(directory: &Path) -> Result<Vec<FileDigest>, PublishError> {
    let mut files = Vec::new();
    collect(directory, Path::new(""), &mut files)?;
    let mut digests = Vec::with_capacity(files.len());
    for file in files {
        let Some(path) = file.to_str() else {
            return Err(PublishError::Field {
                field: "file name",
                value: file.to_string_lossy().into_owned(),
                reason: "is not UTF-8",
            });
        };
        digests.push(FileDigest {
            path: path.to_owned(),
            sha256: digest_file(&directory.join(path))?,
        });
    }
    digests.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    let sums = digests
        .iter()
        .map(|file| (file.path.as_str(), file.sha256.to_string()));
    let text = sums_text(sums.collect());
    replace_with(&directory.join(SUMS), text.as_bytes())?;
    Ok(digests)
}

/// The text with the sums of some files, each with its path, in the order of the paths.
pub fn sums_text<S: AsRef<str>>(mut files: Vec<(&str, S)>) -> String {
    files.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    let lines = files.iter();
    lines.map(|(path, sum)| line(sum.as_ref(), path)).collect()
}

/// A line of the sums. Where the name has a line break or a backslash, both are escaped, and
/// a backslash in front says so.
fn line(digest: &str, path: &str) -> String {
    if !path.contains(['\\', '\n', '\r']) {
        return format!("{digest}  {path}\n");
    }
    let escaped = path
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r");
    format!("\\{digest}  {escaped}\n")
}

fn collect(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> Result<(), PublishError> {
    let directory = root.join(below);
    let entries = fs::read_dir(&directory).map_err(PublishError::read(&directory))?;
    for entry in entries {
        let entry = entry.map_err(PublishError::read(&directory))?;
        let kind = entry.file_type().map_err(PublishError::read(&directory))?;
        let name = entry.file_name();
        let path = below.join(&name);
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_file() && !is_own(below, &name.to_string_lossy()) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_own(below: &Path, name: &str) -> bool {
    below.as_os_str().is_empty() && (name == SUMS || SIGNATURES.contains(&name))
        || name.starts_with(TEMPORARY)
}
