//! `dkms status`: what is in the tree, and whether the kernels have what was built.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use serde::Serialize;

use super::{
    Session,
    compression::read_module,
    confs::{Known, NoFacts, Strictness},
    install::within,
    sanity::{Relation, relation},
    suffix::Suffix,
    tree::{Row, Selection, State},
};
use crate::{module::VersionInfo, package::PackageId};

/// What is odd about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Remark {
    /// The kernel's own modules are put aside.
    OriginalModulesExist,
    /// A module is not in the tree.
    BuiltModulesMissing,
    /// A module of the kernel's directory is not the one of the tree.
    Differs,
}

impl Remark {
    fn words(self) -> &'static str {
        match self {
            Self::OriginalModulesExist => " (Original modules exist)",
            Self::BuiltModulesMissing => {
                " (Built modules are missing in the kernel modules folder)"
            }
            Self::Differs => " (Differences between built and installed modules)",
        }
    }
}

/// One row for programs.
#[derive(Serialize)]
struct JsonRow<'a> {
    module: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arch: Option<&'a str>,
    state: &'a str,
    remarks: &'a [Remark],
}

/// What looking at a row takes, without the session.
struct Check {
    installed: bool,
    suffix: Suffix,
    originals: PathBuf,
    /// For each module: its file in the tree, without ending, and the places where it may be.
    modules: Vec<(PathBuf, Vec<PathBuf>)>,
}

impl Session {
    /// Prints the rows that the command asks for.
    pub(crate) fn status(&mut self) {
        let (module, version) = (
            self.arguments.module.clone(),
            self.arguments.module_version.clone(),
        );
        let mut kernels = self.arguments.kernels.clone();
        let mut arches = self.arguments.arches.clone();
        if arches.len() == 1 && kernels.len() > 1 {
            arches.resize(kernels.len(), arches[0].clone());
        }
        if kernels.is_empty() {
            kernels.push(String::new());
        }
        let mut rows = Vec::new();
        for (index, kernel) in kernels.iter().enumerate() {
            rows.extend(self.tree.rows(&Selection {
                module: &module,
                version: &version,
                kernel,
                arch: arches.get(index).map_or("", String::as_str),
            }));
        }
        let checks: Vec<Option<Check>> = rows.iter().map(|row| self.check_of(row)).collect();
        let remarks: Vec<Vec<Remark>> = checks
            .par_iter()
            .map(|check| check.as_ref().map(Check::remarks).unwrap_or_default())
            .collect();
        if self.arguments.json {
            self.status_as_json(&rows, &remarks);
        } else {
            for (row, remarks) in rows.iter().zip(&remarks) {
                self.say_row(row, remarks);
            }
        }
        self.console.release();
    }

    fn status_as_json(&mut self, rows: &[Row], remarks: &[Vec<Remark>]) {
        let rows: Vec<JsonRow<'_>> = rows
            .iter()
            .zip(remarks)
            .map(|(row, remarks)| JsonRow {
                module: row.package.name.as_str(),
                version: row.package.version.as_str(),
                kernel: row.target.as_ref().map(|target| target.kernel.as_str()),
                arch: row.target.as_ref().map(|target| target.arch.as_str()),
                state: row.state.name(),
                remarks,
            })
            .collect();
        let text = serde_json::to_string_pretty(&rows).expect("rows are plain data");
        self.console.line(text);
    }

    fn say_row(&mut self, row: &Row, remarks: &[Remark]) {
        let package = &row.package;
        let state = row.state.name();
        let Some(target) = &row.target else {
            self.console.line(format_args!("{package}: {state}"));
            if row.state == State::Broken {
                self.say_broken(package);
            }
            return;
        };
        let mut line = format!("{package}, {}, {}: {state}", target.kernel, target.arch);
        for remark in remarks {
            line.push_str(remark.words());
        }
        self.console.line(line);
    }

    /// Says that a package is broken, as `status` does.
    pub(crate) fn say_broken(&mut self, package: &PackageId) {
        self.console.error(&[
            &format!("{package}: Missing the module source directory or the symbolic link pointing to it."),
            "Manual intervention is required!",
        ]);
    }

