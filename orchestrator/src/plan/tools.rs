//! The toolbox as an input: which programs and packages of a system a key names.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use kiln_cache::{EntryKind, ObjectDigest, ScanError, TreeScan};

use super::{FingerprintError, Fingerprints};
use crate::{
    conf::Conf,
    sandbox::{ETC_FILES, SYSTEM_DIRECTORIES},
    toolbox::{PackageDatabase, SystemRoot, TextComponent, hashed_programs},
};

/// The component that names the compiler and the other programs of the build.
pub const PROGRAMS: &str = "toolbox programs";

/// Changes when a package counts in another way.
const PACKAGES_FORMAT: u32 = 3;

/// Toolbox components of one system, each made once a run.
#[derive(Debug)]
pub struct Tools {
    system: SystemRoot,
    database: PackageDatabase,
    programs: HashMap<(Vec<String>, bool), Arc<TextComponent>>,
    packages: Option<Arc<TextComponent>>,
    files: Option<Arc<TextComponent>>,
}

impl Tools {
    /// Looks which package database this machine has.
    pub fn detect() -> Self {
        Self::of(SystemRoot::host())
    }

    /// Looks which package database a system has.
    pub fn of(system: SystemRoot) -> Self {
        Self {
            database: PackageDatabase::detect(&system),
            system,
            programs: HashMap::new(),
            packages: None,
            files: None,
        }
    }

    /// The components for an action that uses `compilers` (names, sorted): the programs that every build
    /// runs, and what else a sandbox can see of the system.
    ///
    /// # Errors
    /// Fails if a program or the package database cannot be read.
    pub fn components(
        &mut self,
        compilers: &[String],
        llvm: bool,
        fingerprints: &mut Fingerprints<'_>,
    ) -> Result<Vec<Arc<TextComponent>>, FingerprintError> {
        Ok(vec![
            self.programs(compilers, llvm, fingerprints)?,
            self.packages(fingerprints)?,
            self.files(fingerprints)?,
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
        for (name, place) in hashed_programs(&self.system, compilers, llvm) {
            if place.host.is_dir() {
                let scan = fingerprints.tree(&place.host)?;
                lines.extend(directory_lines(&name, &place.inside, &scan));
            } else {
                let digest = fingerprints.file(&place.host)?;
                lines.push(format!("{name}={} {digest}", place.inside.display()));
            }
        }
        let component = Arc::new(TextComponent::new(PROGRAMS, lines));
        self.programs.insert(key, Arc::clone(&component));
        Ok(component)
    }

    fn packages(
        &mut self,
        fingerprints: &mut Fingerprints<'_>,
    ) -> Result<Arc<TextComponent>, FingerprintError> {
        if let Some(component) = &self.packages {
            return Ok(Arc::clone(component));
        }
        let path = self.database.path().map(Path::to_owned);
        let text = match path {
            None if self.system.is_host() => Vec::new(),
            None => self.all_files(fingerprints)?,
            Some(path) => {
                let state = digest(&path, fingerprints)?;
                let name = format!(
                    "packages {PACKAGES_FORMAT} {}",
                    self.system.directory().display(),
                );
                fingerprints.memo(&name, state, || {
                    let component = self
                        .database
                        .packages()
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
        self.packages = Some(Arc::clone(&component));
        Ok(component)
    }

    /// The programs and libraries of a toolchain root that has no package database.
    fn all_files(&self, fingerprints: &mut Fingerprints<'_>) -> Result<Vec<u8>, FingerprintError> {
        let mut text = String::new();
        for directory in SYSTEM_DIRECTORIES {
            let host = self.system.host_path(Path::new(directory));
            if host.is_dir() && !host.is_symlink() {
                let digest = fingerprints.tree(&host)?.digest;
                text.push_str(&format!("{directory}={digest}\n"));
            }
        }
        Ok(text.into_bytes())
    }

    /// The files of /etc that a sandbox shows.
    fn files(
        &mut self,
        fingerprints: &mut Fingerprints<'_>,
    ) -> Result<Arc<TextComponent>, FingerprintError> {
        if let Some(component) = &self.files {
            return Ok(Arc::clone(component));
        }
        let mut lines = Vec::new();
        // The loader's cache follows from the packages, and changes with each of them.
        let seen = ETC_FILES
            .iter()
            .filter(|path| !path.ends_with("ld.so.cache"));
        for path in seen {
            if let Some(place) = self.system.files().resolve(Path::new(path)) {
                let digest = fingerprints.file(&place.host)?;
                lines.push(format!("{path}={digest}"));
            }
        }
        lines.extend(alternatives(&self.system));
        let component = Arc::new(TextComponent::new("toolbox system files", lines));
        self.files = Some(Arc::clone(&component));
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

/// Where the alternatives point.
fn alternatives(system: &SystemRoot) -> Vec<String> {
    let directory = system.host_path(Path::new("/etc/alternatives"));
    let mut lines: Vec<String> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let target = std::fs::read_link(entry.path()).ok()?;
            Some(format!("/etc/alternatives/{name}={}", target.display()))
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
pub(super) fn extra_tool_directories(conf: &Conf, system: &SystemRoot) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = conf
        .environment
        .iter()
        .filter(|(name, _)| name == "PATH")
        .flat_map(|(_, value)| value.split(':'))
        .map(Path::new)
        .filter(|path| path.is_absolute() && system.host_path(path).is_dir())
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
