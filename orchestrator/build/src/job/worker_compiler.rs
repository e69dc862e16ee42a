//! Whether a worker has the compiler that a job's key names: what its own machine says of it is what
//! this one says.

use std::{
    collections::HashMap,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use kiln_kernel::toolbox::SystemRoot;

use crate::plan::JobSpec;

/// The exit status of [`LAUNCH`] where the job has not begun, because of the worker's compiler. No job ends with
/// it by itself.
pub(super) const OTHER_COMPILER: i32 = 75;

/// Runs the script `$0`, if the compiler `$1` says of itself what `$2` is; no `$1` is not asked.
pub(super) const LAUNCH: &str = "exec 2>&1
if [[ $1 ]]; then
    said=$(LC_ALL=C \"$1\" --version 2> /dev/null)
    said=${said%%$'\\n'*}
    [[ $said == \"$2\" ]] || { printf '%s' \"$said\"; exit 75; }
fi
exec /bin/bash --norc --noprofile \"$0\"";

/// A compiler as it calls itself, in the first line of what `--version` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CompilerVersion {
    pub(super) name: String,
    pub(super) text: String,
}

/// A worker's compiler is not this machine's.
#[derive(Debug, thiserror::Error)]
#[error("its worker has {} as {}, and this machine has {}", there(found), compiler.name, compiler.text)]
pub(super) struct OtherCompiler {
    pub(super) compiler: CompilerVersion,
    /// How the worker's calls itself, if it has one.
    pub(super) found: String,
}

fn there(found: &str) -> &str {
    match found {
        "" => "nothing",
        found => found,
    }
}

/// This machine's compilers by name, each asked once.
#[derive(Default)]
pub(super) struct Compilers(Mutex<HashMap<String, Option<CompilerVersion>>>);

impl Compilers {
    /// The compiler that a job's script chooses here. None where there is none, or with a toolchain root,
    /// which the job brings along.
    pub(super) fn of(&self, spec: &JobSpec) -> Option<CompilerVersion> {
        let system = &spec.kernel.system;
        if !system.is_host() {
            return None;
        }
        let choice = &spec.conf.compiler;
        let name = [
            choice.clang.then_some("clang"),
            choice.built_with.as_deref(),
            choice.required.as_deref(),
            Some("gcc"),
        ];
        let mut names = name.into_iter().flatten();
        let name = names.find(|name| system.find_program(name).is_some())?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiler) = known.get(name) {
            return compiler.clone();
        }
        let compiler = ask(system, name);
        known.insert(name.to_owned(), compiler.clone());
        compiler
    }
}

fn ask(system: &SystemRoot, name: &str) -> Option<CompilerVersion> {
    let said = Command::new(system.find_program(name)?.host)
        // GCC calls itself as it is called.
        .arg0(name)
        .arg("--version")
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    let text = text.lines().next()?.to_owned();
    let name = name.to_owned();
    (said.status.success() && !text.is_empty()).then_some(CompilerVersion { name, text })
}
