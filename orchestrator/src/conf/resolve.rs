//! From bash's answer to the meaning of a dkms.conf for one kernel.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::{ConfProblem, Exclusion, RawConf, exclusive::ExclusiveRules};
use crate::{
    kernel::{Arch, KernelConfig, KernelRelease},
    package::PackageId,
    sandbox::Layout,
};

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

/// One patch to apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// Its index in PATCH.
    pub index: usize,
    /// Its path below `patches/`.
    pub path: String,
}

/// The compiler and linker that dkms would choose for a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compiler {
    /// The compiler that the kernel's own Makefile fragment insists on.
    pub required: Option<String>,
    /// The compiler that the kernel says it was built with.
    pub built_with: Option<String>,
    /// Whether that was clang; strip is then `llvm-strip`.
    pub clang: bool,
    /// Whether ld.lld linked the kernel.
    pub lld: bool,
}

/// The meaning of a dkms.conf for one kernel and architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conf {
    /// The name and version under which the package is registered.
    pub package: PackageId,
    /// Its modules, in the order of their indices.
    pub modules: Vec<ModuleSpec>,
    /// The command that builds them, a shell command.
    pub make: String,
    /// Patches that apply to this kernel, in order.
    pub patches: Vec<Patch>,
    /// PRE_BUILD.
    pub pre_build: Option<String>,
    /// POST_BUILD.
    pub post_build: Option<String>,
    /// POST_ADD, POST_INSTALL, POST_REMOVE, PRE_INSTALL: name and command.
    pub other_hooks: Vec<(String, String)>,
    /// Names of the packages that must be built before.
    pub build_depends: Vec<String>,
    /// BUILD_DEPENDS_REBUILD.
    pub build_depends_rebuild: bool,
    /// AUTOINSTALL.
    pub autoinstall: bool,
    /// NO_WEAK_MODULES.
    pub no_weak_modules: bool,
    /// The rule that excludes every module on this kernel.
    pub excluded: Option<Exclusion>,
    /// The compiler and linker.
    pub compiler: Compiler,
    /// Variables from framework.conf's `build_environment` file.
    pub environment: Vec<(String, String)>,
    /// Why the job may run any program of the host, and so depends on all packages; none
    /// if it runs nothing but kbuild and the build tools.
    pub beyond_kbuild: Option<String>,
    /// Defects; if there are any, the package is not built.
    pub problems: Vec<ConfProblem>,
    /// OBSOLETE_BY: the kernel that has the package's modules itself.
    pub obsolete_by: Option<String>,
    /// Whether any rule says for which kernels the modules are.
    pub states_exclusive: bool,
    /// Directives that dkms has given up.
    pub deprecated: Vec<String>,
}

/// What a conf is resolved for.
pub struct ResolveInput<'a> {
    /// Bash's answer.
    pub raw: &'a RawConf,
    /// The package's name and version, where it is registered under them.
    pub registered: Option<&'a PackageId>,
    /// The kernel.
    pub release: &'a KernelRelease,
    /// The architecture.
    pub arch: &'a Arch,
    /// The kernel's configuration.
    pub config: &'a KernelConfig,
    /// The names of things inside the sandbox.
    pub layout: &'a Layout,
    /// Where the kernel's build tree is, if the user says another place than the usual.
    pub kernel_source_dir: Option<&'a Path>,
}

/// Gives a conf its meaning. Defects are collected, not thrown: each is worth showing.
///
/// # Errors
/// Fails with all defects if the package's very name cannot be used.
pub fn resolve(input: &ResolveInput<'_>) -> Result<Conf, Vec<ConfProblem>> {
    let raw = input.raw;
    let mut problems = Vec::new();
    for directive in ["PACKAGE_NAME", "PACKAGE_VERSION"] {
        if raw.scalar(directive).is_none() {
            problems.push(ConfProblem::Missing {
                directive: directive.to_owned(),
            });
        }
    }
    let package = match package_id(input) {
        Ok(package) => package,
        Err(problem) => {
            if problems.is_empty() {
                problems.push(problem);
            }
            return Err(problems);
        }
    };
    let modules = modules(input, &package, &mut problems);
    let excluded = excluded_altogether(input, &modules);
    let yes_no = ["AUTOINSTALL", "BUILD_DEPENDS_REBUILD", "NO_WEAK_MODULES"]
        .map(|directive| yes_no(raw, directive, &mut problems));
    let hook = |name: &str| raw.scalar(name).map(str::to_owned);
    Ok(Conf {
        make: make_command(input, &package),
        patches: patches(raw, &mut problems),
        pre_build: hook("PRE_BUILD"),
        post_build: hook("POST_BUILD"),
        other_hooks: ["POST_ADD", "POST_INSTALL", "POST_REMOVE", "PRE_INSTALL"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), hook(name)?)))
            .collect(),
        build_depends: raw
            .indices("BUILD_DEPENDS")
            .into_iter()
            .filter_map(|i| raw.element("BUILD_DEPENDS", i))
            .map(str::to_owned)
            .collect(),
        autoinstall: yes_no[0],
        build_depends_rebuild: yes_no[1],
        no_weak_modules: yes_no[2],
        compiler: compiler(input),
        environment: raw
            .pairs("@environment")
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        beyond_kbuild: None,
        deprecated: deprecated(raw),
        obsolete_by: raw.scalar("OBSOLETE_BY").map(str::to_owned),
        states_exclusive: states_exclusive(input, modules.len()),
        package,
        modules,
        excluded,
        problems,
    })
}

fn package_id(input: &ResolveInput<'_>) -> Result<PackageId, ConfProblem> {
    if let Some(id) = input.registered {
        return Ok(id.clone());
    }
    let value = |index| input.raw.element("@module", index).unwrap_or_default();
    PackageId::new(value(0), value(1)).map_err(|e| ConfProblem::Name(e.to_string()))
}

