//! What is known of the rows of `dkms status` beyond their states: whether a conf can be read, and
//! whether kernels have what was built.
//!
//! Looks from several threads at once, so it says nothing and asks no bash.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use kiln_build::conf::ConfProblem;
use kiln_durable::regular;
use kiln_kernel::{KernelConfig, KernelRelease, package::PackageId, sizes};
use kiln_sandbox::Layout;
use serde::Serialize;

use crate::dkms::{
    Session,
    compression::version_of,
    conf_reader::{ConfReader, Facts},
    confs::Evaluated,
    contents::Buffers,
    install::within,
    sanity::{Relation, relation},
    suffix::Suffix,
    target::Target,
    tree::{Row, State, Tree},
};

/// What is odd about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Remark {
    /// The kernel's own modules are put aside.
    OriginalModulesExist,
    /// A module is not in the tree.
    BuiltModulesMissing,
    /// A module of the kernel's directory is not the one of the tree.
    Differs,
}

impl Remark {
    /// Its words, to follow the state.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::OriginalModulesExist => " (Original modules exist)",
            Self::BuiltModulesMissing => {
                " (Built modules are missing in the kernel modules folder)"
            }
            Self::Differs => " (Differences between built and installed modules)",
        }
    }
}

/// What is known of a row beyond its state.
#[derive(Default)]
pub(super) struct Finding {
    pub(super) remarks: Vec<Remark>,
    /// What is wrong with its conf.
    pub(super) problems: Vec<ConfProblem>,
    /// The conf, where there is none.
    pub(super) missing: Option<PathBuf>,
}

/// Confs that bash has evaluated.
pub(super) type Answers = HashMap<(PackageId, Target), Evaluated>;

/// What looking at rows takes; used by all threads.
pub(super) struct Looker<'a> {
    reader: ConfReader<'a>,
    tree: &'a Tree,
    install_tree: &'a Path,
    layout: Layout,
    /// What bash had to be asked for.
    answers: Answers,
    suffixes: Mutex<HashMap<KernelRelease, Arc<OnceLock<Suffix>>>>,
}

impl<'a> Looker<'a> {
    /// What looking takes, with the answers that there are.
    pub(super) fn new(session: &'a Session, answers: Answers) -> Self {
        Self {
            reader: session.conf_reader(),
            tree: &session.tree,
            install_tree: &session.install_tree,
            layout: session.layout(),
            answers,
            suffixes: Mutex::default(),
        }
    }

    /// Looks at the rows of one package; gives nothing for those for which bash has to be
    /// asked first.
    pub(super) fn look_at_package(&self, rows: &[Row]) -> Vec<Option<Finding>> {
        let Some(first) = rows.first() else {
            return Vec::new();
        };
        let path = self.tree.source(&first.package).join("dkms.conf");
        let text = rows
            .iter()
            .any(|row| row.target.is_some())
            .then(|| regular::read_at_once(&path, sizes::TEXT).ok())
            .flatten();
        let originals = self.tree.module(&first.package).join("original_module");
        let originals = originals.is_dir();
        let same_for_all = self.reader.overrides.is_empty()
            && text.as_deref().is_some_and(|text| !mentions_kernel(text));
        let shared = rows
            .iter()
            .find_map(|row| row.target.as_ref())
            .filter(|_| same_for_all)
            .and_then(|target| self.read(&first.package, target, &path, text.as_deref()?));
        let mut buffers = Buffers::default();
        rows.iter()
            .map(|row| {
                self.look(
                    row,
                    &path,
                    text.as_deref(),
                    shared.as_ref(),
                    originals,
                    &mut buffers,
                )
            })
            .collect()
    }

    fn look(
        &self,
        row: &Row,
        path: &Path,
        text: Option<&[u8]>,
        shared: Option<&Evaluated>,
        originals: bool,
        buffers: &mut Buffers,
    ) -> Option<Finding> {
        let Some(target) = &row.target else {
            return Some(Finding::default());
        };
        let package = &row.package;
        let Some(text) = text else {
            return Some(Finding {
                missing: Some(path.to_owned()),
                ..Finding::default()
            });
        };
        let read;
        let known = shared.or_else(|| self.answers.get(&(package.clone(), target.clone())));
        let facts = match known {
            Some(facts) => facts,
            None => {
                read = self.read(package, target, path, text)?;
                &read
            }
        };
        Some(match facts {
            Ok(facts) => Finding {
                remarks: self.remarks(row, target, facts, originals, buffers),
                problems: facts.conf.problems.clone(),
                missing: None,
            },
            Err(problems) => Finding {
                problems: problems.clone(),
                ..Finding::default()
            },
        })
    }

    fn read(
        &self,
        package: &PackageId,
        target: &Target,
        path: &Path,
        text: &[u8],
    ) -> Option<Evaluated> {
        let raw = self.reader.raw(Some(package), target, text, &self.layout)?;
        // Only this directive asks for what a status shows; a configuration is a long file.
        let config = if raw.indices("BUILD_EXCLUSIVE_CONFIG").is_empty() {
            KernelConfig::default()
        } else {
            let arguments = self.reader.arguments;
            let file = arguments.config_file(self.install_tree, &target.kernel);
            KernelConfig::read_file(&file).unwrap_or_default()
        };
        Some(
            self.reader
                .facts(&raw, Some(package), target, path, &config, &self.layout),
        )
    }

