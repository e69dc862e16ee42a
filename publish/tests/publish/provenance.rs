//! Provenance, by the Python packages of in-toto and SPDX.

use std::{fs, path::Path, process::Command};

use kiln_publish::{Input, InputRole, Provenance, PublishError, Sha256, SourceDate, Subject};

/// Where `make test` puts the validators.
fn tool(name: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/tools/python/bin")
        .join(name);
    assert!(
        path.exists(),
        "{} is not here; `make test` installs it",
        path.display()
    );
    Command::new(path)
}

fn input(role: InputRole, name: &str, digest: &str) -> Input {
    Input {
        role,
        name: name.to_owned(),
        uri: None,
        digests: vec![("blake3".to_owned(), digest.to_owned())],
    }
}

fn provenance() -> Provenance {
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let mut source = input(InputRole::Source, "v4l2loopback-0.12.7", &"a1".repeat(32));
    source.uri = Some("pkg:deb/debian/v4l2loopback-dkms@0.12.7-2".to_owned());
    source.digests.push(pair("sha256", &"1a".repeat(32)));
    source.digests.push(pair("gitCommit", "c0ffee"));
    let subject = |name: &str| Subject {
        name: name.to_owned(),
        sha256: Sha256::of(name.as_bytes()),
    };
    Provenance {
        subjects: vec![subject("x/v4l2loopback.ko"), subject("x/v4l2loopback.deb")],
        inputs: vec![
            source,
            input(
                InputRole::Kernel,
                "linux-headers-6.1.0-56-amd64",
                &"b2".repeat(32),
            ),
            input(InputRole::Toolbox, "toolbox", &"c3".repeat(32)),
            input(InputRole::Settings, "settings", &"d4".repeat(32)),
            input(InputRole::Dependency, "other.ko", &"e5".repeat(32)),
        ],
        build_type: "https://example.org/kiln/job/v1".to_owned(),
        builder: "https://example.org/farm".to_owned(),
        builder_version: vec![pair("kiln", "0.1.0")],
        parameters: vec![
            pair("package", "v4l2loopback/0.12.7"),
            pair("kernel", "6.1.0-56-amd64"),
        ],
        settings: vec![pair("strip", "yes")],
        invocation: None,
        finished: None,
    }
}

/// Reads a statement as the protocol buffers of in-toto have it: no field may be unknown.
const STATEMENT: &str = r#"
import json, sys
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
text = open(sys.argv[1]).read()
Statement.copy_from_pb(json_format.Parse(text, statement_pb2.Statement())).validate()
predicate = json.loads(text)["predicate"]
parsed = json_format.ParseDict(predicate, provenance_pb2.Provenance())
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
for dependency in parsed.build_definition.resolved_dependencies:
    ResourceDescriptor.copy_from_pb(dependency).validate()
    print(dependency.annotations["role"], dependency.name, dict(sorted(dependency.digest.items())))
"#;

#[test]
fn in_toto_reads_the_statement() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("provenance.json");
    let mut provenance = provenance();
    for finished in [None, Some(SourceDate(1_700_000_000))] {
        provenance.finished = finished;
        provenance.invocation = finished.map(|_| "run-1".to_owned());
        fs::write(&path, provenance.statement().unwrap()).unwrap();
        let output = tool("python")
            .args(["-c", STATEMENT])
            .arg(&path)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let read = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            read,
            format!(
                "dependency other.ko {{'blake3': '{}'}}\n\
                 kernel linux-headers-6.1.0-56-amd64 {{'blake3': '{}'}}\n\
                 settings settings {{'blake3': '{}'}}\n\
                 source v4l2loopback-0.12.7 {{'blake3': '{}', 'gitCommit': 'c0ffee', 'sha256': '{}'}}\n\
                 toolbox toolbox {{'blake3': '{}'}}\n",
                "e5".repeat(32),
                "b2".repeat(32),
                "d4".repeat(32),
                "a1".repeat(32),
                "1a".repeat(32),
                "c3".repeat(32)
            )
        );
    }
}

