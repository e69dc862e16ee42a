//! The toolbox as an input: which programs and packages of the host a key names.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use kiln_cache::{EntryKind, ObjectDigest, ScanError, TreeScan};

use super::{FingerprintError, Fingerprints};
use crate::{
    conf::Conf,
    sandbox::ETC_FILES,
    toolbox::{PackageDatabase, PackageScope, TextComponent, hashed_programs},
};

/// The component that names the compiler and the other programs of the build.
pub const PROGRAMS: &str = "toolbox programs";

/// Toolbox components, each made once a run.
#[derive(Debug)]
pub struct Tools {
    database: PackageDatabase,
    programs: HashMap<(Vec<String>, bool), Arc<TextComponent>>,
    packages: HashMap<(Vec<String>, PackageScope), Arc<TextComponent>>,
    system: HashMap<PackageScope, Arc<TextComponent>>,
}

impl Tools {
    /// Looks which package database the host has.
    pub fn detect() -> Self {
        Self {
            database: PackageDatabase::detect(),
            programs: HashMap::new(),
            packages: HashMap::new(),
            system: HashMap::new(),
        }
    }

    /// The components for an action that uses `compilers` (names, sorted) and the packages
    /// of `scope`.
    ///
    /// # Errors
    /// Fails if a program or the package database cannot be read.
    pub fn components(
        &mut self,
        compilers: &[String],
        llvm: bool,
        scope: PackageScope,
        fingerprints: &mut Fingerprints<'_>,
    ) -> Result<Vec<Arc<TextComponent>>, FingerprintError> {
        Ok(vec![
            self.programs(compilers, llvm, fingerprints)?,
            self.packages(compilers, scope, fingerprints)?,
            self.system(scope, fingerprints)?,
        ])
    }

    fn programs(
        &mut self,
        compilers: &[String],
        llvm: bool,
        fingerprints: &mut Fingerprints<'_>,
    ) -> Result<Arc<TextComponent>, FingerprintError> {
        let key = (compilers.to_vec(), llvm);
        if let Some(component) = self.programs.get(&key) {
            return Ok(Arc::clone(component));
        }
        let mut lines = Vec::new();
        for (name, path) in hashed_programs(compilers, llvm) {
            if path.is_dir() {
                lines.extend(directory_lines(&name, &path, &*fingerprints.tree(&path)?));
            } else {
                let digest = fingerprints.file(&path)?;
                lines.push(format!("{name}={} {digest}", path.display()));
            }
        }
        let component = Arc::new(TextComponent::new(PROGRAMS, lines));
        self.programs.insert(key, Arc::clone(&component));
        Ok(component)
    }

    fn packages(
        &mut self,
        compilers: &[String],
        scope: PackageScope,
        fingerprints: &mut Fingerprints<'_>,
    ) -> Result<Arc<TextComponent>, FingerprintError> {
        let key = (compilers.to_vec(), scope);
        if let Some(component) = self.packages.get(&key) {
            return Ok(Arc::clone(component));
        }
        let path = self.database.path().map(Path::to_owned);
        let text = match path {
            None => Vec::new(),
            Some(path) => {
                let state = digest(&path, fingerprints)?;
                let name = format!("packages {scope:?} {}", compilers.join(" "));
                fingerprints.memo(&name, state, || {
                    let component = self
                        .database
                        .packages(scope, compilers)
                        .map_err(|source| ScanError::Io { path, source })?;
                    Ok::<_, ScanError>(match component {
                        Some(component) => component.text.into_bytes(),
                        None => format!("database={state}\n").into_bytes(),
                    })
                })?
            }
        };
        let text = String::from_utf8_lossy(&text);
        let component = Arc::new(TextComponent::new(
            "toolbox packages",
            text.lines().map(str::to_owned),
        ));
        self.packages.insert(key, Arc::clone(&component));
        Ok(component)
    }

    /// The files of /etc that a sandbox shows.
    fn system(
        &mut self,
        scope: PackageScope,
        fingerprints: &mut Fingerprints<'_>,
    ) -> Result<Arc<TextComponent>, FingerprintError> {
        if let Some(component) = self.system.get(&scope) {
            return Ok(Arc::clone(component));
        }
        let mut lines = Vec::new();
        // The loader's cache follows from the packages, and changes with each of them.
        let seen = ETC_FILES
            .iter()
            .filter(|path| !path.ends_with("ld.so.cache"));
        for path in seen.map(PathBuf::from).filter(|path| path.exists()) {
            let digest = fingerprints.file(&path)?;
            lines.push(format!("{}={digest}", path.display()));
        }
        lines.extend(alternatives(scope));
        let component = Arc::new(TextComponent::new("toolbox system files", lines));
        self.system.insert(scope, Arc::clone(&component));
        Ok(component)
    }
}

/// A compiler's own directory: a line for each program in it, and one for all other files.
fn directory_lines(name: &str, directory: &Path, scan: &TreeScan) -> Vec<String> {
    let mut lines = Vec::new();
    let mut others = Vec::new();
    for entry in scan.manifest().entries() {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        match &entry.kind {
            EntryKind::File {
                digest,
                executable: true,
            } if !path.contains('/') => {
                lines.push(format!("{name} {path}={} {digest}", directory.display()));
            }
            other => others.push(format!("{path} {other:?}")),
        }
    }
    let others = ObjectDigest::of(others.join("\n").as_bytes());
    lines.push(format!(
        "{name} headers and libraries={} {others}",
        directory.display()
    ));
    lines
}

/// Alternatives that build tools go by; a plain job depends on no others.
const TOOL_ALTERNATIVES: [&str; 9] = [
    "awk", "nawk", "cc", "c89", "c99", "cpp", "ld", "which", "sh",
];

/// Where the alternatives of a scope point.
fn alternatives(scope: PackageScope) -> Vec<String> {
    let mut lines: Vec<String> = std::fs::read_dir("/etc/alternatives")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let wanted =
                scope == PackageScope::Everything || TOOL_ALTERNATIVES.contains(&name.as_str());
            let target = std::fs::read_link(entry.path()).ok()?;
            wanted.then(|| format!("/etc/alternatives/{name}={}", target.display()))
        })
        .collect();
    lines.sort();
    lines
}

fn digest(
    path: &Path,
    fingerprints: &mut Fingerprints<'_>,
) -> Result<ObjectDigest, FingerprintError> {
    if path.is_dir() {
        Ok(fingerprints.tree(path)?.digest)
    } else {
        fingerprints.file(path)
    }
}

/// The compilers that a job may call, by name, sorted.
pub(crate) fn compilers(conf: &Conf) -> Vec<String> {
    let mut names: Vec<String> = [&conf.compiler.required, &conf.compiler.built_with]
        .into_iter()
        .flatten()
        .cloned()
        .chain(["gcc".to_owned(), "cc".to_owned()])
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Directories of a build environment's PATH that the system's own do not cover: the
/// parents of their `bin`.
pub(super) fn extra_tool_directories(conf: &Conf) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = conf
        .environment
        .iter()
        .filter(|(name, _)| name == "PATH")
        .flat_map(|(_, value)| value.split(':'))
        .map(Path::new)
        .filter(|path| path.is_absolute() && path.is_dir())
        .filter(|path| {
            !["/usr", "/bin", "/sbin", "/run"]
                .iter()
                .any(|p| path.starts_with(p))
        })
        .map(|path| match path.parent() {
            Some(parent) if path.ends_with("bin") && parent != Path::new("/") => parent.to_owned(),
            _ => path.to_owned(),
        })
        .collect();
    found.sort();
    found.dedup();
    found
}
