//! A new kernel for a manifest: an edit that leaves everything else as it is, comments and all.
//!
//! The manifest stays the one place that says what the farm consists of, so a kernel that
//! lands becomes an entry in it, as `cargo add` does with a dependency.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use kiln_files::NewFile;
use toml_edit::{
    Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value, value,
};

use super::{FarmError, KernelSource, Manifest, manifest::KernelEntry};

/// Entries to add.
#[derive(Debug)]
pub struct Addition {
    entries: Vec<KernelEntry>,
}

impl Addition {
    /// Takes what the user named: files are the packages of one kernel, each directory is a
    /// tree, and anything else is the release of an installed kernel.
    pub fn new(
        arguments: &[String],
        manifest: &Manifest,
        name: Option<&str>,
        root: Option<&Path>,
    ) -> Self {
        let mut headers = Vec::new();
        let mut sources = Vec::new();
        for argument in arguments {
            let path = Path::new(argument);
            if path.is_dir() && !holds_packages(path) {
                let path = written(path, manifest.directory());
                sources.push(KernelSource::Tree(path));
            } else if path.exists() || argument.contains('/') || is_package_name(argument) {
                let path = written(path, manifest.directory());
                headers.push(path.to_string_lossy().into_owned());
            } else {
                sources.push(KernelSource::Release(argument.clone()));
            }
        }
        if !headers.is_empty() {
            sources.insert(0, KernelSource::Headers(headers));
        }
        let entry = |source| KernelEntry {
            name: name.map(str::to_owned),
            root: root.map(|root| written(root, manifest.directory())),
            family: None,
            source,
        };
        Self {
            entries: sources.into_iter().map(entry).collect(),
        }
    }

    /// The manifest with the new entries as its last ones; nothing is written.
    ///
    /// # Errors
    /// Fails if the entries are not right.
    pub fn to(&self, manifest: &Manifest) -> Result<Manifest, FarmError> {
        let mut document: DocumentMut =
            manifest.text().parse().map_err(|source| FarmError::Edit {
                path: manifest.path().to_owned(),
                source: Box::new(source),
            })?;
        let kernels = document
            .entry("kernels")
            .or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        for entry in &self.entries {
            match kernels {
                Item::ArrayOfTables(tables) => {
                    let mut table = Table::new();
                    fill(&mut table, entry);
                    tables.push(table);
                }
                Item::Value(Value::Array(array)) => push(array, entry),
                _ => unreachable!("the manifest was read: its kernels are a list"),
            }
        }
        Manifest::parse(manifest.path(), document.to_string())
    }
}

/// Replaces the file of a manifest by what [`Addition::to`] made of it.
///
/// # Errors
/// Fails if it cannot be written; it is then as it was.
pub fn write(manifest: &Manifest) -> Result<(), FarmError> {
    let failed = |source| FarmError::Write {
        path: manifest.path().to_owned(),
        source,
    };
    // A link to a manifest stays one.
    let path = fs::canonicalize(manifest.path()).map_err(failed)?;
    let permissions = fs::metadata(&path).map_err(failed)?.permissions();
    let write = || -> io::Result<()> {
        let mut new = NewFile::beside(&path, 0o600)?;
        new.file().write_all(manifest.text().as_bytes())?;
        new.file().set_permissions(permissions)?;
        new.file().sync_all()?;
        Ok(new.place()?)
    };
    write().map_err(failed)
}

/// A path as the manifest should hold it: relative if it lies below, else absolute.
fn written(path: &Path, directory: &Path) -> PathBuf {
    let absolute = |path: &Path| {
        fs::canonicalize(path)
            .or_else(|_| std::path::absolute(path))
            .unwrap_or_else(|_| path.to_owned())
    };
    let (path, directory) = (absolute(path), absolute(directory));
    match path.strip_prefix(&directory) {
        Ok(inner) if inner != Path::new("") => inner.to_owned(),
        _ => path,
    }
}

/// Whether a directory holds what header packages install, rather than being a build tree.
fn holds_packages(path: &Path) -> bool {
    path.join("usr/src").is_dir() && !path.join("Makefile").exists()
}

fn is_package_name(argument: &str) -> bool {
    argument.ends_with(".deb") || argument.ends_with(".rpm")
}

fn fill(table: &mut dyn TableLike, entry: &KernelEntry) {
    if let Some(name) = &entry.name {
        table.insert("name", value(name));
    }
    match &entry.source {
        KernelSource::Release(release) => table.insert("release", value(release)),
        KernelSource::Tree(path) => table.insert("tree", value(path.to_string_lossy().as_ref())),
        KernelSource::Headers(files) => {
            let mut array: Array = files.iter().collect();
            if files.len() > 1 {
                array
                    .iter_mut()
                    .for_each(|file| file.decor_mut().set_prefix("\n    "));
                array.set_trailing("\n");
                array.set_trailing_comma(true);
            }
            table.insert("headers", value(array))
        }
    };
    if let Some(root) = &entry.root {
        table.insert("root", value(root.to_string_lossy().as_ref()));
    }
}

/// Appends to an inline list, laid out as its last element is.
fn push(array: &mut Array, entry: &KernelEntry) {
    let mut new = match entry {
        KernelEntry {
            name: None,
            root: None,
            source: KernelSource::Release(release),
            ..
        } => Value::from(release),
        _ => {
            let mut table = InlineTable::new();
            fill(&mut table, entry);
            Value::InlineTable(table)
        }
    };
    let layout = Layout::of(array);
    if let Some(last) = array.iter_mut().last() {
        new.decor_mut().set_prefix(layout.before);
        if !layout.trailing_comma {
            last.decor_mut().set_suffix("");
            new.decor_mut().set_suffix(layout.after.as_str());
        }
    }
    array.push_formatted(new);
    if layout.trailing_comma {
        array.set_trailing(layout.after);
    }
}

/// What is between a list's last element and the one that is added, and after that.
struct Layout {
    before: String,
    after: String,
    trailing_comma: bool,
}

impl Layout {
    /// A comment behind the last element stays there; the new one gets a line of its own if
    /// the closing bracket has one.
    fn of(array: &Array) -> Self {
        let last = array.iter().last().map(|last| last.decor());
        let prefix = last
            .and_then(|decor| decor.prefix()?.as_str())
            .unwrap_or("");
        let suffix = last
            .and_then(|decor| decor.suffix()?.as_str())
            .unwrap_or("");
        let trailing_comma = array.trailing_comma();
        let rest = if trailing_comma {
            array.trailing().as_str().unwrap_or("")
        } else {
            suffix
        };
        let (before, after) = match rest.rsplit_once('\n') {
            None => (" ".to_owned(), rest.to_owned()),
            Some((comment, tail)) => {
                let indent = prefix.rsplit_once('\n').map_or("  ", |(_, indent)| indent);
                (format!("{comment}\n{indent}"), format!("\n{tail}"))
            }
        };
        Self {
            before,
            after,
            trailing_comma,
        }
    }
}
