//! What is published of one cell.

use std::{
    cell::OnceCell,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use kiln_build::{
    plan::{BuildSite, CellId, Plan},
    results::{self, DeliveryError},
};
use kiln_cache::{ActionRecord, FileMode, Syncing};
use kiln_durable::regular;
use kiln_kernel::module::ModuleInfo;
use kiln_publish::{
    BuildFiles, BuildId, Capability, DkmsTarball, Family, KernelBuild, ModuleFile, ModulePackage,
    PublishError, SourceDate, TarballContent, Times, package_name,
};
use kiln_sandbox::BUILD_EPOCH;

use super::{Publisher, folder::Folder, ledger::Ledger};
use crate::{
    FarmError,
    manifest::{Format, ProvenanceFormat, SigningStyle},
    outputs::{
        error::OutputError,
        stamp::{Ingredients, SignerContent, Stamp},
    },
};

/// The time of everything in packages and archives: that of the builds themselves.
const DATE: SourceDate = SourceDate(BUILD_EPOCH as u32);

/// Publishes one cell.
pub(super) struct CellPublisher<'a> {
    pub(super) publisher: &'a Publisher,
    folder: &'a Folder,
    /// What was put there earlier.
    ledger: &'a Ledger,
    pub(super) plan: &'a Plan,
    pub(super) cell: CellId,
    pub(super) record: &'a Arc<ActionRecord>,
    /// The names of the packages that it depends on.
    dependencies: Vec<String>,
    site: &'a BuildSite,
    stamp: Stamp,
    stage: OnceCell<PathBuf>,
    packed: OnceCell<PathBuf>,
    /// Those whose packages are made.
    families: Vec<Family>,
}

impl<'a> CellPublisher<'a> {
    pub(super) fn new(
        publisher: &'a Publisher,
        site: &'a BuildSite,
        (folder, ledger): (&'a Folder, &'a Ledger),
        plan: &'a Plan,
        cell: CellId,
        record: &'a Arc<ActionRecord>,
        signer: Option<&SignerContent>,
    ) -> Self {
        let kernel = &plan.kernels[plan.cells[cell.index()].kernel].tree;
        let families = publisher.families(&kernel.target());
        let dependencies = dependencies(plan, cell);
        let stamp = Stamp::new(&Ingredients {
            record,
            build: &build_id(plan, cell),
            dependencies: &dependencies,
            outputs: &publisher.outputs,
            signer,
            families: &families,
        });
        Self {
            families,
            publisher,
            folder,
            ledger,
            plan,
            cell,
            record,
            dependencies,
            site,
            stamp,
            stage: OnceCell::new(),
            packed: OnceCell::new(),
        }
    }

    /// Makes everything that is asked for and not there; gives the files.
    pub(super) fn publish(self) -> Result<Vec<PathBuf>, OutputError> {
        let files = self.files();
        for directory in [self.stage.get(), self.packed.get()].into_iter().flatten() {
            // The run's scratch space goes as a whole at its end.
            let _ = fs::remove_dir_all(directory);
        }
        files
    }

    fn files(&self) -> Result<Vec<PathBuf>, OutputError> {
        let publisher = self.publisher;
        results::refuse_source(self.plan, self.cell, &self.directory())?;
        let mut files = Vec::new();
        if publisher.wants(Format::Modules) {
            if publisher.signs(SigningStyle::Appended) {
                files.extend(self.signed_modules()?);
            } else {
                files.extend(self.plain_modules());
            }
        }
        if publisher.signs(SigningStyle::Detached) && publisher.wants(Format::Modules) {
            files.extend(self.detached_signatures()?);
        }
        for family in &self.families {
            files.push(self.package(*family)?);
        }
        if publisher.wants(Format::DkmsTarball) {
            files.push(self.tarball()?);
        }
        for format in &publisher.outputs.provenance {
            let name = match format {
                ProvenanceFormat::InToto => "provenance.intoto.json",
                ProvenanceFormat::Spdx => "provenance.spdx.json",
            };
            let path = self.directory().join(name);
            let made = files.clone();
            self.make(&path, || {
                let text = self.provenance_text(*format, &made)?;
                let from = self.packed()?.join(name);
                let written = fs::write(&from, text);
                written.map_err(|source| DeliveryError::Output {
                    path: from.clone(),
                    source,
                })?;
                Ok(from)
            })?;
            files.push(path);
        }
        Ok(files)
    }

