//! Where published files come from: each input by its digests, as in-toto and SPDX tell it.

mod spdx;
mod statement;

use crate::{
    date::SourceDate,
    digest::{FileDigest, Sha256},
    error::PublishError,
    field,
};

/// A published file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its name: a path relative to what it is published in.
    pub name: String,
    /// Its digest.
    pub sha256: Sha256,
}

/// What an input is for a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputRole {
    /// The source of the modules.
    Source,
    /// The tree of the kernel they are for.
    Kernel,
    /// The compiler and all other programs that took part.
    Toolbox,
    /// What people have set: override files, environment, how the job is confined.
    Settings,
    /// What was built before for the same kernel, and is needed.
    Dependency,
    /// Anything else.
    Other,
}

impl InputRole {
    fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Kernel => "kernel",
            Self::Toolbox => "toolbox",
            Self::Settings => "settings",
            Self::Dependency => "dependency",
            Self::Other => "other",
        }
    }
}

/// Something that could have changed the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// What it is for the build.
    pub role: InputRole,
    /// Its name, for people.
    pub name: String,
    /// Where it comes from (RFC 3986), if that is known.
    pub uri: Option<String>,
    /// Its digests, at least one: the algorithm in lower case (`blake3`, `sha256`), and the
    /// value, which is hexadecimal for algorithms that are known.
    pub digests: Vec<(String, String)>,
}

/// How files were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The files, at least one.
    pub subjects: Vec<Subject>,
    /// All inputs, at least one.
    pub inputs: Vec<Input>,
    /// A URI that says how the parameters are to be read.
    pub build_type: String,
    /// A URI that says who has built.
    pub builder: String,
    /// The programs that have built: name and version.
    pub builder_version: Vec<(String, String)>,
    /// What was asked for: package, version, kernel, machine.
    pub parameters: Vec<(String, String)>,
    /// How it was done, as far as the builder decides it.
    pub settings: Vec<(String, String)>,
    /// What tells this run from others, if that is to be told.
    pub invocation: Option<String>,
    /// When the build ended, if that is to be told: with it, a second build has another text.
    pub finished: Option<SourceDate>,
}

impl From<FileDigest> for Subject {
    fn from(file: FileDigest) -> Self {
        Self {
            name: file.path,
            sha256: file.sha256,
        }
    }
}

impl Provenance {
    fn check(&self) -> Result<(), PublishError> {
        if self.subjects.is_empty() {
            return Err(PublishError::Incomplete { what: "subject" });
        }
        if self.inputs.is_empty() {
            return Err(PublishError::Incomplete { what: "input" });
        }
        check_uri("build type", &self.build_type)?;
        check_uri("builder", &self.builder)?;
        for input in &self.inputs {
            field::line("name of an input", &input.name)?;
            if input.digests.is_empty() {
                return Err(PublishError::Incomplete {
                    what: "digest of each input",
                });
            }
            for (algorithm, value) in &input.digests {
                field::component("digest algorithm", algorithm)?;
                field::component("digest", value)?;
            }
            if let Some(uri) = &input.uri {
                check_uri("source of an input", uri)?;
            }
        }
        Ok(())
    }

    /// The subjects by name.
    fn sorted_subjects(&self) -> Vec<&Subject> {
        let mut subjects: Vec<&Subject> = self.subjects.iter().collect();
        subjects.sort_by(|a, b| (&a.name, a.sha256).cmp(&(&b.name, b.sha256)));
        subjects
    }

    /// The inputs by role and name.
    fn sorted_inputs(&self) -> Vec<&Input> {
        let mut inputs: Vec<&Input> = self.inputs.iter().collect();
        inputs.sort_by_key(|input| (input.role.as_str(), &input.name, &input.digests));
        inputs
    }
}

/// Checks that a value has a scheme, and no character that a URI cannot have.
fn check_uri(field: &'static str, value: &str) -> Result<(), PublishError> {
    let scheme = value.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let allowed = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
    if is_scheme && value.len() > scheme.len() + 1 && value.chars().all(allowed) {
        return Ok(());
    }
    Err(field::invalid(field, value, "is not a URI"))
}
