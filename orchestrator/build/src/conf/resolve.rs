//! From bash's answer to the meaning of a dkms.conf for one kernel.

use std::path::Path;

use kiln_kernel::{Arch, KernelConfig, KernelRelease, package::PackageId};
use kiln_sandbox::Layout;
use serde::{Deserialize, Serialize};

use super::{
    ConfProblem, Exclusion, ModuleSpec, RawConf,
    exclusive::ExclusiveRules,
    modules::{escapes, module_count, modules},
    raw::GIVEN_UP,
};

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

impl Compiler {
    /// The version of LLVM that built the kernel.
    pub fn llvm_version(&self) -> Option<&str> {
        let name = self.built_with.as_deref().filter(|_| self.clang)?;
        name.strip_prefix("clang-")
    }
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
    /// Defects; if there are any, the package is not built.
    pub problems: Vec<ConfProblem>,
    /// OBSOLETE_BY: the kernel that has the package's modules itself.
    pub obsolete_by: Option<String>,
    /// Whether any rule says for which kernels the modules are.
    pub states_exclusive: bool,
    /// Directives that dkms has given up.
    pub deprecated: Vec<String>,
    /// What was printed while it was evaluated, line by line.
    pub complaints: Vec<String>,
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
    /// The compiler that the kernel's own Makefile fragment insists on (`.kernelvariables`), if it is known.
    pub required_compiler: Option<&'a str>,
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
    let count = match module_count(raw) {
        Ok(count) => count,
        Err(problem) => {
            problems.push(problem);
            return Err(problems);
        }
    };
    let rules = ExclusiveRules::new(raw, input.release, input.config, count);
    let states_exclusive = (0..count).any(|index| rules.is_stated(index));
    let modules = modules(raw, &package, &rules, count, &mut problems);
    let excluded = if modules.iter().all(|module| module.excluded.is_some()) {
        modules.first().and_then(|module| module.excluded.clone())
    } else {
        None
    };
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
        deprecated: deprecated(raw),
        complaints: Vec::new(),
        obsolete_by: raw.scalar("OBSOLETE_BY").map(str::to_owned),
        states_exclusive,
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
        required: input.required_compiler.map(str::to_owned),
        built_with: input.config.compiler(),
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
    GIVEN_UP
        .iter()
        .filter(|name| !raw.indices(name).is_empty())
        .filter(|name| {
            **name != "CLEAN"
                || !matches!(
                    raw.scalar("CLEAN"),
                    Some("true" | "/bin/true" | "/usr/bin/true")
                )
        })
        .map(|name| (*name).to_owned())
        .collect()
}
