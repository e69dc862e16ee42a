//! A package of the modules that one DKMS package has for one kernel.

mod content;
mod deb;
mod name;
mod rpm;
mod script;

use std::path::{Path, PathBuf};

use crate::{
    compression::Compression,
    date::SourceDate,
    error::PublishError,
    family::{Capability, Family, Format, Layout},
    field,
};

/// Which DKMS package, built for which kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildId {
    /// PACKAGE_NAME.
    pub name: String,
    /// PACKAGE_VERSION.
    pub version: String,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The machine, as `uname -m` prints it.
    pub machine: String,
}

/// A module to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFile {
    /// The name of the file that is installed: `foo.ko`, or `foo.ko.xz` if it is compressed.
    pub name: String,
    /// The file with its content.
    pub from: PathBuf,
    /// The directory below the kernel's, if not that of the package's layout.
    pub directory: Option<String>,
}

/// A file for people, installed below `/usr/share/doc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// A package to be written: `.deb` or `.rpm`, as the family has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModulePackage {
    /// Whose conventions it follows.
    pub family: Family,
    /// What is in it.
    pub id: BuildId,
    /// The modules, at least one.
    pub modules: Vec<ModuleFile>,
    /// The time of all that is in it. RPM packages say when they were made if it is to come.
    pub date: SourceDate,
    /// The Debian revision, or RPM release: raised when the same version is built again.
    pub revision: String,
    /// Where the modules go.
    pub layout: Layout,
    /// The kernel's package; any of these will do, and with none the kernel is not required.
    pub kernel_is: Vec<Capability>,
    /// What it needs besides, all of it: packages that its modules need symbols of.
    pub requires: Vec<Capability>,
    /// What cannot be installed with it.
    pub conflicts: Vec<Capability>,
    /// A line that says what it is.
    pub summary: String,
    /// Where to read about it.
    pub homepage: Option<String>,
    /// Who made the package: `Name <address>`.
    pub maintainer: String,
    /// The licence of the modules, in a few words.
    pub license: String,
    /// The text about copyright and licence; one that states `license` if not given.
    pub copyright: Option<String>,
    /// More to be installed.
    pub documents: Vec<Document>,
    /// How the package's content is compressed.
    pub compression: Compression,
}

impl ModulePackage {
    /// A package with all that its family usually has.
    pub fn new(family: Family, id: BuildId, modules: Vec<ModuleFile>, date: SourceDate) -> Self {
        let conflicts = match name::slug(family, &id.name) {
            Ok(name) => family.built_on_the_spot(&name),
            // Writing it will fail, and say why.
            Err(_) => Vec::new(),
        };
        Self {
            family,
            modules,
            date,
            revision: "1".to_owned(),
            layout: family.layout(),
            kernel_is: family.kernel(&id.kernel),
            requires: Vec::new(),
            conflicts,
            summary: format!("{} kernel modules for Linux {}", id.name, id.kernel),
            homepage: None,
            maintainer: "kiln <kiln@localhost>".to_owned(),
            license: "unknown".to_owned(),
            copyright: None,
            documents: Vec::new(),
            compression: Compression::Xz,
            id,
        }
    }

    /// The name that the package manager knows it by.
    ///
    /// # Errors
    /// Fails if the DKMS package's or the kernel's name cannot be part of one.
    pub fn package_name(&self) -> Result<String, PublishError> {
        package_name(self.family, &self.id.name, &self.id.kernel)
    }

    /// The version that the package manager compares, without the revision.
    ///
    /// # Errors
    /// Fails if there is nothing in the DKMS package's version that can be in one.
    pub fn package_version(&self) -> Result<String, PublishError> {
        name::version(self.family.format(), &self.id.version)
    }

    /// The name of the file.
    ///
    /// # Errors
    /// Fails if a name, the version, the revision or the machine cannot be used in a package.
    pub fn file_name(&self) -> Result<String, PublishError> {
        let (name, version) = (self.package_name()?, self.package_version()?);
        name::check_revision(&self.revision)?;
        let revision = &self.revision;
        let architecture = self.family.architecture(&self.id.machine)?;
        Ok(match self.family.format() {
            Format::Deb => format!("{name}_{version}-{revision}_{architecture}.deb"),
            Format::Rpm => format!("{name}-{version}-{revision}.{architecture}.rpm"),
        })
    }

    /// Writes the package into a directory, and gives its path.
    ///
    /// # Errors
    /// Fails if a value cannot be used, a module cannot be read, or the package not be written.
    pub fn write(&self, directory: &Path) -> Result<PathBuf, PublishError> {
        self.check()?;
        let path = directory.join(self.file_name()?);
        match self.family.format() {
            Format::Deb => deb::write(self, &path)?,
            Format::Rpm => rpm::write(self, &path)?,
        }
        Ok(path)
    }

    fn check(&self) -> Result<(), PublishError> {
        field::component("kernel release", &self.id.kernel)?;
        field::component("PACKAGE_NAME", &self.id.name)?;
        field::component("PACKAGE_VERSION", &self.id.version)?;
        self.layout.check()?;
        field::line("summary", &self.summary)?;
        field::line("maintainer", &self.maintainer)?;
        field::line("license", &self.license)?;
        self.homepage
            .iter()
            .try_for_each(|homepage| field::line("homepage", homepage))?;
        [&self.kernel_is, &self.requires, &self.conflicts]
            .into_iter()
            .flatten()
            .try_for_each(Capability::check)
    }

    /// What a reader of the description learns beyond the summary, a paragraph.
    fn description(&self) -> String {
        let mut modules: Vec<&str> = self.modules.iter().map(ModuleFile::module).collect();
        modules.sort_unstable();
        modules.dedup();
        format!(
            "Modules built from the DKMS package {} {} for kernel {}: {}.",
            self.id.name,
            self.id.version,
            self.id.kernel,
            modules.join(", ")
        )
    }
}

impl ModuleFile {
    /// The module's name, without the endings of its file.
    fn module(&self) -> &str {
        self.name
            .split_once(".ko")
            .map_or(&self.name, |(name, _)| name)
    }
}

/// The name of the package of a DKMS package's modules for a kernel: `NAME-modules-KERNEL`
/// where packages are `.deb`, and `kmod-NAME-KERNEL` where they are `.rpm`.
///
/// # Errors
/// Fails if a name has nothing in it that can be part of one.
pub fn package_name(family: Family, name: &str, kernel: &str) -> Result<String, PublishError> {
    name::package(family, name, kernel)
}
