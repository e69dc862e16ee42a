//! Fills a job's scratch directory: the source, what dependencies made, the script, and
//! says what the job may see.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use kiln_cache::{ActionRecord, FileMode, Output};
use kiln_sandbox::{
    BUILD_EPOCH, BuildUser, Layout, Scratch, View, copy_tree, package_dir, write_uname,
};
use kiln_scheduler::{Lane, Task};

use super::{
    Abort, JobEnd, JobPayload, JobRunner, collect::built_path, compilers::name_llvm_plainly,
    script::script,
};
use crate::{
    plan::{Dependency, DependencyRecords, JobSpec},
    probes::Consulted,
    sight::own_links,
};

impl JobRunner {
    /// Fills the scratch directory and says what the job may see, and where the links lead that it has.
    pub(super) fn lay_out(
        &self,
        task: &Task<JobPayload, JobEnd>,
        dependencies: &DependencyRecords,
        scratch: &Scratch,
        lane: Lane,
    ) -> Result<(View, Vec<PathBuf>, Consulted), Abort> {
        let spec = &task.payload().spec;
        let site = &self.site;
        let base = site.base().map_err(|error| Abort::Io {
            path: site.store.directory().to_owned(),
            source: io::Error::other(error),
        })?;
        let package = package_dir(&scratch.dkms_tree(), &spec.conf.package);
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source| Abort::Io { path, source }
        };
        make_owned(&scratch.dkms_tree(), &package, site.user).map_err(io_error(&package))?;
        let source = spec.package.directory(base)?;
        let manifest = spec.package.manifest(base)?;
        let lay_source = |to: &Path| {
            copy_tree(&source, &manifest, to, site.user).map_err(|error| {
                if error.kind() == io::ErrorKind::InvalidData
                    || error.kind() == io::ErrorKind::NotFound
                {
                    Abort::InputChanged {
                        path: source.clone(),
                    }
                } else {
                    self.io_error(error, to, scratch)
                }
            })
        };
        lay_source(&package.join("build"))?;