    /// Puts what is made into the folder, unless it is there.
    fn make(
        &self,
        path: &Path,
        make: impl FnOnce() -> Result<PathBuf, OutputError>,
    ) -> Result<(), OutputError> {
        let inner = self.publisher.inner(path);
        if self.stamp.is_on(path) && self.ledger.vouches_for(&inner, path) {
            return Ok(());
        }
        let made = make()?;
        self.publisher.strangers.keep(&[path.to_owned()], || {
            self.folder.copy(&made, path, self.stamp.time())
        })?;
        Ok(())
    }

    /// The cell's own folder.
    pub(super) fn directory(&self) -> PathBuf {
        results::directory(&self.publisher.directory, self.plan, self.cell)
    }

    fn modules(&self) -> impl Iterator<Item = &str> {
        let paths = self
            .record
            .outputs
            .iter()
            .map(|output| output.path.as_str());
        paths.filter(|path| path.ends_with(".ko"))
    }

    fn plain_modules(&self) -> Vec<PathBuf> {
        let directory = self.directory();
        let outputs = self.record.outputs.iter();
        outputs.map(|output| directory.join(&output.path)).collect()
    }

    /// Puts everything into the cell's folder, the modules signed.
    fn signed_modules(&self) -> Result<Vec<PathBuf>, OutputError> {
        let mut files = Vec::new();
        for output in &self.record.outputs {
            let path = self.directory().join(&output.path);
            self.make(&path, || Ok(self.stage()?.join(&output.path)))?;
            files.push(path);
        }
        let store = &self.site.store;
        let directory = self.directory();
        let log = [directory.join(results::LOG)];
        self.publisher.strangers.keep(&log, || {
            results::deliver_log(store, &directory, self.record, Syncing::First)
        })?;
        Ok(files)
    }

    fn detached_signatures(&self) -> Result<Vec<PathBuf>, OutputError> {
        let Some(signer) = &self.publisher.signer else {
            return Ok(Vec::new());
        };
        let mut files = Vec::new();
        for module in self.modules() {
            let path = self.directory().join(format!("{module}.p7s"));
            self.make(&path, || {
                let module = self.stage()?.join(module);
                signer.detach(&module).map_err(|e| self.failed(e))
            })?;
            files.push(path);
        }
        Ok(files)
    }

    /// A directory with the outputs, the modules signed if they are to be.
    fn stage(&self) -> Result<&Path, OutputError> {
        if let Some(stage) = self.stage.get() {
            return Ok(stage);
        }
        let stage = self.scratch("publish")?;
        for output in &self.record.outputs {
            let to = stage.join(&output.path);
            let mode = FileMode::of(output.executable);
            if self
                .site
                .store
                .restore(&output.object, &to, mode)
                .map_err(DeliveryError::from)?
                .is_none()
            {
                return Err(results::gone(&to).into());
            }
            if let Some(signer) = &self.publisher.signer
                && self.publisher.signs(SigningStyle::Appended)
                && output.path.ends_with(".ko")
            {
                signer.sign(&to, &to).map_err(|e| self.failed(e))?;
            }
        }
        results::deliver_log(&self.site.store, &stage, self.record, Syncing::Not)?;
        Ok(self.stage.get_or_init(|| stage))
    }

    /// A directory for what is made of the outputs, before it is put into the folder.
    fn packed(&self) -> Result<&Path, OutputError> {
        if let Some(packed) = self.packed.get() {
            return Ok(packed);
        }
        let packed = self.scratch("packed")?;
        Ok(self.packed.get_or_init(|| packed))
    }

    fn scratch(&self, name: &str) -> Result<PathBuf, OutputError> {
        let base = self.site.base()?;
        let made = base.directory(name);
        Ok(made.map_err(|source| DeliveryError::Output {
            path: base.path().to_owned(),
            source,
        })?)
    }

