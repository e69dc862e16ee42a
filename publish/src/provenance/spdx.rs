//! An SPDX 2.3 document in JSON (spdx.github.io/spdx-spec/v2.3).
//!
//! Published files are packages in it, not files: files would need a SHA-1. Digests that are
//! no checksums of SPDX are external references of the type that the algorithm is called.

use serde::Serialize;

use super::{Input, InputRole, Provenance, Subject, check_uri, statement::json};
use crate::{date::SourceDate, digest::Sha256, error::PublishError, field};

const NOTHING: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";

/// Algorithms by their names in digest sets, in SPDX, and the digits of a value.
/// BLAKE3 is not among them: validators want 1,024 bits of it where the specification says 256.
const ALGORITHMS: [(&str, &str, usize); 7] = [
    ("md5", "MD5", 32),
    ("sha1", "SHA1", 40),
    ("sha224", "SHA224", 56),
    ("sha256", "SHA256", 64),
    ("sha384", "SHA384", 96),
    ("sha512", "SHA512", 128),
    ("blake2b", "BLAKE2b-512", 128),
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: &'a str,
    document_namespace: String,
    creation_info: CreationInfo,
    packages: Vec<Package<'a>>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: String,
    creators: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Package<'a> {
    #[serde(rename = "SPDXID")]
    id: String,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_file_name: Option<&'a str>,
    download_location: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<&'a str>,
    files_analyzed: bool,
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<Reference<'a>>,
    license_concluded: &'static str,
    license_declared: &'static str,
    copyright_text: &'static str,
    primary_package_purpose: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference<'a> {
    reference_category: &'static str,
    reference_type: &'a str,
    reference_locator: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

impl Provenance {
    /// The SPDX document with a name, created at `date`. The namespace is a URI without a
    /// fragment; a digest of the document is added to it, since no two documents may share one.
    ///
    /// # Errors
    /// Fails where [`Self::statement`] does, and if the namespace is no such URI.
    pub fn spdx(
        &self,
        name: &str,
        namespace: &str,
        date: SourceDate,
    ) -> Result<String, PublishError> {
        self.check()?;
        field::line("name of a document", name)?;
        check_uri("namespace", namespace)?;
        if namespace.contains('#') {
            return Err(field::invalid("namespace", namespace, "has a fragment"));
        }
        let mut document = self.document(name, namespace, date);
        let digest = Sha256::of(json(&document).as_bytes());
        document.document_namespace = format!("{}/{digest}", namespace.trim_end_matches('/'));
        Ok(json(&document))
    }

    fn document<'a>(&'a self, name: &'a str, namespace: &str, date: SourceDate) -> Document<'a> {
        let (subjects, inputs) = (self.sorted_subjects(), self.sorted_inputs());
        let relationship = |from: &str, kind, to: &str| Relationship {
            spdx_element_id: from.to_owned(),
            relationship_type: kind,
            related_spdx_element: to.to_owned(),
        };
        let mut relationships = Vec::new();
        for subject in 0..subjects.len() {
            relationships.push(relationship(DOCUMENT, "DESCRIBES", &subject_id(subject)));
            for (number, input) in inputs.iter().enumerate() {
                let (this, other) = (subject_id(subject), input_id(number));
                relationships.push(match input.role {
                    InputRole::Source => relationship(&this, "GENERATED_FROM", &other),
                    InputRole::Toolbox => relationship(&other, "BUILD_TOOL_OF", &this),
                    InputRole::Kernel
                    | InputRole::Settings
                    | InputRole::Dependency
                    | InputRole::Other => relationship(&other, "BUILD_DEPENDENCY_OF", &this),
                });
            }
        }
        let mut packages: Vec<Package<'_>> = Vec::new();
        packages.extend(subjects.into_iter().enumerate().map(published));
        packages.extend(inputs.into_iter().enumerate().map(used));
        let mut creators: Vec<String> = self
            .builder_version
            .iter()
            .map(|(name, version)| format!("Tool: {name}-{version}"))
            .collect();
        if creators.is_empty() {
            creators.push(format!("Tool: {}", self.builder));
        }
        Document {
            spdx_version: "SPDX-2.3",
            data_license: "CC0-1.0",
            id: DOCUMENT,
            name,
            document_namespace: namespace.to_owned(),
            creation_info: CreationInfo {
                created: date.rfc3339(),
                creators,
            },
            packages,
            relationships,
        }
    }
}

fn subject_id(number: usize) -> String {
    format!("SPDXRef-subject-{}", number + 1)
}

fn input_id(number: usize) -> String {
    format!("SPDXRef-input-{}", number + 1)
}

fn published((number, subject): (usize, &Subject)) -> Package<'_> {
    Package {
        id: subject_id(number),
        name: &subject.name,
        package_file_name: Some(&subject.name),
        download_location: NOTHING,
        source_info: None,
        files_analyzed: false,
        checksums: vec![Checksum {
            algorithm: "SHA256",
            checksum_value: subject.sha256.to_string(),
        }],
        external_refs: Vec::new(),
        license_concluded: NOTHING,
        license_declared: NOTHING,
        copyright_text: NOTHING,
        primary_package_purpose: "FILE",
        comment: None,
    }
}

fn used((number, input): (usize, &Input)) -> Package<'_> {
    let mut checksums = Vec::new();
    let mut external_refs = Vec::new();
    for (algorithm, value) in &input.digests {
        let is_hex = value
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let known = ALGORITHMS
            .iter()
            .find(|(name, _, digits)| name == algorithm && value.len() == *digits && is_hex);
        match known {
            Some((_, algorithm, _)) => checksums.push(Checksum {
                algorithm,
                checksum_value: value.clone(),
            }),
            None => external_refs.push(Reference {
                reference_category: "OTHER",
                reference_type: algorithm,
                reference_locator: value,
            }),
        }
    }
    Package {
        id: input_id(number),
        name: &input.name,
        package_file_name: None,
        download_location: NOTHING,
        source_info: input.uri.as_deref(),
        files_analyzed: false,
        checksums,
        external_refs,
        license_concluded: NOTHING,
        license_declared: NOTHING,
        copyright_text: NOTHING,
        primary_package_purpose: match input.role {
            InputRole::Source | InputRole::Kernel => "SOURCE",
            InputRole::Toolbox => "APPLICATION",
            InputRole::Settings | InputRole::Dependency | InputRole::Other => "OTHER",
        },
        comment: Some(input.role.as_str()),
    }
}