    fn remarks(
        &self,
        row: &Row,
        target: &Target,
        facts: &Facts,
        originals: bool,
        buffers: &mut Buffers,
    ) -> Vec<Remark> {
        let mut remarks = Vec::new();
        if originals && self.tree.originals(&row.package, target).is_dir() {
            remarks.push(Remark::OriginalModulesExist);
        }
        let built = self.tree.base(&row.package, target).join("module");
        let kernel = self.install_tree.join(target.kernel.as_str());
        for index in facts.buildable() {
            let name = facts.conf.modules[index].dest_name.as_str();
            let Some((path, ours)) = self.open(&built, name, target) else {
                remarks.push(Remark::BuiltModulesMissing);
                break;
            };
            if row.state != State::Installed {
                continue;
            }
            let mut places: Vec<PathBuf> = facts
                .possible_destinations(index)
                .into_iter()
                .map(|place| within(&kernel, place))
                .collect();
            // dkms looks there when the module is in none of its places.
            places.push(kernel.clone());
            if !self.is_same(&path, ours, name, target, &places, buffers) {
                remarks.push(Remark::Differs);
                break;
            }
        }
        remarks
    }

    /// Whether the kernel has the same module in the place where dkms would take it for its own.
    fn is_same(
        &self,
        path: &Path,
        ours: fs::File,
        name: &str,
        target: &Target,
        places: &[PathBuf],
        buffers: &mut Buffers,
    ) -> bool {
        let mut ours = Some(ours);
        for (index, place) in places.iter().enumerate() {
            let Some((other, theirs)) = self.open(place, name, target) else {
                continue;
            };
            let first = ours.take().or_else(|| regular::open_at_once(path).ok());
            if first.is_some_and(|first| buffers.same_content(first, theirs).unwrap_or(false)) {
                return true;
            }
            let info = |path: &Path| {
                regular::open_at_once(path)
                    .and_then(|file| version_of(path, file))
                    .unwrap_or_default()
            };
            let is_last = index + 1 == places.len();
            let related = || relation(&info(path), &info(&other));
            if !is_last && matches!(related(), Relation::Same | Relation::SameVersion) {
                return false;
            }
        }
        false
    }

    /// A module's file in a directory, with the kernel's suffix or without.
    fn open(&self, directory: &Path, name: &str, target: &Target) -> Option<(PathBuf, fs::File)> {
        let plain = directory.join(format!("{name}.ko"));
        if let Ok(file) = regular::open_at_once(&plain) {
            return Some((plain, file));
        }
        let compressed = directory.join(format!("{name}{}", self.suffix(target)));
        regular::open_at_once(&compressed)
            .ok()
            .map(|file| (compressed, file))
    }

    /// The kernel's suffix, looked for once, and only where a module is not there without one.
    fn suffix(&self, target: &Target) -> Suffix {
        let cell = {
            let mut suffixes = self.suffixes.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(suffixes.entry(target.kernel.clone()).or_default())
        };
        let directory = self.install_tree.join(target.kernel.as_str());
        *cell.get_or_init(|| Suffix::of_kernel(&directory))
    }
}

/// Whether what a status wants to know of a conf may differ by kernel. What is said of MAKE and
/// CLEAN does not matter, as long as nothing else refers to them.
fn mentions_kernel(conf: &[u8]) -> bool {
    const WORDS: [&str; 9] = [
        "kernelver",
        "kernel_source_dir",
        "kernel_config",
        "$arch",
        "{arch",
        "EXCLUSIVE",
        "OBSOLETE",
        "MAKE",
        "CLEAN",
    ];
    let Ok(conf) = std::str::from_utf8(conf) else {
        return true;
    };
    conf.lines().any(|line| {
        let quotes = |quote: char| line.chars().filter(|c| *c == quote).count();
        let whole = !line.ends_with('\\')
            && quotes('"').is_multiple_of(2)
            && quotes('\'').is_multiple_of(2);
        let about_make = (line.starts_with("MAKE") || line.starts_with("CLEAN"))
            && ![";", "_NAME", "_LOCATION"]
                .iter()
                .any(|word| line.contains(word));
        !(whole && about_make) && WORDS.iter().any(|word| line.contains(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confs_that_may_differ_by_kernel_are_told() {
        for same in [
            "PACKAGE_NAME=a\nDEST_MODULE_LOCATION=/kernel/extra\n",
            "MAKE[0]=\"make KVER=$kernelver\"\nCLEAN=\"make clean\"\n",
        ] {
            assert!(!mentions_kernel(same.as_bytes()), "{same}");
        }
        for other in [
            "BUILT_MODULE_NAME=a-$arch\n",
            "BUILD_EXCLUSIVE_KERNEL_MIN=5.0\n",
            "MAKE=\"make \\\nall\" BUILT_MODULE_NAME=$kernelver\n",
            "MAKE=$kernelver\nDEST_MODULE_NAME=$MAKE\n",
            "MAKE='a\n'$kernelver\n",
            "MAKE=a BUILT_MODULE_NAME=$kernelver\n",
        ] {
            assert!(mentions_kernel(other.as_bytes()), "{other}");
        }
    }
}
