//! Families of distributions: how they name packages of modules, where modules go, which
//! package is the kernel's, and what they call an architecture.

use std::fmt;

use crate::{
    error::PublishError,
    field::{below, component, invalid, line},
};

/// Whose conventions a package follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Debian and what derives from it.
    Debian,
    /// Ubuntu and what derives from it.
    Ubuntu,
    /// Fedora, RHEL and its rebuilds.
    Fedora,
    /// SUSE and openSUSE.
    Suse,
}

/// A package format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// deb(5).
    Deb,
    /// RPM, in its version 4 that all distributions read.
    Rpm,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
        })
    }
}

/// Where the modules of a kernel are installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The directory with a directory for each kernel: `/lib/modules`, or `/usr/lib/modules`.
    pub modules_root: String,
    /// The directory below the kernel's where modules go that do not say otherwise.
    pub directory: String,
}

impl Layout {
    pub(crate) fn check(&self) -> Result<(), PublishError> {
        let field = "directory of all modules";
        let Some(inside) = self.modules_root.strip_prefix('/') else {
            return Err(invalid(field, &self.modules_root, "is not absolute"));
        };
        below(field, inside)?;
        below("directory of modules", &self.directory)
    }
}

/// What a package needs, provides or cannot be installed with: another package, or a word
/// that packages provide.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    /// Its name.
    pub name: String,
    /// The only version that is meant, if not any.
    pub exactly: Option<String>,
}

impl Capability {
    /// Any version.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            exactly: None,
        }
    }

    /// One version.
    pub fn exactly(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            exactly: Some(version.into()),
        }
    }

    pub(crate) fn check(&self) -> Result<(), PublishError> {
        line("package", &self.name)?;
        if self
            .name
            .contains([' ', ',', '|', '(', ')', '<', '=', '>', '['])
        {
            let reason = "is not the name of one package";
            return Err(invalid("package", &self.name, reason));
        }
        self.exactly
            .iter()
            .try_for_each(|version| component("version of a package", version))
    }
}

impl Family {
    /// The format of its packages.
    pub fn format(self) -> Format {
        match self {
            Self::Debian | Self::Ubuntu => Format::Deb,
            Self::Fedora | Self::Suse => Format::Rpm,
        }
    }

    /// Where modules go: the places that dkms uses on such a distribution.
    pub fn layout(self) -> Layout {
        let (root, directory) = match self {
            Self::Debian | Self::Ubuntu => ("/lib/modules", "updates/dkms"),
            Self::Fedora => ("/usr/lib/modules", "extra"),
            Self::Suse => ("/usr/lib/modules", "updates"),
        };
        Layout {
            modules_root: root.to_owned(),
            directory: directory.to_owned(),
        }
    }

    /// What a kernel's own package is, or provides; any one of them will do.
    pub fn kernel(self, release: &str) -> Vec<Capability> {
        match self {
            Self::Debian => vec![
                Capability::named(format!("linux-image-{release}")),
                Capability::named(format!("linux-image-{release}-unsigned")),
            ],
            Self::Ubuntu => vec![
                Capability::named(format!("linux-image-{release}")),
                Capability::named(format!("linux-image-unsigned-{release}")),
            ],
            Self::Fedora | Self::Suse => vec![Capability::exactly("kernel-uname-r", release)],
        }
    }

    /// Packages that install the same modules by building them.
    pub(crate) fn built_on_the_spot(self, name: &str) -> Vec<Capability> {
        match self {
            Self::Debian | Self::Ubuntu => vec![Capability::named(format!("{name}-dkms"))],
            Self::Fedora | Self::Suse => vec![
                Capability::named(format!("{name}-dkms")),
                Capability::named(format!("dkms-{name}")),
            ],
        }
    }

    /// The architecture of packages for a machine that `uname -m` calls `machine`.
    ///
    /// # Errors
    /// Fails for a machine that is not known.
    pub fn architecture(self, machine: &str) -> Result<&'static str, PublishError> {
        let format = self.format();
        let known = ARCHITECTURES.iter().find(|(name, ..)| *name == machine);
        known
            .map(|(_, deb, rpm)| match format {
                Format::Deb => *deb,
                Format::Rpm => *rpm,
            })
            .ok_or_else(|| PublishError::UnknownMachine {
                machine: machine.to_owned(),
                format,
            })
    }
}

/// A machine, and what Debian and RPM call it.
const ARCHITECTURES: [(&str, &str, &str); 15] = [
    ("x86_64", "amd64", "x86_64"),
    ("aarch64", "arm64", "aarch64"),
    ("i386", "i386", "i386"),
    ("i486", "i386", "i486"),
    ("i586", "i386", "i586"),
    ("i686", "i386", "i686"),
    ("armv5tel", "armel", "armv5tel"),
    ("armv6l", "armel", "armv6hl"),
    ("armv7l", "armhf", "armv7hl"),
    ("ppc64le", "ppc64el", "ppc64le"),
    ("ppc64", "ppc64", "ppc64"),
    ("s390x", "s390x", "s390x"),
    ("riscv64", "riscv64", "riscv64"),
    ("loongarch64", "loong64", "loongarch64"),
    ("sparc64", "sparc64", "sparc64"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_have_an_architecture_in_each_format() {
        for (machine, deb, rpm) in [
            ("x86_64", "amd64", "x86_64"),
            ("aarch64", "arm64", "aarch64"),
            ("armv7l", "armhf", "armv7hl"),
            ("ppc64le", "ppc64el", "ppc64le"),
        ] {
            assert_eq!(Family::Ubuntu.architecture(machine).unwrap(), deb);
            assert_eq!(Family::Suse.architecture(machine).unwrap(), rpm);
        }
        let error = Family::Debian.architecture("vax").unwrap_err();
        assert_eq!(error.to_string(), "deb has no architecture for machine vax");
    }

    #[test]
    fn a_capability_is_one_package() {
        assert!(Capability::named("kernel-uname-r").check().is_ok());
        for bad in ["", "a, b", "a | b", "a (= 1)", "a\nb"] {
            assert!(Capability::named(bad).check().is_err(), "{bad:?}");
        }
        assert!(Capability::exactly("a", "1 2").check().is_err());
    }
}
