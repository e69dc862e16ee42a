//! What a build needs of the system that runs it and the system lacks, found before anything runs.

use std::path::{Path, PathBuf};

use kiln_durable::regular;
use kiln_kernel::{KernelTree, sizes, toolbox::SystemRoot};
use object::{Object, ObjectSection};

use super::JobSpec;

/// Programs of a kernel's tree that its modules are built with.
const KERNEL_PROGRAMS: [&str; 4] = [
    "scripts/basic/fixdep",
    "scripts/mod/modpost",
    "tools/objtool/objtool",
    "tools/bpf/resolve_btfids/resolve_btfids",
];

/// Something that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}, which is not installed{}", place(root))]
pub struct Lack {
    /// What it is, and for what it is needed.
    pub what: Need,
    /// The toolchain root that it is not in, if it is not this machine.
    pub root: Option<PathBuf>,
}

/// What a build needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Need {
    /// The compiler that the kernel insists on.
    #[error("kernel {kernel} is built with {compiler}")]
    Compiler {
        /// The kernel.
        kernel: String,
        /// The compiler.
        compiler: String,
    },
    /// What makes the type information of modules, where the kernel's own is at hand.
    #[error("modules for kernel {kernel} have BTF, made by pahole")]
    Pahole {
        /// The kernel.
        kernel: String,
    },
    /// The loader of the kernel's own programs, which are of another architecture or system.
    #[error("{program} of kernel {kernel} needs {loader}")]
    Loader {
        /// The kernel.
        kernel: String,
        /// The program, in the kernel's tree.
        program: &'static str,
        /// The loader.
        loader: PathBuf,
    },
}

fn place(root: &Option<PathBuf>) -> String {
    match root {
        Some(root) => format!(" in {}", root.display()),
        None => String::new(),
    }
}

impl JobSpec {
    /// The first thing that is not there.
    pub fn lack(&self) -> Option<Lack> {
        let system = &self.kernel.system;
        let need = self
            .missing_compiler()
            .or_else(|| missing_loader(&self.kernel.tree, system))
            .or_else(|| self.missing_pahole());
        need.map(|what| Lack {
            what,
            root: (!system.is_host()).then(|| system.directory().to_owned()),
        })
    }

    fn missing_compiler(&self) -> Option<Need> {
        let compiler = &self.conf.compiler;
        let is_there = |name: &str| self.kernel.system.find_program(name).is_some();
        let fallback = if compiler.clang { "clang" } else { "gcc" };
        let built_with = compiler.built_with.as_deref().unwrap_or(fallback);
        let (named, is_found) = match &compiler.required {
            Some(required) => (required.as_str(), is_there(required)),
            None => (built_with, is_there(built_with) || is_there(fallback)),
        };
        let missing = match is_found {
            false => Some(named.to_owned()),
            true if compiler.clang => self.missing_llvm_program(),
            true => None,
        };
        // What is in the directories of a build environment may be a compiler too.
        let missing = missing.filter(|_| self.extra_tools.is_empty())?;
        Some(Need::Compiler {
            kernel: self.kernel.tree.release.to_string(),
            compiler: missing,
        })
    }

    /// What comes beside clang, under its plain name or with the version that the kernel names.
    fn missing_llvm_program(&self) -> Option<String> {
        let system = &self.kernel.system;
        let version = self.conf.compiler.llvm_version();
        ["ld.lld", "llvm-strip"].into_iter().find_map(|name| {
            let versioned = version.map_or_else(|| name.to_owned(), |v| format!("{name}-{v}"));
            let is_there = [name, &versioned].map(|name| system.find_program(name).is_some());
            (!is_there.contains(&true)).then_some(versioned)
        })
    }

    /// kbuild makes BTF for modules if the tree has the kernel itself (scripts/Makefile.modfinal).
    fn missing_pahole(&self) -> Option<Need> {
        let kernel = &self.kernel;
        let tree = &kernel.tree;
        let makes_btf = tree.files.exists(&tree.build.join("vmlinux"))
            && kernel.config().is_enabled("CONFIG_DEBUG_INFO_BTF_MODULES");
        let is_missing = makes_btf
            && self.extra_tools.is_empty()
            && kernel.system.find_program("pahole").is_none();
        is_missing.then(|| Need::Pahole {
            kernel: tree.release.to_string(),
        })
    }
}

fn missing_loader(tree: &KernelTree, system: &SystemRoot) -> Option<Need> {
    KERNEL_PROGRAMS.into_iter().find_map(|program| {
        let place = tree.files.resolve(&tree.build.join(program))?;
        let loader = loader(&place.host)?;
        let is_there = system.files().resolve(&loader).is_some();
        (!is_there).then(|| Need::Loader {
            kernel: tree.release.to_string(),
            program,
            loader,
        })
    })
}

/// The loader that a program asks for; none for a static program or a script.
fn loader(program: &Path) -> Option<PathBuf> {
    let content = regular::read_at_once(program, sizes::BINARY).ok()?;
    let file = object::File::parse(content.as_slice()).ok()?;
    let section = file.section_by_name(".interp")?;
    let text = section.data().ok()?.split(|byte| *byte == 0).next()?;
    let path = PathBuf::from(std::str::from_utf8(text).ok()?);
    path.is_absolute().then_some(path)
}
