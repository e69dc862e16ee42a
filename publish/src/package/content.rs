//! What is in a package, whatever its format: the modules, and files for people.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::{Path, PathBuf},
};

use super::ModulePackage;
use crate::{error::PublishError, field, input};

/// What a file in a package is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Module,
    Document,
    License,
}

/// What a file has in it. A module may be larger than what should be in memory.
#[derive(Debug)]
pub(super) enum Data {
    Text(Vec<u8>),
    File(PathBuf, u64),
}

impl Data {
    fn of_file(path: &Path) -> Result<Self, PublishError> {
        let (_, size) = input::open(path)?;
        Ok(Self::File(path.to_owned(), size))
    }

    /// How many bytes it has.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Text(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }

    /// Opens it.
    pub(super) fn open(&self) -> Result<Box<dyn Read + '_>, PublishError> {
        Ok(match self {
            Self::Text(bytes) => Box::new(bytes.as_slice()),
            Self::File(path, _) => Box::new(input::open(path)?.0),
        })
    }
}

/// Files by their path, absolute; so in a fixed order.
#[derive(Debug)]
pub(super) struct Content(BTreeMap<String, (Purpose, Data)>);

impl Content {
    /// The modules of a package, below the kernel's directory.
    pub(super) fn modules(package: &ModulePackage) -> Result<Self, PublishError> {
        if package.modules.is_empty() {
            return Err(PublishError::NoModules {
                package: format!("{}/{}", package.id.name, package.id.version),
                kernel: package.id.kernel.clone(),
            });
        }
        let mut content = Self(BTreeMap::new());
        let kernel = kernel_directory(package);
        for module in &package.modules {
            let below = module
                .directory
                .as_deref()
                .unwrap_or(&package.layout.directory);
            field::below("directory of a module", below)?;
            field::component("file name of a module", &module.name)?;
            let path = format!("{kernel}/{below}/{}", module.name);
            content.add(path, Purpose::Module, Data::of_file(&module.from)?)?;
        }
        Ok(content)
    }

    /// The package's further documents, in a directory.
    pub(super) fn add_documents(
        &mut self,
        package: &ModulePackage,
        directory: &str,
    ) -> Result<(), PublishError> {
        package.documents.iter().try_for_each(|document| {
            field::component("name of a document", &document.name)?;
            let path = format!("{directory}/{}", document.name);
            self.add_text(path, Purpose::Document, document.content.clone())
        })
    }

    pub(super) fn add_text(
        &mut self,
        path: String,
        purpose: Purpose,
        bytes: Vec<u8>,
    ) -> Result<(), PublishError> {
        self.add(path, purpose, Data::Text(bytes))
    }

    fn add(&mut self, path: String, purpose: Purpose, data: Data) -> Result<(), PublishError> {
        if self.0.contains_key(&path) {
            return Err(PublishError::Twice { path });
        }
        self.0.insert(path, (purpose, data));
        Ok(())
    }

    /// All files, sorted by path.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, Purpose, &Data)> {
        self.0
            .iter()
            .map(|(path, (purpose, data))| (path.as_str(), *purpose, data))
    }

    /// All directories that the files are in, each after the one that it is in; not `/`.
    pub(super) fn directories(&self) -> BTreeSet<&str> {
        let mut directories = BTreeSet::new();
        for path in self.0.keys() {
            let mut rest = path.as_str();
            while let Some((parent, _)) = rest.rsplit_once('/')
                && !parent.is_empty()
            {
                directories.insert(parent);
                rest = parent;
            }
        }
        directories
    }
}

/// The directory of the package's kernel.
pub(super) fn kernel_directory(package: &ModulePackage) -> String {
    format!("{}/{}", package.layout.modules_root, package.id.kernel)
}

/// The text about copyright and licence.
pub(super) fn copyright(package: &ModulePackage) -> String {
    let mut text = package.copyright.clone().unwrap_or_else(|| {
        format!(
            "The modules in this package are built from {} {}.\nTheir licence, as the modules state it: {}\n",
            package.id.name, package.id.version, package.license
        )
    });
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
