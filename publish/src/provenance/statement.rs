//! An in-toto Statement v1 with a SLSA provenance v1 predicate
//! (in-toto/attestation spec/v1, slsa.dev/spec/v1.0/provenance).

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Input, Provenance};
use crate::error::PublishError;

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://slsa.dev/provenance/v1";

type Strings<'a> = BTreeMap<&'a str, &'a str>;

#[derive(Serialize)]
struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Descriptor<'a>>,
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    predicate: Predicate<'a>,
}

/// A ResourceDescriptor.
#[derive(Serialize)]
struct Descriptor<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    digest: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: Strings<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'a> {
    build_definition: BuildDefinition<'a>,
    run_details: RunDetails<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition<'a> {
    build_type: &'a str,
    external_parameters: Strings<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    internal_parameters: Strings<'a>,
    resolved_dependencies: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
struct RunDetails<'a> {
    builder: Builder<'a>,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
struct Builder<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    version: Strings<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    invocation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_on: Option<String>,
}

impl Metadata<'_> {
    fn is_empty(&self) -> bool {
        self.invocation_id.is_none() && self.finished_on.is_none()
    }
}

impl Provenance {
    /// The in-toto statement, as JSON with its keys in a fixed order and a line break at the
    /// end. It is not signed: that takes an envelope (DSSE) around these bytes.
    ///
    /// # Errors
    /// Fails if there is no subject or input, or a value cannot be what it is given for.
    pub fn statement(&self) -> Result<String, PublishError> {
        self.check()?;
        let subject = self
            .sorted_subjects()
            .into_iter()
            .map(|subject| Descriptor {
                name: &subject.name,
                uri: None,
                digest: BTreeMap::from([("sha256", subject.sha256.to_string())]),
                annotations: Strings::new(),
            });
        let statement = Statement {
            kind: STATEMENT,
            subject: subject.collect(),
            predicate_type: PREDICATE,
            predicate: Predicate {
                build_definition: BuildDefinition {
                    build_type: &self.build_type,
                    external_parameters: strings(&self.parameters),
                    internal_parameters: strings(&self.settings),
                    resolved_dependencies: self
                        .sorted_inputs()
                        .into_iter()
                        .map(descriptor)
                        .collect(),
                },
                run_details: RunDetails {
                    builder: Builder {
                        id: &self.builder,
                        version: strings(&self.builder_version),
                    },
                    metadata: Metadata {
                        invocation_id: self.invocation.as_deref(),
                        finished_on: self.finished.map(|date| date.rfc3339()),
                    },
                },
            },
        };
        Ok(json(&statement))
    }
}

fn descriptor(input: &Input) -> Descriptor<'_> {
    let digests = input.digests.iter();
    Descriptor {
        name: &input.name,
        uri: input.uri.as_deref(),
        digest: digests
            .map(|(algorithm, value)| (algorithm.as_str(), value.clone()))
            .collect(),
        annotations: Strings::from([("role", input.role.as_str())]),
    }
}

fn strings(pairs: &[(String, String)]) -> Strings<'_> {
    pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// Text for people as well as machines.
pub(super) fn json(value: &impl Serialize) -> String {
    let mut text =
        serde_json::to_string_pretty(value).expect("all keys are strings, and nothing fails");
    text.push('\n');
    text
}
