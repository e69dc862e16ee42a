//! `dkms status`: what is in the tree, and whether the kernels have what was built.

use std::{
    collections::HashMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use rayon::prelude::*;
use serde::Serialize;

use super::{
    Session,
    compression::read_module,
    conf_reader::{ConfReader, Facts},
    confs::{Evaluated, is_strict, say},
    console::Console,
    install::within,
    sanity::{Relation, relation},
    suffix::Suffix,
    target::Target,
    tree::{Row, Selection, State, Tree},
};
use crate::{
    conf::ConfProblem,
    kernel::{KernelConfig, KernelRelease},
    module::VersionInfo,
    package::PackageId,
    sandbox::Layout,
};

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

/// What is known of a row beyond its state.
#[derive(Default)]
struct Finding {
    remarks: Vec<Remark>,
    /// What is wrong with its conf.
    problems: Vec<ConfProblem>,
    /// The conf, where there is none.
    missing: Option<PathBuf>,
}

/// Confs that bash has evaluated.
type Answers = HashMap<(PackageId, Target), Evaluated>;

/// What looking at rows takes; used by all threads.
struct Looker<'a> {
    reader: ConfReader<'a>,
    tree: &'a Tree,
    install_tree: &'a Path,
    layout: Layout,
    /// What bash had to be asked for.
    answers: Answers,
    suffixes: Mutex<HashMap<KernelRelease, Arc<OnceLock<Suffix>>>>,
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
        let mut findings: Vec<Option<Finding>> = {
            let looker = self.looker(HashMap::new());
            let packages: Vec<&[Row]> = rows.chunk_by(|a, b| a.package == b.package).collect();
            packages
                .into_par_iter()
                .flat_map_iter(|rows| looker.look_at_package(rows))
                .collect()
        };
        if findings.iter().any(Option::is_none) {
            let hard = rows.iter().zip(&findings);
            let hard: Vec<&Row> = hard
                .filter_map(|(row, finding)| finding.is_none().then_some(row))
                .collect();
            let answers = self.ask_for(&hard);
            let looker = self.looker(answers);
            for (row, finding) in rows.iter().zip(&mut findings) {
                if finding.is_none() {
                    *finding = looker
                        .look_at_package(std::slice::from_ref(row))
                        .pop()
                        .flatten();
                }
            }
        }
        let findings: Vec<Finding> = findings
            .into_iter()
            .map(Option::unwrap_or_default)
            .collect();
        self.console.hold();
        if self.arguments.json {
            self.status_as_json(&rows, &findings);
        } else {
            for (row, finding) in rows.iter().zip(&findings) {
                self.say_row(row, finding);
            }
        }
        self.console.release();
    }

    fn looker(&self, answers: Answers) -> Looker<'_> {
        Looker {
            reader: self.conf_reader(),
            tree: &self.tree,
            install_tree: &self.install_tree,
            layout: self.layout(),
            answers,
            suffixes: Mutex::default(),
        }
    }

    /// Evaluates those confs that need bash.
    fn ask_for(&mut self, rows: &[&Row]) -> Answers {
        let layout = self.layout();
        let mut answers = HashMap::new();
        for row in rows {
            let Some(target) = row.target.clone() else {
                continue;
            };
            let package = &row.package;
            let path = self.tree.source(package).join("dkms.conf");
            let facts = match self.ask_bash(Some(package), &target, &path, &layout) {
                None => Err(Vec::new()),
                Some((raw, _)) => {
                    let config = self.kernel_config(&target);
                    self.conf_reader()
                        .facts(&raw, Some(package), &target, &path, &config, &layout)
                }
            };
            answers.insert((package.clone(), target), facts);
        }
        answers
    }

    fn status_as_json(&mut self, rows: &[Row], findings: &[Finding]) {
        let rows: Vec<JsonRow<'_>> = rows
            .iter()
            .zip(findings)
            .map(|(row, finding)| JsonRow {
                module: row.package.name.as_str(),
                version: row.package.version.as_str(),
                kernel: row.target.as_ref().map(|target| target.kernel.as_str()),
                arch: row.target.as_ref().map(|target| target.arch.as_str()),
                state: row.state.name(),
                remarks: &finding.remarks,
            })
            .collect();
        let text = serde_json::to_string_pretty(&rows).expect("rows are plain data");
        self.console.line(text);
    }

    fn say_row(&mut self, row: &Row, finding: &Finding) {
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
        for directive in &self.arguments.directives {
            // dkms says it in the middle of the line.
            let (name, value) = directive.split_once('=').unwrap_or((directive, directive));
            line.push_str(&format!("DIRECTIVE: {name}=\"{value}\"\n"));
        }
        say_problems(&mut self.console, finding);
        for remark in &finding.remarks {
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
}

fn say_problems(console: &mut Console, finding: &Finding) {
    if let Some(path) = &finding.missing {
        console.error(&[
            "Could not locate dkms.conf file.",
            &format!("File: {} does not exist.", path.display()),
        ]);
    }
    for problem in finding
        .problems
        .iter()
        .filter(|problem| !is_strict(problem))
    {
        say(console, problem);
    }
}

impl Looker<'_> {
    /// Looks at the rows of one package; gives nothing for those for which bash has to be
    /// asked first.
    fn look_at_package(&self, rows: &[Row]) -> Vec<Option<Finding>> {
        let Some(first) = rows.first() else {
            return Vec::new();
        };
        let path = self.tree.source(&first.package).join("dkms.conf");
        let text = rows
            .iter()
            .any(|row| row.target.is_some())
            .then(|| fs::read(&path).ok())
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
            let first = ours.take().or_else(|| fs::File::open(path).ok());
            if first.is_some_and(|first| buffers.same_content(first, theirs).unwrap_or(false)) {
                return true;
            }
            let info = |path: &Path| {
                read_module(path)
                    .map(|content| VersionInfo::parse(&content))
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
        if let Ok(file) = fs::File::open(&plain) {
            return Some((plain, file));
        }
        let compressed = directory.join(format!("{name}{}", self.suffix(target)));
        fs::File::open(&compressed)
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

/// Room for comparing files, used again for each.
#[derive(Default)]
struct Buffers(Vec<u8>, Vec<u8>);

impl Buffers {
    /// Whether two files have the same bytes.
    fn same_content(&mut self, mut first: fs::File, mut second: fs::File) -> std::io::Result<bool> {
        let length = first.metadata()?.len();
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        // One more, so that a longer file shows without being asked for its length.
        let size = size.clamp(1, 256 << 10) + 1;
        self.0.resize(size.max(self.0.len()), 0);
        self.1.resize(size.max(self.1.len()), 0);
        let (a, b) = (&mut self.0[..size], &mut self.1[..size]);
        let mut left = length;
        loop {
            let one = first.read(a)?;
            let mut other = 0;
            while other < one {
                match second.read(&mut b[other..])? {
                    0 => return Ok(false),
                    read => other += read,
                }
            }
            if other != one || a[..one] != b[..one] {
                return Ok(false);
            }
            left = left.saturating_sub(one as u64);
            if one == 0 || (left == 0 && one < size) {
                return Ok(one > 0 || second.read(b)? == 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn file(content: &[u8]) -> fs::File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        file
    }

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

    #[test]
    fn only_equal_files_are_the_same() {
        let large = vec![7; 600 << 10];
        let mut other = large.clone();
        other[500 << 10] = 8;
        let mut buffers = Buffers::default();
        let contents: [&[u8]; 7] = [b"", b"a", b"ab", b"b", &large, &large[1..], &other];
        for (i, a) in contents.iter().enumerate() {
            for (j, b) in contents.iter().enumerate() {
                let same = buffers.same_content(file(a), file(b)).unwrap();
                assert_eq!(same, i == j, "{i} {j}");
            }
        }
    }
}
