//! What a cell's files were made from: every component of its key, by its digest.

use std::path::PathBuf;

use kiln_cache::Component;
use kiln_publish::{Input, InputRole, Provenance, SourceDate, Subject, digest_file};
use kiln_sandbox::BUILD_EPOCH;

use super::cell::CellPublisher;
use crate::{manifest::ProvenanceFormat, outputs::error::OutputError};

/// How the parameters of a provenance are to be read: docs/farm.md.
const BUILD_TYPE: &str = "urn:kiln:job:1";

/// Who builds, if the manifest does not say.
const BUILDER: &str = "urn:kiln:builder";

impl CellPublisher<'_> {
    /// The text with the provenance of the cell's `files`.
    pub(super) fn provenance_text(
        &self,
        format: ProvenanceFormat,
        files: &[PathBuf],
    ) -> Result<String, OutputError> {
        let provenance = self.provenance(files)?;
        let text = match format {
            ProvenanceFormat::InToto => provenance.statement(),
            ProvenanceFormat::Spdx => {
                let subject = self.plan.subject(self.cell);
                let document = format!("{} for {}", subject.name, subject.target);
                let namespace = format!("urn:kiln:spdx:{}", self.record.key);
                provenance.spdx(&document, &namespace, SourceDate(BUILD_EPOCH as u32))
            }
        };
        text.map_err(|e| self.failed(e))
    }

    fn provenance(&self, files: &[PathBuf]) -> Result<Provenance, OutputError> {
        let mut subjects = Vec::new();
        for file in files {
            let inner = file.strip_prefix(&self.publisher.directory);
            subjects.push(Subject {
                name: inner.unwrap_or(file).display().to_string(),
                sha256: digest_file(file).map_err(|e| self.failed(e))?,
            });
        }
        let id = self.build_id();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let builder = self.publisher.outputs.builder.as_deref();
        Ok(Provenance {
            subjects,
            inputs: self.record.components.iter().map(input).collect(),
            build_type: BUILD_TYPE.to_owned(),
            builder: builder.unwrap_or(BUILDER).to_owned(),
            builder_version: vec![pair("kiln", env!("CARGO_PKG_VERSION"))],
            parameters: vec![
                pair("package", &id.name),
                pair("version", &id.version),
                pair("kernel", &id.kernel),
                pair("machine", &id.machine),
            ],
            settings: vec![pair("action key", &self.record.key.to_string())],
            invocation: None,
            finished: None,
        })
    }
}

/// A component of a key as an input. Its digest is that of its content as the cache has it: a
/// file, the manifest of a tree, a text.
fn input(component: &Component) -> Input {
    let name = component.name.as_str();
    let role = match name {
        "source" => InputRole::Source,
        "settings" | "recipe" => InputRole::Settings,
        _ if name.starts_with("kernel tree ") => InputRole::Kernel,
        _ if name.starts_with("BUILD_DEPENDS ") || name.starts_with("source of ") => {
            InputRole::Dependency
        }
        _ if name.starts_with("/etc/dkms") => InputRole::Settings,
        _ => InputRole::Toolbox,
    };
    Input {
        role,
        name: name.to_owned(),
        uri: None,
        digests: vec![("blake3".to_owned(), component.digest.to_string())],
    }
}
