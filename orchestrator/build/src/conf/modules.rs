//! The modules that a dkms.conf lists: their names, where they go, and what can be wrong with
//! those.

use std::{
    collections::HashSet,
    path::{Component, Path},
};

use kiln_kernel::package::PackageId;
use serde::{Deserialize, Serialize};

use super::{ConfProblem, Exclusion, RawConf, exclusive::ExclusiveRules};

/// One module of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleSpec {
    /// BUILT_MODULE_NAME: the name the build gives it, without `.ko`.
    pub built_name: String,
    /// BUILT_MODULE_LOCATION: where below the build directory, empty or ending in a slash.
    pub built_location: String,
    /// DEST_MODULE_NAME: the name it is installed under, without `.ko`.
    pub dest_name: String,
    /// DEST_MODULE_LOCATION, as the conf says it.
    pub dest_location: String,
    /// Whether debug information is stripped (`strip -g`).
    pub strip: bool,
    /// The rule that excludes this module on this kernel.
    pub excluded: Option<Exclusion>,
}

/// How many modules a dkms.conf may list: some ten times as many as any does.
pub(super) const MOST_MODULES: usize = 10_000;

/// How many modules a dkms.conf lists; more than [`MOST_MODULES`] are none.
pub(super) fn module_count(raw: &RawConf) -> Result<usize, ConfProblem> {
    let last = [
        "BUILT_MODULE_NAME",
        "BUILT_MODULE_LOCATION",
        "DEST_MODULE_NAME",
        "DEST_MODULE_LOCATION",
    ]
    .iter()
    .filter_map(|name| raw.indices(name).last().copied())
    .max();
    match last {
        Some(index) if index >= MOST_MODULES => Err(ConfProblem::TooMany { index }),
        Some(index) => Ok(index + 1),
        None => Ok(0),
    }
}

/// The modules that a dkms.conf lists, in the order of their indices.
pub(super) fn modules(
    raw: &RawConf,
    package: &PackageId,
    rules: &ExclusiveRules<'_>,
    count: usize,
    problems: &mut Vec<ConfProblem>,
) -> Vec<ModuleSpec> {
    let mut names = Names::default();
    let mut modules: Vec<ModuleSpec> = Vec::with_capacity(count);
    for index in 0..count {
        let text = |name: &str| raw.element(name, index).unwrap_or_default().to_owned();
        let mut built_name = text("BUILT_MODULE_NAME");
        if built_name.is_empty() && count == 1 {
            built_name = raw
                .scalar("PACKAGE_NAME")
                .unwrap_or(package.name.as_str())
                .to_owned();
        }
        let mut dest_name = text("DEST_MODULE_NAME");
        if dest_name.is_empty() {
            dest_name.clone_from(&built_name);
        }
        let mut built_location = text("BUILT_MODULE_LOCATION");
        if !built_location.is_empty() && !built_location.ends_with('/') {
            built_location.push('/');
        }
        let said = text("DEST_MODULE_LOCATION");
        let mut module = ModuleSpec {
            strip: strip(raw, index),
            excluded: rules.exclusion(index),
            dest_location: said.clone(),
            built_name,
            built_location,
            dest_name,
        };
        judge_parts(&module, index, problems);
        judge_paths(&mut module, index, problems);
        check_module(&module, &said, index, &mut names, problems);
        modules.push(module);
    }
    modules
}

/// The names of the modules so far.
#[derive(Default)]
struct Names {
    built: HashSet<String>,
    dest: HashSet<String>,
}

