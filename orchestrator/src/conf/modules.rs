//! The modules that a dkms.conf lists: their names, where they go, and what can be wrong with
//! those.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::{ConfProblem, Exclusion, RawConf, exclusive::ExclusiveRules};
use crate::package::PackageId;

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

/// How many modules a dkms.conf lists.
pub(super) fn module_count(raw: &RawConf) -> usize {
    [
        "BUILT_MODULE_NAME",
        "BUILT_MODULE_LOCATION",
        "DEST_MODULE_NAME",
        "DEST_MODULE_LOCATION",
    ]
    .iter()
    .filter_map(|name| raw.indices(name).last().map(|last| last + 1))
    .max()
    .unwrap_or(0)
}

/// The modules that a dkms.conf lists, in the order of their indices.
pub(super) fn modules(
    raw: &RawConf,
    package: &PackageId,
    rules: &ExclusiveRules<'_>,
    problems: &mut Vec<ConfProblem>,
) -> Vec<ModuleSpec> {
    let count = module_count(raw);
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
        let module = ModuleSpec {
            strip: strip(raw, index),
            excluded: rules.exclusion(index),
            dest_location: text("DEST_MODULE_LOCATION"),
            built_name,
            built_location,
            dest_name,
        };
        check_module(&module, index, &modules, problems);
        modules.push(module);
    }
    modules
}

fn check_module(
    module: &ModuleSpec,
    index: usize,
    earlier: &[ModuleSpec],
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
    if module.dest_location.is_empty() {
        problems.push(ConfProblem::MissingFor {
            directive: "DEST_MODULE_LOCATION".to_owned(),
            index,
        });
    } else if !["/kernel", "/updates", "/extra"]
        .iter()
        .any(|start| module.dest_location.starts_with(start))
    {
        problems.push(ConfProblem::Destination { index });
    }
    for (directive, value, slashes) in [
        ("BUILT_MODULE_LOCATION", &module.built_location, true),
        ("BUILT_MODULE_NAME", &module.built_name, true),
        ("DEST_MODULE_NAME", &module.dest_name, false),
        ("DEST_MODULE_LOCATION", &module.dest_location, true),
    ] {
        let inside = value.trim_start_matches('/');
        let absolute = directive != "DEST_MODULE_LOCATION" && value.starts_with('/');
        if absolute || escapes(inside) || (!slashes && value.contains('/')) {
            problems.push(ConfProblem::Escapes {
                directive: directive.to_owned(),
                index,
                value: value.clone(),
            });
        }
    }
    let built = |m: &ModuleSpec| format!("{}{}", m.built_location, m.built_name);
    let twins: [(&str, String, bool); 2] = [
        (
            "BUILT_MODULE_NAME",
            built(module),
            earlier.iter().any(|m| built(m) == built(module)),
        ),
        (
            "DEST_MODULE_NAME",
            module.dest_name.clone(),
            earlier.iter().any(|m| m.dest_name == module.dest_name),
        ),
    ];
    for (directive, name, _) in twins.into_iter().filter(|(_, _, twin)| *twin) {
        problems.push(ConfProblem::Duplicate {
            module: name,
            directive: directive.to_owned(),
            index,
        });
    }
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
