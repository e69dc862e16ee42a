//! The toolbox: every program of the host that can leave its mark on a module.
//!
//! The compiler's own files, make and binutils are hashed. What else a job uses is traced (`sight/`); for
//! a job that cannot be traced the package database's own checksums stand. Reasons: docs/keys.md.

mod database;
mod distribution;
mod dpkg;
mod programs;
mod system;

pub use database::PackageDatabase;
pub use distribution::Distribution;
pub use programs::{LLVM_PROGRAMS, SEARCH_PATH, find_program, hashed_programs};
pub use system::{SystemRoot, SystemRootError};

use kiln_cache::ObjectDigest;

/// How the directories in /usr/lib begin that hold the programs of a kernel's build: they belong to
/// kernels, not to the toolbox.
pub const KBUILD_PREFIX: &str = "linux-kbuild-";

/// A key component that is a text of `NAME=VALUE` lines, so that `explain` can say which
/// name changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextComponent {
    /// The component's name.
    pub name: String,
    /// Its lines.
    pub text: String,
    /// The digest of the text.
    pub digest: ObjectDigest,
}

impl TextComponent {
    /// Joins lines into a component; a backslash and a line's end within one are escaped.
    pub fn new(name: impl Into<String>, lines: impl IntoIterator<Item = String>) -> Self {
        let mut text = String::new();
        for line in lines {
            text.push_str(&line.replace('\\', r"\\").replace('\n', r"\n"));
            text.push('\n');
        }
        let digest = ObjectDigest::of(text.as_bytes());
        Self {
            name: name.into(),
            text,
            digest,
        }
    }
}