/// `said` is DEST_MODULE_LOCATION as the conf has it: dkms looks at its beginning alone.
fn check_module(
    module: &ModuleSpec,
    said: &str,
    index: usize,
    names: &mut Names,
    problems: &mut Vec<ConfProblem>,
) {
    if module.built_name.is_empty() {
        problems.push(ConfProblem::MissingFor {
            directive: "BUILT_MODULE_NAME".to_owned(),
            index,
        });
    }
    for (directive, name) in [
        ("BUILT_MODULE_NAME", &module.built_name),
        ("DEST_MODULE_NAME", &module.dest_name),
    ] {
        if name.ends_with(".o") || name.ends_with(".ko") {
            problems.push(ConfProblem::Suffix {
                directive: directive.to_owned(),
                index,
            });
        }
    }
    if said.is_empty() {
        problems.push(ConfProblem::MissingFor {
            directive: "DEST_MODULE_LOCATION".to_owned(),
            index,
        });
    } else if !["/kernel", "/updates", "/extra"]
        .iter()
        .any(|start| said.starts_with(start))
    {
        problems.push(ConfProblem::Destination { index });
    }
    let built = format!("{}{}", module.built_location, module.built_name);
    let dest = module.dest_name.clone();
    for (directive, name, earlier) in [
        ("BUILT_MODULE_NAME", built, &mut names.built),
        ("DEST_MODULE_NAME", dest, &mut names.dest),
    ] {
        if !earlier.insert(name.clone()) {
            problems.push(ConfProblem::Duplicate {
                module: name,
                directive: directive.to_owned(),
                index,
            });
        }
    }
}

/// Judges the names in a module's paths: some are of what kiln itself has among modules, and nobody could tell
/// lines of output, or of a list of files, from each other whose names have ends of lines.
fn judge_parts(module: &ModuleSpec, index: usize, problems: &mut Vec<ConfProblem>) {
    for (directive, value) in [
        ("BUILT_MODULE_NAME", &module.built_name),
        ("DEST_MODULE_NAME", &module.dest_name),
        ("DEST_MODULE_LOCATION", &module.dest_location),
    ] {
        let reason = if value.split('/').any(|part| part.starts_with(".kiln")) {
            "begins with .kiln, as what kiln itself puts beside modules"
        } else if value.chars().any(char::is_control) {
            "contains a control character"
        } else {
            continue;
        };
        problems.push(ConfProblem::Part {
            directive: directive.to_owned(),
            index,
            value: value.clone(),
            reason: reason.to_owned(),
        });
    }
}

/// Judges where a module's paths lead, whatever they are written like: what stays in its folder
/// is taken, without its `..`, and what leaves is a problem.
fn judge_paths(module: &mut ModuleSpec, index: usize, problems: &mut Vec<ConfProblem>) {
    let mut leaves = |directive: &str, value: &str| {
        problems.push(ConfProblem::Escapes {
            directive: directive.to_owned(),
            index,
            value: value.to_owned(),
        });
    };
    let name_leaves = normal(&module.dest_name).is_none_or(|name| name.contains('/'));
    if name_leaves || module.dest_name.starts_with('/') {
        leaves("DEST_MODULE_NAME", &module.dest_name);
    } else if let Some(name) = module.dest_name.strip_prefix("./") {
        module.dest_name = name.trim_start_matches('/').to_owned();
    }
    // dkms puts the two together, so that one may take back what the other says.
    let built = format!("{}{}", module.built_location, module.built_name);
    match normal(&built).filter(|_| !built.starts_with('/')) {
        Some(path) if escapes(&built) => {
            let (location, name) = path.rsplit_once('/').unwrap_or(("", &path));
            module.built_name = name.to_owned();
            module.built_location = match location {
                "" => String::new(),
                location => format!("{location}/"),
            };
        }
        Some(_) => {}
        None if module.built_location.starts_with('/')
            || normal(&module.built_location).is_none() =>
        {
            leaves("BUILT_MODULE_LOCATION", &module.built_location);
        }
        None => leaves("BUILT_MODULE_NAME", &module.built_name),
    }
    match normal(&module.dest_location) {
        // There are the kernel's headers, or a link to them.
        Some(path) if ["build", "source"].contains(&path.split('/').next().unwrap_or_default()) => {
            leaves("DEST_MODULE_LOCATION", &module.dest_location);
        }
        Some(path) if escapes(&module.dest_location) => module.dest_location = format!("/{path}"),
        Some(_) => {}
        None => leaves("DEST_MODULE_LOCATION", &module.dest_location),
    }
}

