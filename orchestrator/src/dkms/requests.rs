//! From packages and kernels to builds that are started before dkms's order comes to them.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use kiln_build::{
    conf::DIRECTIVES,
    plan::{BuildSite, scratch_name_of},
};
use kiln_cache::{
    ActionKind, ActionRecord, Cost, KeyBuilder, ObjectDigest, Output, Publication, Status, Subject,
};
use kiln_durable::regular;
use kiln_kernel::{KernelTree, module::unsigned, package::PackageId, sizes, toolbox::SEARCH_PATH};
use kiln_sandbox::Isolation;

use super::{
    Session,
    builds::{BuildRequest, Work},
    compression::read_module,
    console::Died,
    target::Target,
};
use crate::{commands::cancel_on_signals, report::live_view};

impl Session {
    /// Starts builds.
    pub(crate) fn start_builds(&mut self, requests: Vec<BuildRequest>, retry_failed: bool) {
        if !std::mem::replace(&mut self.watches_signals, true) {
            cancel_on_signals(&self.cancel);
        }
        let Some(site) = self.site() else { return };
        // One build is followed by dkms's own words.
        let several = requests
            .iter()
            .filter(|request| matches!(request.work, Work::Build(_)))
            .count()
            > 1;
        let live = (several && !self.console.is_quiet())
            .then(live_view)
            .flatten();
        let cancel = self.cancel.clone();
        self.builds
            .start(site, requests, retry_failed, &self.jobs, cancel, live);
    }

    /// What has to be built for these, with what that depends on; nothing if it is not certain
    /// that dkms would come to build them. Says nothing.
    pub(crate) fn requests(&mut self, wanted: &[(PackageId, Target)]) -> Option<Vec<BuildRequest>> {
        let site = self.site()?;
        let mut requests: Vec<BuildRequest> = Vec::new();
        let names: HashSet<(String, Target)> = wanted
            .iter()
            .map(|(package, target)| (package.name.to_string(), target.clone()))
            .collect();
        'wanted: for (package, target) in wanted {
            let Some(known) = self.silent_facts(package, target) else {
                continue;
            };
            let Some(kernel) = self.kernel_tree(target) else {
                continue;
            };
            let Ok(source) = fs::canonicalize(self.tree.source(package)) else {
                continue;
            };
            if known.conf.excluded.is_some() {
                continue;
            }
            let mut conf = known.conf.clone();
            if site.isolation == Isolation::Bare {
                let label = package.to_string();
                let name = scratch_name_of(&label, &target.kernel, &target.arch);
                conf = self.conf_in(&known, target, &site.layout(&name))?;
            }
            // With --force, dkms builds even what waits for itself.
            conf.build_depends
                .retain(|name| name != package.name.as_str());
            conf.environment = self.environment_of_builds()?;
            for name in &conf.build_depends {
                let built_here = names.contains(&(name.clone(), target.clone()));
                if built_here
                    || requests
                        .iter()
                        .any(|r| r.package.name.as_str() == name && r.target == *target)
                {
                    continue;
                }
                match self.provided(name, target, &kernel, &site) {
                    Ok(provided) => requests.extend(provided),
                    Err(problem) => {
                        self.builds.refuse(package, target, problem);
                        continue 'wanted;
                    }
                }
            }
            requests.push(BuildRequest {
                package: package.clone(),
                source,
                target: target.clone(),
                kernel,
                work: Work::Build(Box::new(conf)),
            });
        }
        requests
            .iter()
            .any(|request| matches!(request.work, Work::Build(_)))
            .then_some(requests)
    }

    /// Starts the builds that the command's own package needs.
    pub(crate) fn prefetch_command(&mut self, targets: &[Target]) {
        let Ok(package) = self.said_package() else {
            return;
        };
        if targets.len() < 2 || !self.tree.is_added(&package) {
            return;
        }
        let force = self.force;
        let mut wanted: Vec<(PackageId, Target)> = Vec::new();
        for target in targets {
            let built = self.tree.is_built(&package, target);
            let pair = (package.clone(), target.clone());
            if (!built || force) && !wanted.contains(&pair) {
                wanted.push(pair);
            }
        }
        if let Some(requests) = self.requests(&wanted) {
            self.start_builds(requests, true);
        }
    }

    /// What builds find in their environment: `build_environment`, and directives that are no
    /// directives of dkms's, which it exports all the same.
    fn environment_of_builds(&self) -> Option<Vec<(String, String)>> {
        let mut environment = self.build_environment().as_ref().ok()?.clone();
        for directive in &self.arguments.directives {
            if let Some((name, value)) = directive.split_once('=')
                && !DIRECTIVES.contains(&name)
            {
                environment.push((name.to_owned(), value.to_owned()));
            }
        }
        Some(environment)
    }

    /// Ends if framework.conf's `build_environment` cannot be read to its end.
    ///
    /// # Errors
    /// Ends with 8.
    pub(crate) fn must_have_environment(&mut self) -> Result<(), Died> {
        let Err(reason) = self.build_environment() else {
            return Ok(());
        };
        let said = format!(
            "build_environment={} cannot be evaluated: {reason}",
            self.variables.value("build_environment")
        );
        Err(self.console.die(8, &[&said]))
    }

    /// The variables that framework.conf's `build_environment` exports, or why that cannot be told. It is read once.
    fn build_environment(&self) -> &Result<Vec<(String, String)>, String> {
        self.build_environment.get_or_init(|| {
            let file = self.variables.value("build_environment");
            match file.is_empty() || !Path::new(file).is_file() {
                true => Ok(Vec::new()),
                false => exported_by(file),
            }
        })
    }

    /// The installed modules of a dependency, as its dependents see them: unsigned and not
    /// compressed, so that it does not matter who signed them and when.
    ///
    /// # Errors
    /// Says which file is larger than any that a build makes.
    fn provided(
        &mut self,
        name: &str,
        target: &Target,
        kernel: &KernelTree,
        site: &Arc<BuildSite>,
    ) -> Result<Option<BuildRequest>, String> {
        let Some(package) = self.tree.installed_version(name, target) else {
            return Ok(None);
        };
        let base = self.tree.base(&package, target);
        let judged = self
            .trust
            .judge_all_of(&mut self.console, "what was built", &base);
        let Ok(source) = fs::canonicalize(self.tree.source(&package)) else {
            return Ok(None);
        };
        if judged.is_err() {
            return Ok(None);
        }
        let Some(outputs) = stored_outputs(&base, site)? else {
            return Ok(None);
        };
        let conf = self.silent_facts(&package, target);
        let conf = conf.map(|known| Box::new(known.conf.clone()));
        let (key, components) = KeyBuilder::new(ActionKind::Job).finish();
        let record = ActionRecord {
            key,
            kind: ActionKind::Job,
            subject: Subject {
                name: package.to_string(),
                target: kernel.target(),
            },
            components,
            status: Status::Success,
            outputs,
            log: None,
            note: BTreeMap::new(),
            cost: Cost::default(),
            created: 0,
        };
        Ok(Some(BuildRequest {
            package,
            source,
            target: target.clone(),
            kernel: kernel.clone(),
            work: Work::Provided {
                record: Arc::new(record),
                conf,
            },
        }))
    }
}

