//! `[outputs]`: where results go, and in which forms.

use std::path::PathBuf;

use serde::Deserialize;

/// `[outputs]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    /// The folder.
    pub directory: PathBuf,
    /// The forms.
    #[serde(default = "modules_only")]
    pub(crate) formats: Vec<Format>,
    /// Whether SHA256SUMS of everything in the folder are written.
    #[serde(default = "yes")]
    pub(crate) checksums: bool,
    /// In which forms it is told what results were made from.
    #[serde(default)]
    pub(crate) provenance: Vec<ProvenanceFormat>,
    /// A URI that says who builds, for the provenance.
    pub(crate) builder: Option<String>,
    /// How modules are signed, if they are.
    pub(crate) signing: Option<Signing>,
    /// What .deb and .rpm packages say.
    #[serde(default)]
    pub(crate) packages: Packages,
}

fn modules_only() -> Vec<Format> {
    vec![Format::Modules]
}

fn yes() -> bool {
    true
}

/// A form of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The folder layout of `kiln build -o`.
    Modules,
    /// Debian packages.
    Deb,
    /// RPM packages.
    Rpm,
    /// What `dkms ldtarball` loads.
    DkmsTarball,
}

impl Format {
    /// Its name in a manifest.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Modules => "modules",
            Self::Deb => "deb",
            Self::Rpm => "rpm",
            Self::DkmsTarball => "dkms-tarball",
        }
    }
}

/// A form of provenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProvenanceFormat {
    /// An in-toto statement with SLSA provenance.
    InToto,
    /// An SPDX document.
    Spdx,
}

impl ProvenanceFormat {
    /// Its name in a manifest.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InToto => "in-toto",
            Self::Spdx => "spdx",
        }
    }
}

/// `[outputs.signing]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// The private key: a file, or a `pkcs11:` URI.
    pub(crate) key: String,
    /// The certificate.
    pub(crate) certificate: PathBuf,
    /// The hash.
    #[serde(default = "sha256")]
    pub(crate) hash: String,
    /// Where signatures go.
    #[serde(default)]
    pub(crate) style: SigningStyle,
    /// The kernel's sign-file, if that is to be used.
    pub(crate) sign_file: Option<PathBuf>,
}

fn sha256() -> String {
    "sha256".to_owned()
}

/// Where signatures go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SigningStyle {
    /// Into the module, as kernels check it.
    #[default]
    Appended,
    /// Into a file beside the module.
    Detached,
}

impl SigningStyle {
    /// Its name in a manifest.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Appended => "appended",
            Self::Detached => "detached",
        }
    }
}

/// `[outputs.packages]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    /// Whose conventions they follow; both formats have one that they follow else.
    pub(crate) family: Option<PackageFamily>,
    /// `Name <address>`.
    pub(crate) maintainer: Option<String>,
    /// Raised when the same version is built again.
    pub(crate) revision: Option<String>,
}

/// A family of distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageFamily {
    /// Debian.
    Debian,
    /// Ubuntu.
    Ubuntu,
    /// Fedora, RHEL and its rebuilds.
    Fedora,
    /// SUSE.
    Suse,
}

impl From<PackageFamily> for kiln_publish::Family {
    fn from(family: PackageFamily) -> Self {
        match family {
            PackageFamily::Debian => Self::Debian,
            PackageFamily::Ubuntu => Self::Ubuntu,
            PackageFamily::Fedora => Self::Fedora,
            PackageFamily::Suse => Self::Suse,
        }
    }
}
