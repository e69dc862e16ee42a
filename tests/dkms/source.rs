//! Package sources that tests write: a dkms.conf and a few files.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    kernel,
    modules::{self, Module},
};

/// The source directory of a package.
#[derive(Clone)]
pub(crate) struct Source {
    name: String,
    version: String,
    conf: Vec<String>,
    modules: usize,
    files: BTreeMap<PathBuf, (Vec<u8>, u32)>,
}

impl Source {
    /// A package without any modules.
    pub(crate) fn empty(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            conf: vec![
                format!("PACKAGE_NAME=\"{name}\""),
                format!("PACKAGE_VERSION=\"{version}\""),
            ],
            modules: 0,
            files: BTreeMap::new(),
        }
    }

    /// A package whose one module, of the same name, is already built and installs itself
    /// automatically.
    pub(crate) fn of(name: &str, version: &str, module: Module) -> Self {
        Self::empty(name, version)
            .module(name, module)
            .conf("AUTOINSTALL=\"yes\"")
    }

    /// The package that a test uses that is not about packages: `hello` 1.0.
    pub(crate) fn hello() -> Self {
        Self::of("hello", "1.0", Module::One)
    }

    /// A package that has `hello` as its only dependency.
    pub(crate) fn dependent(name: &str) -> Self {
        Self::of(name, "1.0", Module::One).conf("BUILD_DEPENDS=\"hello\"")
    }

    /// A package whose build fails.
    pub(crate) fn failing(name: &str) -> Self {
        Self::of(name, "1.0", Module::One)
            .conf("MAKE[0]=\"make fail\"")
            .file(
                "Makefile",
                "fail:\n\t@echo 'it does not compile' >&2; exit 1\n",
            )
    }

    /// A package whose one module kbuild compiles.
    pub(crate) fn compiled(name: &str, version: &str, more: &str) -> Self {
        Self::empty(name, version)
            .record(name)
            .conf("AUTOINSTALL=\"yes\"")
            .file("Makefile", format!("obj-m := {name}.o\n"))
            .file(&format!("{name}.c"), modules::c(more))
    }

    /// Adds lines to dkms.conf.
    pub(crate) fn conf(mut self, lines: &str) -> Self {
        self.conf.push(lines.to_owned());
        self
    }

    /// Adds a module that is already built.
    pub(crate) fn module(mut self, name: &str, module: Module) -> Self {
        for release in kernel::releases() {
            self = self.module_file(&format!("prebuilt/{release}/{name}.ko"), release, module);
        }
        let running = kernel::running();
        self.module_file(
            &format!("prebuilt/{running}/{name}.ko"),
            kernel::release(),
            module,
        )
        .record(name)
        .copying()
    }

    /// Adds a file.
    pub(crate) fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), (content.into(), 0o644));
        self
    }

    /// Adds an executable file.
    pub(crate) fn script(mut self, path: &str, content: &str) -> Self {
        self.files.insert(path.into(), (content.into(), 0o755));
        self
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Writes it to a directory.
    pub(crate) fn write(&self, directory: &Path) {
        let conf = self.conf.join("\n") + "\n";
        let conf_file = (PathBuf::from("dkms.conf"), (conf.into_bytes(), 0o644));
        for (path, (content, mode)) in self.files.clone().into_iter().chain([conf_file]) {
            let path = directory.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    fn module_file(self, path: &str, release: &str, module: Module) -> Self {
        self.file(path, module.bytes_for(release))
    }

    fn record(mut self, name: &str) -> Self {
        let index = self.modules;
        self.modules += 1;
        self.conf(&format!(
            "BUILT_MODULE_NAME[{index}]=\"{name}\"\nDEST_MODULE_LOCATION[{index}]=\"/kernel/extra\""
        ))
    }

    fn copying(self) -> Self {
        self.conf("MAKE[0]='cp -r prebuilt/${kernelver}/. .'")
    }
}