/// A path below a folder without `.`, `..` and slashes that say nothing; none if it leaves the
/// folder on its way, even if it came back.
fn normal(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// STRIP[index], where an unset or unknown value falls back to STRIP[0], then to yes.
fn strip(raw: &RawConf, index: usize) -> bool {
    let value = |i| raw.element("STRIP", i);
    match value(index).or_else(|| value(0)) {
        Some(word) => !word.starts_with(['n', 'N']),
        None => true,
    }
}

/// Whether a relative path has a `..` in it.
pub(super) fn escapes(path: &str) -> bool {
    Path::new(path)
        .components()
        .any(|part| part == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(module: [&str; 4]) -> (ModuleSpec, Vec<String>) {
        let [built_location, built_name, dest_name, dest_location] = module.map(str::to_owned);
        let mut module = ModuleSpec {
            built_name,
            built_location,
            dest_name,
            dest_location,
            strip: true,
            excluded: None,
        };
        let mut problems = Vec::new();
        judge_paths(&mut module, 0, &mut problems);
        (module, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_stays_in_its_folder_is_taken() {
        for (said, meant) in [
            (["", "a", "a", "/kernel/../misc/"], ["", "a", "a", "/misc"]),
            (["", "a", "a", "/extra//b/."], ["", "a", "a", "/extra//b/."]),
            (["", "a", "a", "/kernel/.."], ["", "a", "a", "/"]),
            (
                ["src/../out/", "a", "a", "/kernel"],
                ["out/", "a", "a", "/kernel"],
            ),
            (["src/", "../a", "a", "/kernel"], ["", "a", "a", "/kernel"]),
            (
                ["./src//", "a", "./a", "/kernel"],
                ["./src//", "a", "a", "/kernel"],
            ),
            (
                ["./", "sub/a", "a", "/updates"],
                ["./", "sub/a", "a", "/updates"],
            ),
            (
                ["", "a..b", "a..b", "/updates"],
                ["", "a..b", "a..b", "/updates"],
            ),
        ] {
            let (module, problems) = judged(said);
            assert_eq!(problems, Vec::<String>::new(), "{said:?}");
            let found = [
                &module.built_location,
                &module.built_name,
                &module.dest_name,
                &module.dest_location,
            ];
            assert_eq!(found, meant, "{said:?}");
        }
    }

    #[test]
    fn what_leaves_it_is_named_with_its_folder() {
        for (said, directive, folder) in [
            (
                ["", "a", "a", "/kernel/../../etc"],
                "DEST_MODULE_LOCATION",
                "the kernel's directory of modules",
            ),
            (
                ["", "a", "a", "/extra/../build/x"],
                "DEST_MODULE_LOCATION",
                "the kernel's directory of modules",
            ),
            (
                ["../x/", "a", "a", "/kernel"],
                "BUILT_MODULE_LOCATION",
                "the package's directory",
            ),
            (
                ["/lib/", "a", "a", "/kernel"],
                "BUILT_MODULE_LOCATION",
                "the package's directory",
            ),
            (
                ["x/", "../../a", "a", "/kernel"],
                "BUILT_MODULE_NAME",
                "the package's directory",
            ),
            (
                ["", "a", "x/a", "/kernel"],
                "DEST_MODULE_NAME",
                "the directory of the package's built modules",
            ),
            (
                ["", "a", "/a", "/kernel"],
                "DEST_MODULE_NAME",
                "the directory of the package's built modules",
            ),
        ] {
            let (_, problems) = judged(said);
            let [problem] = problems.as_slice() else {
                panic!("{said:?}: {problems:?}");
            };
            let end = format!("leaves {folder}");
            assert!(
                problem.starts_with(directive) && problem.ends_with(&end),
                "{problem}"
            );
        }
    }
}
