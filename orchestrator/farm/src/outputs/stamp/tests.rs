//! Each ingredient changes the stamp, alone.

use std::{collections::BTreeMap, path::PathBuf};

use kiln_cache::{ActionKind, Cost, KeyBuilder, Status, Subject};
use kiln_publish::ModuleKey;

use super::*;
use crate::manifest::{Format, PackageFamily, ProvenanceFormat, SigningStyle};

/// What a stamp is made of, owned.
#[derive(Clone)]
struct Kitchen {
    record: ActionRecord,
    build: BuildId,
    dependencies: Vec<String>,
    outputs: Outputs,
    signer: Option<SignerContent>,
    families: Vec<Family>,
}

impl Kitchen {
    fn new() -> Self {
        let (key, components) = KeyBuilder::new(ActionKind::Job).finish();
        let text = str::to_owned;
        Self {
            record: ActionRecord {
                key,
                kind: ActionKind::Job,
                subject: Subject {
                    name: text("one/1.0"),
                    target: text("6.1/x86_64"),
                },
                components,
                status: Status::Success,
                outputs: vec![Output {
                    path: text("one.ko"),
                    object: ObjectDigest::of(b"module"),
                    size: 6,
                    executable: false,
                }],
                log: Some(ObjectDigest::of(b"log")),
                note: BTreeMap::new(),
                cost: Cost::default(),
                created: 1_700_000_000_123_456_789,
            },
            build: BuildId {
                name: text("one"),
                version: text("1.0"),
                kernel: text("6.1"),
                machine: text("x86_64"),
            },
            dependencies: vec![text("lower")],
            outputs: Outputs {
                directory: PathBuf::from("out"),
                formats: vec![Format::Modules],
                checksums: true,
                provenance: vec![ProvenanceFormat::Spdx],
                builder: Some(text("urn:one")),
                signing: Some(Signing {
                    key: text("key.pem"),
                    certificate: PathBuf::from("cert.pem"),
                    hash: text("sha256"),
                    style: SigningStyle::Appended,
                    sign_file: None,
                }),
                packages: Packages {
                    family: None,
                    maintainer: Some(text("A <a@example.org>")),
                    revision: Some(text("1")),
                },
            },
            signer: Some(SignerContent {
                tool: text("openssl"),
                hash: text("sha256"),
                key: text("key"),
                certificate: text("certificate"),
            }),
            families: vec![Family::Debian],
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp::new(&Ingredients {
            record: &self.record,
            build: &self.build,
            dependencies: &self.dependencies,
            outputs: &self.outputs,
            signer: self.signer.as_ref(),
            families: &self.families,
        })
    }
}

type Change = fn(&mut Kitchen);

#[test]
fn every_ingredient_changes_it() {
    let changes: [(&str, Change); 27] = [
        ("key", |k| {
            let mut builder = KeyBuilder::new(ActionKind::Job);
            builder.component("x", ObjectDigest::of(b"x"), kiln_cache::Detail::Opaque);
            k.record.key = builder.finish().0;
        }),
        ("path", |k| k.record.outputs[0].path = "two.ko".to_owned()),
        ("object", |k| {
            k.record.outputs[0].object = ObjectDigest::of(b"other");
        }),
        ("mode", |k| k.record.outputs[0].executable = true),
        ("no output", |k| k.record.outputs.clear()),
        ("log", |k| k.record.log = Some(ObjectDigest::of(b"other"))),
        ("no log", |k| k.record.log = None),
        ("created", |k| k.record.created += 1),
        ("package", |k| k.build.name = "two".to_owned()),
        ("version", |k| k.build.version = "2".to_owned()),
        ("kernel", |k| k.build.kernel = "6.2".to_owned()),
        ("machine", |k| k.build.machine = "arm64".to_owned()),
        ("dependency", |k| k.dependencies[0] = "other".to_owned()),
        ("no dependency", |k| k.dependencies.clear()),
        ("form", |k| k.outputs.formats.push(Format::Deb)),
        ("provenance", |k| k.outputs.provenance.clear()),
        ("builder", |k| k.outputs.builder = None),
        ("signatures", |k| {
            let signing = k.outputs.signing.as_mut().unwrap();
            signing.style = SigningStyle::Detached;
        }),
        ("no signatures", |k| k.outputs.signing = None),
        ("maintainer", |k| k.outputs.packages.maintainer = None),
        ("revision", |k| {
            k.outputs.packages.revision = Some("2".to_owned());
        }),
        ("tool", |k| {
            k.signer.as_mut().unwrap().tool = "sign-file 1".to_owned();
        }),
        ("hash", |k| {
            k.signer.as_mut().unwrap().hash = "sha512".to_owned();
        }),
        ("signing key", |k| {
            k.signer.as_mut().unwrap().key = "new".to_owned();
        }),
        ("certificate", |k| {
            k.signer.as_mut().unwrap().certificate = "new".to_owned();
        }),
        ("no signer", |k| k.signer = None),
        ("family", |k| k.families[0] = Family::Ubuntu),
    ];
    let before = Kitchen::new().stamp();
    let mut seen = vec![before];
    for (name, change) in changes {
        let mut kitchen = Kitchen::new();
        change(&mut kitchen);
        let stamp = kitchen.stamp();
        assert!(!seen.contains(&stamp), "{name} changes nothing");
        seen.push(stamp);
    }
}

#[test]
fn what_no_file_shows_does_not() {
    let changes: [Change; 6] = [
        |k| k.outputs.directory = PathBuf::from("elsewhere"),
        |k| k.outputs.checksums = false,
        |k| k.outputs.packages.family = Some(PackageFamily::Suse),
        |k| k.outputs.signing.as_mut().unwrap().key = "moved.pem".to_owned(),
        |k| k.record.cost.peak_memory = 7,
        |k| k.record.subject.name = "shared/1.0".to_owned(),
    ];
    for change in changes {
        let mut kitchen = Kitchen::new();
        change(&mut kitchen);
        assert_eq!(kitchen.stamp(), Kitchen::new().stamp());
    }
}

#[test]
fn a_signer_goes_by_what_its_files_hold() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["key", "certificate", "tool"] {
        fs::write(at(name), name).unwrap();
    }
    let signer = ModuleSigner {
        tool: SigningTool::SignFile(at("tool")),
        hash: "sha256".to_owned(),
        key: ModuleKey::new(at("key").to_str().unwrap()),
        certificate: at("certificate"),
    };
    let mut before = SignerContent::read(&signer).unwrap();
    for name in ["key", "certificate", "tool"] {
        fs::write(at(name), "new").unwrap();
        let after = SignerContent::read(&signer).unwrap();
        assert_ne!(before, after, "{name}");
        before = after;
    }
    fs::remove_file(at("key")).unwrap();
    assert!(SignerContent::read(&signer).is_err());
}