#[test]
fn the_statement_is_what_it_was() {
    let mut provenance = provenance();
    provenance.inputs.truncate(1);
    provenance.subjects.truncate(1);
    let expected = r#"{
  "_type": "https://in-toto.io/Statement/v1",
  "subject": [
    {
      "name": "x/v4l2loopback.ko",
      "digest": {
        "sha256": "DIGEST"
      }
    }
  ],
  "predicateType": "https://slsa.dev/provenance/v1",
  "predicate": {
    "buildDefinition": {
      "buildType": "https://example.org/kiln/job/v1",
      "externalParameters": {
        "kernel": "6.1.0-56-amd64",
        "package": "v4l2loopback/0.12.7"
      },
      "internalParameters": {
        "strip": "yes"
      },
      "resolvedDependencies": [
        {
          "name": "v4l2loopback-0.12.7",
          "uri": "pkg:deb/debian/v4l2loopback-dkms@0.12.7-2",
          "digest": {
            "blake3": "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1",
            "gitCommit": "c0ffee",
            "sha256": "1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a"
          },
          "annotations": {
            "role": "source"
          }
        }
      ]
    },
    "runDetails": {
      "builder": {
        "id": "https://example.org/farm",
        "version": {
          "kiln": "0.1.0"
        }
      }
    }
  }
}
"#;
    let digest = provenance.subjects[0].sha256.to_string();
    assert_eq!(
        provenance.statement().unwrap(),
        expected.replace("DIGEST", &digest)
    );
}

#[test]
fn spdx_tools_find_nothing_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("farm.spdx.json");
    let date = SourceDate(1_700_000_000);
    let text = provenance()
        .spdx("farm", "https://example.org/spdx", date)
        .unwrap();
    fs::write(&path, &text).unwrap();
    let output = tool("pyspdxtools")
        .args(["--version", "SPDX-2.3", "-i"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    for wanted in [
        "\"referenceType\": \"blake3\"",
        "\"referenceType\": \"gitCommit\"",
        "\"GENERATED_FROM\"",
        "\"BUILD_TOOL_OF\"",
        "Tool: kiln-0.1.0",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    // The validator can fail.
    fs::write(
        &path,
        text.replace("SPDXRef-input-1\"", "SPDXRef-input_1\""),
    )
    .unwrap();
    let output = tool("pyspdxtools")
        .args(["--version", "SPDX-2.3", "-i"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(!output.status.success());
}

#[test]
fn the_order_in_which_things_are_told_does_not_matter_but_what_is_told_does() {
    let one = provenance();
    let mut two = provenance();
    two.subjects.reverse();
    two.inputs.reverse();
    two.parameters.reverse();
    two.inputs.last_mut().unwrap().digests.reverse();
    assert_eq!(one.statement().unwrap(), two.statement().unwrap());
    two.inputs.last_mut().unwrap().digests.reverse();
    let spdx = |provenance: &Provenance| {
        provenance
            .spdx("farm", "https://example.org/spdx/", SourceDate(0))
            .unwrap()
    };
    assert_eq!(spdx(&one), spdx(&two));
    two.subjects[0].sha256 = Sha256::of(b"another");
    let namespace = |text: &str| {
        text.lines()
            .find(|l| l.contains("documentNamespace"))
            .unwrap()
            .to_owned()
    };
    assert_ne!(namespace(&spdx(&one)), namespace(&spdx(&two)));
}

#[test]
fn a_provenance_that_says_nothing_is_refused() {
    let refused = |change: &dyn Fn(&mut Provenance)| -> PublishError {
        let mut provenance = provenance();
        change(&mut provenance);
        provenance.statement().unwrap_err()
    };
    for (change, said) in [
        (
            &(|p: &mut Provenance| p.subjects.clear()) as &dyn Fn(&mut Provenance),
            "a provenance needs at least one subject",
        ),
        (
            &|p| p.inputs.clear(),
            "a provenance needs at least one input",
        ),
        (
            &|p| p.inputs[0].digests.clear(),
            "a provenance needs at least one digest of each input",
        ),
        (
            &|p| p.builder = "the farm".to_owned(),
            "builder \"the farm\" is not a URI",
        ),
        (
            &|p| p.inputs[0].digests[0].1 = String::new(),
            "digest \"\" is empty",
        ),
    ] {
        assert_eq!(refused(change).to_string(), said);
    }
    let fragment = provenance().spdx("farm", "https://example.org/#x", SourceDate(0));
    assert!(fragment.is_err());
}