    fn package(&self, family: Family) -> Result<PathBuf, OutputError> {
        let kernel = &self.plan.kernels[self.plan.cells[self.cell.index()].kernel].tree;
        let file = |name: &str| ModuleFile {
            name: name.to_owned(),
            from: PathBuf::new(),
            directory: None,
        };
        let modules = self.modules().map(file).collect();
        let mut package = ModulePackage::new(family, self.build_id(), modules, DATE);
        let said = &self.publisher.outputs.packages;
        if let Some(maintainer) = &said.maintainer {
            package.maintainer.clone_from(maintainer);
        }
        if let Some(revision) = &said.revision {
            package.revision.clone_from(revision);
        }
        package.requires = self
            .dependencies
            .iter()
            .map(|name| package_name(family, name, kernel.release.as_str()).map(Capability::named))
            .collect::<Result<_, _>>()
            .map_err(|e| self.failed(e))?;
        let folder = match family.format() {
            kiln_publish::Format::Deb => "deb",
            kiln_publish::Format::Rpm => "rpm",
        };
        let folder = self.publisher.directory.join(folder);
        let name = package.file_name().map_err(|e| self.failed(e))?;
        let path = folder.join(name);
        self.make(&path, || {
            let stage = self.stage()?;
            for module in &mut package.modules {
                module.from = stage.join(&module.name);
            }
            if let Some(license) = license(&package.modules) {
                package.license = license;
            }
            package.write(self.packed()?).map_err(|e| self.failed(e))
        })?;
        Ok(path)
    }

    fn tarball(&self) -> Result<PathBuf, OutputError> {
        let id = self.build_id();
        let mut tarball = DkmsTarball {
            name: id.name,
            version: id.version,
            content: TarballContent::Source(PathBuf::new()),
            builds: vec![KernelBuild {
                kernel: id.kernel,
                machine: id.machine,
                files: BuildFiles::Named(Vec::new()),
            }],
            times: Times::At(DATE),
        };
        let folder = self.publisher.directory.join("dkms");
        let path = folder.join(tarball.file_name());
        self.make(&path, || {
            let stage = self.stage()?;
            let outputs = self.record.outputs.iter();
            let mut files: Vec<(String, PathBuf)> = outputs
                .map(|output| (format!("module/{}", output.path), stage.join(&output.path)))
                .collect();
            let log = stage.join("make.log");
            if log.exists() {
                files.push(("log/make.log".to_owned(), log));
            }
            for build in &mut tarball.builds {
                build.files = BuildFiles::Named(std::mem::take(&mut files));
            }
            let package = &self.plan.packages[self.plan.cells[self.cell.index()].package];
            if let Ok(input) = &package.input {
                let source =
                    input
                        .directory(self.site.base()?)
                        .map_err(|error| OutputError::Source {
                            package: package.label.clone(),
                            source: error,
                        })?;
                tarball.content = TarballContent::Source(source);
            }
            tarball.write(self.packed()?).map_err(|e| self.failed(e))
        })?;
        Ok(path)
    }

    /// Which package for which kernel.
    pub(super) fn build_id(&self) -> BuildId {
        build_id(self.plan, self.cell)
    }

    pub(super) fn failed(&self, source: PublishError) -> OutputError {
        let subject = self.plan.subject(self.cell);
        OutputError::Farm(FarmError::Publish {
            package: subject.name,
            kernel: subject.target,
            source: Box::new(source),
        })
    }
}

fn build_id(plan: &Plan, cell: CellId) -> BuildId {
    let subject = plan.subject(cell);
    let (name, version) = subject.name.split_once('/').unwrap_or((&subject.name, ""));
    let kernel = &plan.kernels[plan.cells[cell.index()].kernel].tree;
    BuildId {
        name: name.to_owned(),
        version: version.to_owned(),
        kernel: kernel.release.to_string(),
        machine: kernel.arch.to_string(),
    }
}

fn dependencies(plan: &Plan, cell: CellId) -> Vec<String> {
    let spec = plan.cells[cell.index()].spec.iter();
    spec.flat_map(|spec| &spec.dependencies)
        .map(|dependency| dependency.package_id.name.as_str().to_owned())
        .collect()
}

/// What the modules say of their licences.
fn license(modules: &[ModuleFile]) -> Option<String> {
    let mut licenses: Vec<String> = modules
        .iter()
        .filter_map(|module| {
            let file = regular::open_at_once(&module.from).ok()?;
            ModuleInfo::of_file(file).ok()?.license
        })
        .collect();
    licenses.sort();
    licenses.dedup();
    (!licenses.is_empty()).then(|| licenses.join(", "))
}