    /// Reads a row's conf, with its messages, and finds what has to be looked at.
    fn check_of(&mut self, row: &Row) -> Option<Check> {
        let target = row.target.as_ref()?;
        let package = &row.package;
        let conf = self.tree.source(package).join("dkms.conf");
        let facts: Option<Known> =
            match self.read_conf(Some(package), target, Some(&conf), Strictness::Lenient) {
                Ok(_) | Err(NoFacts::Bad) => self.silent_facts_of(package, target, &conf),
                Err(NoFacts::Died(_)) => None,
            };
        let facts = facts?;
        let suffix = self.lazy_suffix(target, &facts, package);
        let directory = self.kernel_directory(target);
        let built = self.tree.base(package, target).join("module");
        let modules = facts
            .buildable()
            .map(|index| {
                let name = &facts.conf.modules[index].dest_name;
                let mut places: Vec<PathBuf> = facts
                    .possible_destinations(index)
                    .into_iter()
                    .map(|place| within(&directory, place))
                    .collect();
                // dkms looks there when the module is in none of its places.
                places.push(directory.clone());
                (
                    built.join(name),
                    places.into_iter().map(|place| place.join(name)).collect(),
                )
            })
            .collect();
        Some(Check {
            installed: row.state == State::Installed,
            suffix,
            originals: self.tree.originals(package, target),
            modules,
        })
    }

    /// The kernel's suffix, which is only looked for where a module is not there without one.
    fn lazy_suffix(
        &mut self,
        target: &super::target::Target,
        facts: &Known,
        package: &PackageId,
    ) -> Suffix {
        let built = self.tree.base(package, target).join("module");
        let directory = self.kernel_directory(target);
        let plain = facts.buildable().all(|index| {
            let name = format!("{}.ko", facts.conf.modules[index].dest_name);
            built.join(&name).exists()
                && facts
                    .possible_destinations(index)
                    .into_iter()
                    .any(|place| within(&directory, place).join(&name).exists())
        });
        if plain {
            Suffix::Plain
        } else {
            self.suffix(target)
        }
    }
}

impl Check {
    fn remarks(&self) -> Vec<Remark> {
        let mut remarks = Vec::new();
        if self.originals.is_dir() {
            remarks.push(Remark::OriginalModulesExist);
        }
        for (built, places) in &self.modules {
            let Some(ours) = self.file(built) else {
                remarks.push(Remark::BuiltModulesMissing);
                break;
            };
            if self.installed && !self.is_same(&ours, places) {
                remarks.push(Remark::Differs);
                break;
            }
        }
        remarks
    }

    /// Whether the kernel has the same module in the place where dkms would take it for its own.
    fn is_same(&self, ours: &Path, places: &[PathBuf]) -> bool {
        let (usual, last) = places.split_at(places.len() - 1);
        for place in usual {
            let Some(theirs) = self.file(place) else {
                continue;
            };
            if same_content(ours, &theirs) {
                return true;
            }
            let info = |path: &Path| {
                read_module(path)
                    .map(|content| VersionInfo::parse(&content))
                    .unwrap_or_default()
            };
            let related = relation(&info(ours), &info(&theirs));
            if matches!(related, Relation::Same | Relation::SameVersion) {
                return false;
            }
        }
        last.iter()
            .filter_map(|place| self.file(place))
            .any(|theirs| same_content(ours, &theirs))
    }

    /// The module file with this name, with or without the kernel's suffix.
    fn file(&self, stem: &Path) -> Option<PathBuf> {
        let name = stem.file_name()?.to_string_lossy().into_owned();
        self.suffix.find(stem.parent()?, &name, Path::exists)
    }
}

/// Whether two files have the same bytes.
fn same_content(first: &Path, second: &Path) -> bool {
    let compare = || -> std::io::Result<bool> {
        let (mut first, mut second) = (fs::File::open(first)?, fs::File::open(second)?);
        if first.metadata()?.len() != second.metadata()?.len() {
            return Ok(false);
        }
        let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        loop {
            let length = first.read(&mut a)?;
            if length == 0 {
                return Ok(true);
            }
            second.read_exact(&mut b[..length])?;
            if a[..length] != b[..length] {
                return Ok(false);
            }
        }
    };
    compare().unwrap_or(false)
}
