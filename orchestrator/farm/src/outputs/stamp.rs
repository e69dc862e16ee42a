//! Whether a published file is the one of a record and its settings: told by its time, as
//! for the logs of `kiln build -o`, so that a farm whose builds are all hits packs nothing.
//!
//! Everything that a published file is made of is taken apart field by field, and goes in by
//! content: a new field does not compile until it is decided whether it matters. The
//! composition is in docs/keys.md; a change of it needs a new [`FORMAT`].

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kiln_cache::{ActionRecord, ObjectDigest, Output};
use kiln_durable::regular;
use kiln_kernel::sizes;
use kiln_publish::{BuildId, Family, ModuleSigner, SigningTool};
use zeroize::Zeroizing;

use crate::manifest::{Outputs, Packages, Signing};

/// The version of the composition.
const FORMAT: u32 = 2;

/// The time that marks what was made of one record by the same settings: when the record was
/// made, in seconds; a digest of everything else below that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(SystemTime);

/// Everything that the files of a cell are made of.
pub(crate) struct Ingredients<'a> {
    pub(crate) record: &'a ActionRecord,
    /// Whose they are: records of equal jobs are shared.
    pub(crate) build: &'a BuildId,
    /// The names of the packages that they depend on.
    pub(crate) dependencies: &'a [String],
    pub(crate) outputs: &'a Outputs,
    pub(crate) signer: Option<&'a SignerContent>,
    pub(crate) families: &'a [Family],
}

/// What modules are signed with, by content: paths stay when a key is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignerContent {
    tool: String,
    hash: String,
    key: String,
    certificate: String,
}

impl SignerContent {
    /// Reads what a signer uses. A key in a token cannot be read: it goes by its URI, and by
    /// the certificate that has to go with it. openssl's version is not looked at.
    ///
    /// # Errors
    /// Fails if a file cannot be read.
    pub(crate) fn read(signer: &ModuleSigner) -> io::Result<Self> {
        // The key is among them, and is wiped from memory.
        let digest = |path: &Path| {
            let bytes = regular::read_at_once(path, sizes::BINARY).map(Zeroizing::new)?;
            Ok::<_, io::Error>(ObjectDigest::of(&bytes).to_string())
        };
        let ModuleSigner {
            tool,
            hash,
            key,
            certificate,
        } = signer;
        Ok(Self {
            tool: match tool {
                SigningTool::SignFile(program) => format!("sign-file {}", digest(program)?),
                SigningTool::Openssl => "openssl".to_owned(),
            },
            hash: hash.clone(),
            key: match key.is_in_token() {
                true => key.name().to_owned(),
                false => digest(Path::new(key.name()))?,
            },
            certificate: digest(certificate)?,
        })
    }
}

impl Stamp {
    /// The stamp of what is made of these.
    pub(crate) fn new(ingredients: &Ingredients<'_>) -> Self {
        let digest = digest(ingredients).to_string();
        let nanos = u32::from_str_radix(&digest[..8], 16).unwrap_or_default() % 1_000_000_000;
        let ended = ingredients.record.created / 1_000_000_000;
        Self(UNIX_EPOCH + Duration::new(ended, nanos))
    }

    /// Whether a file has it. Where times have no nanoseconds, none has.
    pub(crate) fn is_on(self, path: &Path) -> bool {
        fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|time| time == self.0)
    }

    /// The time. A file must have it no earlier than its content is on the disk.
    pub(crate) fn time(self) -> SystemTime {
        self.0
    }
}

/// Fields with their names and lengths: no two lists are the same text.
#[derive(Default)]
struct Fields(String);

impl Fields {
    fn add(&mut self, name: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        self.0
            .push_str(&format!("{name} {}\n{value}\n", value.len()));
    }

    fn add_option(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        match value {
            Some(value) => self.add(name, value),
            None => self.0.push_str(&format!("{name} none\n")),
        }
    }
}

fn digest(ingredients: &Ingredients<'_>) -> ObjectDigest {
    let Ingredients {
        record,
        build,
        dependencies,
        outputs,
        signer,
        families,
    } = ingredients;
    let mut fields = Fields::default();
    fields.add("format", FORMAT.to_string());
    fields.add("kiln", env!("CARGO_PKG_VERSION"));
    add_record(&mut fields, record);
    let BuildId {
        name,
        version,
        kernel,
        machine,
    } = build;
    for (field, value) in [
        ("package", name),
        ("version", version),
        ("kernel", kernel),
        ("machine", machine),
    ] {
        fields.add(field, value);
    }
    for dependency in *dependencies {
        fields.add("dependency", dependency);
    }
    add_outputs(&mut fields, outputs);
    match signer {
        None => fields.add("signer", "none"),
        Some(SignerContent {
            tool,
            hash,
            key,
            certificate,
        }) => {
            fields.add("signer", tool);
            fields.add("signer hash", hash);
            fields.add("signer key", key);
            fields.add("signer certificate", certificate);
        }
    }
    for family in *families {
        fields.add("family", family_name(*family));
    }
    ObjectDigest::of(fields.0.as_bytes())
}

fn add_record(fields: &mut Fields, record: &ActionRecord) {
    let ActionRecord {
        key,
        // Both are in the key, as is what was looked at to make it.
        kind: _,
        components: _,
        // The build's own names are used.
        subject: _,
        // Only successes are published.
        status: _,
        outputs,
        log,
        // Neither is published.
        note: _,
        cost: _,
        created,
    } = record;
    fields.add("key", key.to_string());
    for output in outputs {
        let Output {
            path,
            object,
            // The object's.
            size: _,
            executable,
        } = output;
        fields.add("output", path);
        fields.add("object", object.to_string());
        fields.add("mode", if *executable { "755" } else { "644" });
    }
    fields.add_option("log", log.map(|log| log.to_string()));
    fields.add("created", created.to_string());
}

fn add_outputs(fields: &mut Fields, outputs: &Outputs) {
    let Outputs {
        // Names in provenance are below it.
        directory: _,
        formats,
        // A file of their own.
        checksums: _,
        provenance,
        builder,
        signing,
        packages,
    } = outputs;
    for format in formats {
        fields.add("form", format.name());
    }
    for format in provenance {
        fields.add("provenance", format.name());
    }
    fields.add_option("builder", builder.as_ref());
    let style = signing.as_ref().map(|signing| {
        let Signing {
            style,
            // By content, as the signer's.
            key: _,
            certificate: _,
            hash: _,
            sign_file: _,
        } = signing;
        style.name()
    });
    fields.add_option("signatures", style);
    let Packages {
        // Has had its effect on the families.
        family: _,
        maintainer,
        revision,
    } = packages;
    fields.add_option("maintainer", maintainer.as_ref());
    fields.add_option("revision", revision.as_ref());
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Debian => "debian",
        Family::Ubuntu => "ubuntu",
        Family::Fedora => "fedora",
        Family::Suse => "suse",
    }
}

#[cfg(test)]
mod tests;
