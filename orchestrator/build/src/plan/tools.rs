//! The toolbox as an input: which programs and packages of a system a key names.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use kiln_cache::{EntryKind, ObjectDigest, ScanError, TreeScan};
use kiln_kernel::{
    fingerprints::{FingerprintError, Fingerprints},
    toolbox::{PackageDatabase, SEARCH_PATH, SystemRoot, TextComponent, hashed_programs},
};
use kiln_sandbox::{ETC_FILES, SYSTEM_DIRECTORIES};

use super::{Ingredient, Lookout};
use crate::conf::Conf;

/// The component that names the compiler and the other programs of the build.
pub const PROGRAMS: &str = "toolbox programs";

/// Changes when a package counts in another way.
const PACKAGES_FORMAT: u32 = 3;

/// Toolbox components of one system, each made once a run.
#[derive(Debug)]
pub struct Tools {
    system: SystemRoot,
    database: PackageDatabase,
    programs: HashMap<(Vec<String>, bool), Ingredient>,
    packages: Option<Ingredient>,
    files: Option<Ingredient>,
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
    ) -> Result<Vec<Ingredient>, FingerprintError> {
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
    ) -> Result<Ingredient, FingerprintError> {
        let key = (compilers.to_vec(), llvm);
        if let Some(component) = self.programs.get(&key) {
            return Ok(component.clone());
        }
        let mut seen = Lookout::new(fingerprints);
        // Which program a name stands for follows from what these directories hold.
        for directory in SEARCH_PATH {
            if let Some(place) = seen.resolve(&self.system, Path::new(directory))? {
                seen.spot(&place.host)?;
            }
        }
        let mut lines = Vec::new();
        for (name, place) in hashed_programs(&self.system, compilers, llvm) {
            if place.host.is_dir() {
                for above in place.host.ancestors().skip(1).take(2) {
                    seen.spot(above)?;
                }
                let scan = seen.tree(&place.host)?;
                lines.extend(directory_lines(&name, &place.inside, &scan));
            } else {
                for directory in SEARCH_PATH {
                    seen.resolve(&self.system, &Path::new(directory).join(&name))?;
                }
                let digest = seen.file(&place.host)?;
                lines.push(format!("{name}={} {digest}", place.inside.display()));
            }
        }
        let component = component(PROGRAMS, lines, seen);
        self.programs.insert(key, component.clone());
        Ok(component)
    }

    fn packages(
        &mut self,
        fingerprints: &mut Fingerprints<'_>,
    ) -> Result<Ingredient, FingerprintError> {
        if let Some(component) = &self.packages {
            return Ok(component.clone());
        }
        let mut seen = Lookout::new(fingerprints);
        let path = self.database.path().map(Path::to_owned);
        let text = match path {
            None if self.system.is_host() => Vec::new(),
            None => self.all_files(&mut seen)?,
            Some(path) => {
                let state = if path.is_dir() {
                    seen.tree(&path)?.digest
                } else {
                    seen.file(&path)?
                };
                let name = format!(
                    "packages {PACKAGES_FORMAT} {}",
                    self.system.directory().display(),
                );
                seen.fingerprints().memo(&name, state, || {
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
        let lines = text.lines().map(str::to_owned);
        let component = component("toolbox packages", lines, seen);
        self.packages = Some(component.clone());
        Ok(component)
    }

    /// The programs and libraries of a toolchain root that has no package database.
    fn all_files(&self, seen: &mut Lookout<'_, '_>) -> Result<Vec<u8>, FingerprintError> {
        let mut text = String::new();
        for directory in SYSTEM_DIRECTORIES {
            let host = self.system.host_path(Path::new(directory));
            if host.is_dir() && !host.is_symlink() {
                let digest = seen.tree(&host)?.digest;
                text.push_str(&format!("{directory}={digest}\n"));
            }
        }
        Ok(text.into_bytes())
    }

    /// The files of /etc that a sandbox shows.
    fn files(
        &mut self,
        fingerprints: &mut Fingerprints<'_>,
    ) -> Result<Ingredient, FingerprintError> {
        if let Some(component) = &self.files {
            return Ok(component.clone());
        }
        let mut seen = Lookout::new(fingerprints);
        let mut lines = Vec::new();
        // The loader's cache follows from the packages, and changes with each of them.
        let shown = ETC_FILES
            .iter()
            .filter(|path| !path.ends_with("ld.so.cache"));
        for path in shown {
            match seen.resolve(&self.system, Path::new(path))? {
                Some(place) => {
                    let digest = seen.file(&place.host)?;
                    lines.push(format!("{path}={digest}"));
                }
                None => seen.spot(&self.system.host_path(Path::new(path)))?,
            }
        }
        lines.extend(alternatives(&self.system, &mut seen)?);
        let component = component("toolbox system files", lines, seen);
        self.files = Some(component.clone());
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
fn alternatives(
    system: &SystemRoot,
    seen: &mut Lookout<'_, '_>,
) -> Result<Vec<String>, FingerprintError> {
    let directory = system.host_path(Path::new("/etc/alternatives"));
    // A link is changed by another in its place, which the directory tells.
    seen.spot(&directory)?;
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
    Ok(lines)
}

/// A text about what was seen.
fn component(
    name: &str,
    lines: impl IntoIterator<Item = String>,
    seen: Lookout<'_, '_>,
) -> Ingredient {
    Ingredient::text(Arc::new(TextComponent::new(name, lines)), seen.origin())
}

/// The compilers that a job may call, by name, sorted.
pub(crate) fn compilers(conf: &Conf) -> Vec<String> {
    let mut names: Vec<String> = [&conf.compiler.required, &conf.compiler.built_with]
        .into_iter()
        .flatten()
        .cloned()
        .chain(conf.compiler.clang.then(|| "clang".to_owned()))
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