/// Puts what was built of a package into the store, as what jobs make; nothing if some of it cannot be read.
///
/// # Errors
/// Says which file is larger than any that a build makes.
fn stored_outputs(base: &Path, site: &BuildSite) -> Result<Option<Vec<Output>>, String> {
    let mut publication = site.store.publication();
    let mut outputs = Vec::new();
    for file in files_below(base) {
        let below = file.strip_prefix(base).unwrap_or(&file);
        if below.starts_with("log") {
            continue;
        }
        match stored_output(below, &file, &mut publication) {
            Ok(output) => outputs.push(output),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Err(format!("cannot read {}: {error}", file.display()));
            }
            Err(_) => return Ok(None),
        }
    }
    Ok(publication.commit().ok().map(|()| outputs))
}

/// The variables that a bash file exports.
fn exported_by(file: &str) -> Result<Vec<(String, String)>, String> {
    let script = r#". "$1" &> /dev/null; compgen -e | while IFS= read -r name; do
        case $name in PWD|OLDPWD|SHLVL|_) ;; *) printf '%s=%s\0' "$name" "${!name}" ;; esac
    done; [[ ${PIPESTATUS[*]} == '0 0' ]] && printf 'whole\0'"#;
    let output = Command::new("bash")
        .args(["--norc", "--noprofile", "-c", script, "bash", file])
        .env_clear()
        .env("PATH", SEARCH_PATH.join(":"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(variables) = text.strip_suffix("whole\0") else {
        return Err(format!("bash did not come to its end ({})", output.status));
    };
    let pairs = variables
        .split('\0')
        .filter_map(|line| line.split_once('='));
    Ok(pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// The regular files below a directory, sorted; hidden ones are dkms's own.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            files.extend(files_below(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files
}

/// Stores a file of a built package under the name that it has as a job's result, as the job made it: a module without
/// what was done to it for its installation.
fn stored_output(
    below: &Path,
    file: &Path,
    publication: &mut Publication<'_>,
) -> io::Result<Output> {
    let text = below.to_str().ok_or(io::ErrorKind::InvalidData)?;
    let name = text.strip_prefix("module/");
    let (path, (object, size)) = match name {
        Some(name) if !name.contains('/') && name.contains(".ko") => {
            let module = name.split(".ko").next().unwrap_or_default();
            let content = read_module(file)?;
            let content = unsigned(&content);
            let object = publication.put_bytes(content).map_err(io::Error::other)?;
            (format!("{module}.ko"), (object, content.len() as u64))
        }
        Some("Module.symvers") => {
            let stored = stored_up_to(sizes::SYMBOLS, file, publication)?;
            ("Module.symvers".to_owned(), stored)
        }
        _ => {
            let stored = stored_up_to(sizes::BINARY, file, publication)?;
            (format!("beside/{text}"), stored)
        }
    };
    Ok(Output {
        path,
        object,
        size,
        executable: false,
    })
}

fn stored_up_to(
    limit: u64,
    file: &Path,
    publication: &mut Publication<'_>,
) -> io::Result<(ObjectDigest, u64)> {
    regular::must_have_at_most(limit, &file.metadata()?)?;
    publication.put_file(file).map_err(io::Error::other)
}