        let layout = &spec.layout;
        let build = layout.package(&spec.conf.package).join("build");
        let mut view = View::new(layout, build, self.site.allowance);
        view.system = spec.kernel.system.clone();
        view.show_kernel(layout, &spec.kernel.tree, &spec.kernel.mounts());
        let source_inside = layout.package_source(&spec.conf.package);
        if builds_in_its_source(spec) {
            lay_source(&package.join("source"))?;
            view.links.push((
                source_inside,
                layout.package(&spec.conf.package).join("source"),
            ));
        } else {
            symlink(&source_inside, package.join("source")).map_err(io_error(&package))?;
            view.show_at(&spec.package.readable_directory(base)?, &source_inside);
        }
        for (dependency, record) in dependencies.iter() {
            self.lay_dependency(spec, dependency, record, scratch)?;
            view.show_at(
                &dependency.package.readable_directory(base)?,
                &layout.package_source(&dependency.package_id),
            );
        }
        self.install_dependencies(spec, dependencies, scratch, &mut view)?;
        if spec.overrides.is_some() {
            view.show(&Layout::overrides(&spec.conf.package.name));
        }
        for (path, _) in &spec.extra_tools {
            view.show_at(&spec.kernel.system.host_path(path), path);
        }
        let bin = scratch.run().join("bin");
        write_uname(&bin, &spec.kernel.tree.release, &spec.kernel.tree.arch)
            .map_err(io_error(&bin))?;
        self.stand_in_for_make(spec, scratch, lane, &mut view)
            .map_err(io_error(&bin))?;
        if lane == Lane::Local {
            name_llvm_plainly(spec, scratch).map_err(io_error(&bin))?;
        }
        let consulted = self.stand_in_for_compilers(spec, scratch, lane, task.cancel(), &mut view);
        let script_path = scratch.run().join("job.sh");
        fs::write(&script_path, script(&spec.conf, &spec.kernel.tree, layout))
            .map_err(io_error(&script_path))?;
        set_build_variables(&mut view);
        let mut links = own_links(&manifest, &view.directory);
        if let Some(overrides) = spec.overrides.as_ref().and_then(|seen| seen.scan()) {
            let place = Layout::overrides(&spec.conf.package.name);
            links.extend(own_links(&overrides.manifest(), &place));
        }
        let links = links.into_iter().map(|link| link.target).collect();
        Ok((view, links, consulted))
    }

    /// Puts a result of a dependency into place; the inner error says that it is not in the cache any more.
    pub(super) fn restore(&self, output: &Output, to: &Path) -> Result<io::Result<()>, Abort> {
        let mode = FileMode::of(output.executable);
        let restored = self.site.store.restore(&output.object, to, mode)?;
        Ok(restored.map(drop).ok_or_else(|| {
            let message = format!("{} is gone from the cache", output.path);
            io::Error::new(io::ErrorKind::NotFound, message)
        }))
    }

    /// Puts a dependency's results where DKMS would have put them.
    fn lay_dependency(
        &self,
        spec: &JobSpec,
        dependency: &Dependency,
        record: &ActionRecord,
        scratch: &Scratch,
    ) -> Result<(), Abort> {
        let kernel = &spec.kernel.tree;
        let package = package_dir(&scratch.dkms_tree(), &dependency.package_id);
        let built = package
            .join(kernel.release.as_str())
            .join(kernel.arch.as_str());
        let modules = built.join("module");
        let io_error = |source: io::Error| Abort::Io {
            path: modules.clone(),
            source,
        };
        make_owned(&scratch.dkms_tree(), &modules, self.site.user).map_err(io_error)?;
        for output in &record.outputs {
            let to = built.join(built_path(&output.path));
            let parent = to.parent().unwrap_or(&built);
            make_owned(&scratch.dkms_tree(), parent, self.site.user).map_err(io_error)?;
            self.restore(output, &to)?.map_err(io_error)?;
        }
        let link = package.with_file_name(format!("kernel-{}-{}", kernel.release, kernel.arch));
        let target = Path::new(dependency.package_id.version.as_str())
            .join(kernel.release.as_str())
            .join(kernel.arch.as_str());
        symlink(target, link).map_err(io_error)?;
        symlink(
            spec.layout.package_source(&dependency.package_id),
            package.join("source"),
        )
        .map_err(io_error)
    }
}

/// Sets the variables that the scripts and kbuild go by.
pub(super) fn set_build_variables(view: &mut View) {
    let epoch = BUILD_EPOCH.to_string();
    view.set("SOURCE_DATE_EPOCH", &epoch);
    view.set("KBUILD_BUILD_TIMESTAMP", format!("@{epoch}"));
    view.set("KBUILD_BUILD_USER", "kiln");
    view.set("KBUILD_BUILD_HOST", "kiln");
    view.set("HOME", "/tmp");
}

/// Makes the directories from `tree` down to `path`, each owned by the build user.
pub(super) fn make_owned(tree: &Path, path: &Path, user: BuildUser) -> io::Result<()> {
    let mut current = tree.to_owned();
    for part in path.strip_prefix(tree).unwrap_or(path) {
        current.push(part);
        match fs::create_dir(&current) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => user.own(&current)?,
        }
    }
    Ok(())
}

/// Whether a package's commands name its source directory, in which some build: they get
/// a private copy of it.
fn builds_in_its_source(spec: &JobSpec) -> bool {
    let conf = &spec.conf;
    let source = spec.layout.package_source(&conf.package);
    let source = source.to_string_lossy();
    let link = spec.layout.package(&conf.package).join("source");
    let link = link.to_string_lossy();
    [
        Some(&conf.make),
        conf.pre_build.as_ref(),
        conf.post_build.as_ref(),
    ]
    .into_iter()
    .flatten()
    .any(|command| command.contains(&*source) || command.contains(&*link))
}
