//! What can go wrong when something is published.

use std::{
    io,
    path::{Path, PathBuf},
};

use kiln_files::Suspicion;

use crate::family::Format;

/// Why something is not published. Nothing is left of the file that was being written.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A file that was to be published cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A result cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The result.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Where a result should go there is something that is no file: a device, say.
    #[error("{path} is not a regular file, and is left as it is")]
    NotAFile {
        /// The place.
        path: PathBuf,
    },
    /// What is to be packed has a pipe or a device in it.
    #[error("{path} is neither a file, a directory nor a link")]
    Special {
        /// The place.
        path: PathBuf,
    },
    /// A value cannot be used where it was given.
    #[error("{field} {value:?} {reason}")]
    Field {
        /// What the value was given for.
        field: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A package without modules.
    #[error("there are no modules of {package} for kernel {kernel} to be packed")]
    NoModules {
        /// The DKMS package.
        package: String,
        /// The kernel.
        kernel: String,
    },
    /// Two files would be installed as one.
    #[error("two files are to be installed as {path}")]
    Twice {
        /// The path.
        path: String,
    },
    /// The format has no name for the architecture.
    #[error("{format} has no architecture for machine {machine}")]
    UnknownMachine {
        /// The machine, as `uname -m` prints it.
        machine: String,
        /// The package format.
        format: Format,
    },
    /// The files of a package are larger than those of its format may be.
    #[error(
        "with {path}, the package has more than {} MiB, and {format} packages are made in memory",
        limit >> 20
    )]
    TooLarge {
        /// The first file that is too much.
        path: String,
        /// The package format.
        format: Format,
        /// How many bytes they may have, all together.
        limit: u64,
    },
    /// An RPM package cannot be put together.
    #[error("cannot make {package}")]
    Rpm {
        /// The file that was to be made.
        package: String,
        /// Why.
        source: rpm::Error,
    },
    /// A file's name asks for a compression that is not written here.
    #[error("{path} names a compression that is not known; use .gz, .xz, .zst or .tar")]
    UnknownCompression {
        /// The file.
        path: PathBuf,
    },
    /// What should be signed is no module, or a compressed one.
    #[error("{path} is not an uncompressed module, and cannot be signed")]
    NotAModule {
        /// The file.
        path: PathBuf,
    },
    /// The key, the certificate or the tool for signing is not there.
    #[error("the {what} for signing modules is not at {path}")]
    SigningInput {
        /// Which of them.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// What is used for signing is not believed: others could have changed it, or read the key.
    #[error("the {what} for signing modules: {}", suspicion.advice())]
    SigningUntrusted {
        /// Which of them.
        what: &'static str,
        /// What is wrong.
        suspicion: Suspicion,
    },
    /// A tool cannot be run.
    #[error("cannot run {program}")]
    Program {
        /// The tool.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A tool did not sign.
    #[error("{program} does not sign {module}: {said}")]
    NotSigned {
        /// The tool.
        program: PathBuf,
        /// The module.
        module: PathBuf,
        /// What the tool says, or what is missing in its result.
        said: String,
    },
    /// Provenance of nothing.
    #[error("a provenance needs at least one {what}")]
    Incomplete {
        /// What there is none of.
        what: &'static str,
    },
}

impl PublishError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}