fn modules(
    input: &ResolveInput<'_>,
    package: &PackageId,
    problems: &mut Vec<ConfProblem>,
) -> Vec<ModuleSpec> {
    let raw = input.raw;
    let count = [
        "BUILT_MODULE_NAME",
        "BUILT_MODULE_LOCATION",
        "DEST_MODULE_NAME",
        "DEST_MODULE_LOCATION",
    ]
    .iter()
    .filter_map(|name| raw.indices(name).last().map(|last| last + 1))
    .max()
    .unwrap_or(0);
    let rules = exclusive_rules(input, count);
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

/// Whether a relative path has a `..` in it.
fn escapes(path: &str) -> bool {
    Path::new(path)
        .components()
        .any(|part| part == Component::ParentDir)
}

/// STRIP[index], where an unset or unknown value falls back to STRIP[0], then to yes.
fn strip(raw: &RawConf, index: usize) -> bool {
    let value = |i| raw.element("STRIP", i);
    match value(index).or_else(|| value(0)) {
        Some(word) => !word.starts_with(['n', 'N']),
        None => true,
    }
}

fn obsolete_by(raw: &RawConf, modules: usize) -> Option<&str> {
    let stated =
        (0..modules.max(1)).any(|i| raw.element("BUILD_EXCLUSIVE_KERNEL_MAX", i).is_some());
    raw.scalar("OBSOLETE_BY").filter(|_| !stated)
}

fn exclusive_rules<'a>(input: &ResolveInput<'a>, modules: usize) -> ExclusiveRules<'a> {
    ExclusiveRules {
        raw: input.raw,
        kernel: input.release.as_str(),
        config: input.config,
        obsolete_by: obsolete_by(input.raw, modules),
    }
}

/// The rule that excludes the whole package: every module is excluded, and there is one.
fn excluded_altogether(input: &ResolveInput<'_>, modules: &[ModuleSpec]) -> Option<Exclusion> {
    if states_exclusive(input, modules.len()) && modules.iter().all(|m| m.excluded.is_some()) {
        modules.first().and_then(|m| m.excluded.clone())
    } else {
        None
    }
}

fn states_exclusive(input: &ResolveInput<'_>, modules: usize) -> bool {
    let rules = exclusive_rules(input, modules);
    (0..modules).any(|index| rules.is_stated(index))
}

fn make_command(input: &ResolveInput<'_>, package: &PackageId) -> String {
    let raw = input.raw;
    let mut command = None;
    if raw.element("MAKE_MATCH", 0).is_none() {
        command = raw.element("MAKE", 0);
    }
    for index in 0..raw.indices("MAKE").len() {
        if let Some(make) = raw.element("MAKE", index)
            && raw.element("MAKE_MATCH", index).is_some()
            && raw.matched("MAKE_MATCH", index)
        {
            command = Some(make);
        }
    }
    let mut command = command.map(str::to_owned).unwrap_or_else(|| {
        format!(
            "make -C {} M={}/build",
            input
                .kernel_source_dir
                .map_or_else(
                    || input.layout.kernel_source_dir(input.release),
                    Path::to_owned
                )
                .display(),
            input.layout.package(package).display()
        )
    });
    if input.config.is_clang() {
        command.push_str(" LLVM=1");
    }
    command
}

fn patches(raw: &RawConf, problems: &mut Vec<ConfProblem>) -> Vec<Patch> {
    let mut patches = Vec::new();
    for index in 0..raw.indices("PATCH").len() {
        let Some(path) = raw.element("PATCH", index) else {
            continue;
        };
        let applies =
            raw.element("PATCH_MATCH", index).is_none() || raw.matched("PATCH_MATCH", index);
        if !applies {
            continue;
        }
        if path.starts_with('/') || escapes(path) {
            problems.push(ConfProblem::Escapes {
                directive: "PATCH".to_owned(),
                index,
                value: path.to_owned(),
            });
        }
        patches.push(Patch {
            index,
            path: path.to_owned(),
        });
    }
    patches
}

fn compiler(input: &ResolveInput<'_>) -> Compiler {
    Compiler {
        required: input
            .raw
            .scalar("@kernelvariables_cc")
            .and_then(|cc| cc.split_whitespace().last())
            .map(str::to_owned),
        built_with: input.config.compiler().map(str::to_owned),
        clang: input.config.is_clang(),
        lld: input.config.is_lld(),
    }
}

fn yes_no(raw: &RawConf, directive: &str, problems: &mut Vec<ConfProblem>) -> bool {
    match raw.scalar(directive) {
        None => false,
        Some(value) if value.eq_ignore_ascii_case("yes") => true,
        Some(value) if value.eq_ignore_ascii_case("no") => false,
        Some(value) => {
            problems.push(ConfProblem::YesNo {
                directive: directive.to_owned(),
                value: value.to_owned(),
            });
            false
        }
    }
}

fn deprecated(raw: &RawConf) -> Vec<String> {
    [
        "CLEAN",
        "REMAKE_INITRD",
        "MODULES_CONF",
        "MODULES_CONF_OBSOLETES",
        "MODULES_CONF_ALIAS_TYPE",
        "MODULES_CONF_OBSOLETE_ONLY",
        "OBSOLETE_BY",
    ]
    .into_iter()
    .filter(|name| !raw.indices(name).is_empty())
    .filter(|name| {
        *name != "CLEAN"
            || !matches!(
                raw.scalar("CLEAN"),
                Some("true" | "/bin/true" | "/usr/bin/true")
            )
    })
    .map(str::to_owned)
    .collect()
}
