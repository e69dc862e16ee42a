//! What every command that plans needs first: the store, the isolation, framework.conf.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kiln_build::{
    conf::{ConfError, EvaluateInput, Evaluation, Framework, evaluate},
    plan::{BuildSite, find_packages},
    shared,
};
use kiln_cache::{ObjectDigest, Store};
use kiln_config::Settings;
use kiln_kernel::{
    KernelRelease, KernelRequest, KernelSelectionError, KernelSource, KernelSpec, KernelStore,
    TargetKernel, distinct,
    fingerprints::Fingerprints,
    package::{Found, find_all},
    select_kernels,
    toolbox::{SystemRoot, find_program},
    version,
};
use kiln_sandbox::{BuildUser, Isolation, IsolationError};
use kiln_scheduler::CancelToken;

use crate::{cli::Selection, error::CommandError, inheritance::is_ignored};

/// What the name of a package file has in it, and no release of a kernel.
const PACKAGE_NAMES: [&str; 6] = [".deb", ".rpm", ".tar", ".tgz", ".txz", ".pkg"];

/// The directory of the cache.
pub(super) fn cache_directory(settings: &Settings) -> Result<PathBuf, CommandError> {
    let directory = settings.cache.directory.clone();
    directory.ok_or(CommandError::NoCacheDirectory)
}

/// Opens the store and prepares the site of a run; time limits are in seconds.
pub(super) fn open_site(
    settings: &Settings,
    cancel: &CancelToken,
) -> Result<Arc<BuildSite>, CommandError> {
    let mut site = site(settings)?;
    site.framework = framework(&site, cancel)?;
    Ok(Arc::new(site))
}

/// The same for one who has read framework.conf.
pub(crate) fn open_site_for(
    framework: Framework,
    settings: &Settings,
) -> Result<Arc<BuildSite>, CommandError> {
    let mut site = site(settings)?;
    site.framework = framework;
    Ok(Arc::new(site))
}

fn site(settings: &Settings) -> Result<BuildSite, CommandError> {
    for program in ["bash", "make"] {
        if find_program(program).is_none() {
            return Err(CommandError::NoProgram { program });
        }
    }
    let store = Store::open(&cache_directory(settings)?)?;
    let mut fingerprints = Fingerprints::new(&store);
    let isolation = isolation(&mut fingerprints)?;
    fingerprints.close();
    drop(fingerprints);
    let mut site = BuildSite::new(store, isolation)?;
    site.shared = shared::connect(settings)?;
    #[cfg(feature = "remote")]
    if site.isolation == Isolation::Bubblewrap {
        site.engine = shared::Engine::of(settings)?;
    }
    site.conf_time_limit = settings.build.conf_timeout;
    site.job_time_limit = settings.build.timeout;
    site.allowance = settings.limits;
    Ok(site)
}

/// Asks bubblewrap once per boot and user. Only that it works is remembered in the index: what bars it may pass.
fn isolation(
    fingerprints: &mut Fingerprints<'_>,
) -> Result<Result<(), IsolationError>, CommandError> {
    let user = BuildUser::detect();
    let Ok(program) = fingerprints.file(Path::new(Isolation::PROGRAM)) else {
        return Ok(Err(IsolationError::NotInstalled));
    };
    let boot =
        kiln_durable::regular::of_system("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let state = ObjectDigest::of(&[program.to_string().as_bytes(), &boot].concat());
    let works = fingerprints.memo(&format!("bubblewrap works for {user:?}"), state, || {
        Isolation::probe(user).map(|()| Vec::new())
    });
    match works {
        Ok(_) => Ok(Ok(())),
        Err(error @ IsolationError::Failed { .. }) => Err(CommandError::Isolation(error)),
        Err(error) => Ok(Err(error)),
    }
}

/// Reads framework.conf; bash runs only if it states anything.
fn framework(site: &BuildSite, cancel: &CancelToken) -> Result<Framework, CommandError> {
    let texts = Framework::texts().map_err(ConfError::Unread);
    if texts.map_err(CommandError::Framework)?.is_none() {
        return Ok(Framework::default());
    }
    let scratch = site.scratch("framework")?;
    let layout = site.layout("framework");
    let host = KernelRelease::running().ok_or(CommandError::NoProgram { program: "uname" })?;
    let evaluation = Evaluation {
        isolation: site.isolation,
        allowance: site.allowance,
        user: site.user,
        scratch: &scratch,
        layout: &layout,
        time_limit: site.conf_time_limit,
        audited: false,
        links: Vec::new(),
    };
    let input = EvaluateInput::Framework { host: &host };
    let (answer, _) = evaluate(&input, &evaluation, cancel).judged();
    let (raw, _) = answer.map_err(|error: ConfError| CommandError::Framework(error))?;
    Ok(Framework::from_raw(&raw))
}

/// The packages that the user means; `all` takes every one, each in its newest version.
pub(super) fn packages(
    selection: &Selection,
    all: bool,
    site: &BuildSite,
) -> Result<Vec<Found>, CommandError> {
    if !all {
        if selection.packages.is_empty() {
            return Err(CommandError::NoPackages);
        }
        return Ok(find_packages(&selection.packages, site)?);
    }
    let framework = &site.framework;
    let mut newest: Vec<Found> = Vec::new();
    for found in find_all(&framework.source_tree, &framework.dkms_tree) {
        let same = newest.iter_mut().find(|other| {
            let names = (&other.registered, &found.registered);
            matches!(names, (Some(a), Some(b)) if a.name == b.name)
        });
        match same {
            None => newest.push(found),
            Some(other) => {
                let version = |f: &Found| {
                    f.registered
                        .as_ref()
                        .map(|id| id.version.to_string())
                        .unwrap_or_default()
                };
                if version::compare(&version(other), &version(&found)).is_lt() {
                    *other = found;
                }
            }
        }
    }
    Ok(newest)
}

/// The kernels that the user means: installed ones, trees, and those of header packages.
pub(super) fn kernels(
    selection: &Selection,
    all: bool,
    fingerprints: &mut Fingerprints<'_>,
) -> Result<Vec<TargetKernel>, KernelSelectionError> {
    let system = match &selection.root {
        Some(directory) => SystemRoot::at(directory)?,
        None => SystemRoot::host(),
    };
    let mut sources = Vec::new();
    let mut packages = Vec::new();
    let mut names = Vec::new();
    for name in &selection.kernels {
        let release = KernelRelease::new(name)
            .ok()
            .filter(|release| !system.is_host() && system.has_kernel(release));
        match release {
            Some(release) => sources.push(KernelSource::InRoot(release)),
            None if is_header_package(name) => packages.push(PathBuf::from(name)),
            None if name.contains('/') => sources.push(KernelSource::Tree(PathBuf::from(name))),
            None => names.push(name.clone()),
        }
    }
    if !packages.is_empty() {
        let store = KernelStore::open(fingerprints.store())?;
        let kernels = store.add(&packages, fingerprints)?;
        sources.extend(kernels.into_iter().map(KernelSource::Stored));
    }
    let mut targets = sources
        .into_iter()
        .map(|source| {
            let root = selection.root.clone();
            KernelRequest { source, root }.open()
        })
        .collect::<Result<Vec<_>, _>>()?;
    let spec = match (all, selection.kernels.is_empty(), names.is_empty()) {
        (true, ..) => Some(KernelSpec::All),
        (_, true, _) => Some(KernelSpec::Default),
        (_, _, true) => None,
        _ => Some(KernelSpec::Named(names)),
    };
    if let Some(spec) = spec {
        let trees = select_kernels(&spec)?.into_iter();
        targets.extend(trees.map(|tree| TargetKernel {
            system: system.clone(),
            ..TargetKernel::from(tree)
        }));
    }
    distinct(targets)
}

/// Whether what the user names is a file, or a folder with what packages install, but neither a
/// release nor a build tree.
fn is_header_package(name: &str) -> bool {
    let path = Path::new(name);
    let says_so = name.contains('/') || PACKAGE_NAMES.iter().any(|part| name.contains(part));
    (path.is_file() && says_so)
        || (path.join("usr/src").is_dir() && !path.join("Makefile").exists())
}

/// How long a run may take to end when it was killed.
const LAST_GRACE: Duration = Duration::from_secs(3);

/// Turns Ctrl-C and SIGTERM into a cancellation; a second one kills, and where that does not end the run, something hangs
/// that nobody waits for. What the caller has ignored stays so.
pub(crate) fn cancel_on_signals(cancel: &CancelToken) {
    use signal_hook::{consts, iterator::Signals};
    let wanted = [consts::SIGINT, consts::SIGTERM, consts::SIGHUP];
    let heard = wanted.into_iter().filter(|signal| !is_ignored(*signal));
    let Ok(mut signals) = Signals::new(heard) else {
        return;
    };
    let cancel = cancel.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if cancel.is_cancelled() {
                cancel.kill();
                std::thread::spawn(move || {
                    std::thread::sleep(LAST_GRACE);
                    signal_hook::low_level::exit(128 + signal);
                });
            } else {
                cancel.cancel();
            }
        }
    });
}
