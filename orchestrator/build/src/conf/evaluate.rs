//! Runs bash on a dkms.conf, in the sandbox, with a time limit.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use kiln_cache::ObjectDigest;
use kiln_config::Allowance;
use kiln_durable::regular;
use kiln_kernel::{
    Arch, KernelRelease, KernelTree, package::PackageId, sizes, toolbox::SystemRoot,
};
use kiln_sandbox::{
    Attention, BuildUser, Disturbance, Isolation, Layout, MemoryGauge, Scratch, Shortage, View,
    package_dir, write_uname,
};
use kiln_scheduler::{CancelToken, ProcessError, ProcessSpec, StopReason, run_process};
use rustix::fs::{Mode, OFlags};

use super::{DIRECTIVES, DumpError, FRAMEWORK_VARIABLES, Framework, RawConf};
use crate::sight::{Extent, Onlooker, OwnLink, Traced};

#[cfg(test)]
mod tests;

/// The script that runs inside.
const DRIVER: &str = include_str!("driver.sh");

/// The largest dump that is read; a conf's directives are a few kilobytes.
pub(super) const DUMP_LIMIT: u64 = 4 << 20;

/// The most that a conf may print; the head of it is kept for messages.
const OUTPUT_LIMIT: u64 = 16 << 20;
const OUTPUT_KEPT: usize = 64 << 10;

/// Why a conf could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// It ran into the time limit.
    #[error("dkms.conf did not end within {} s", limit.as_secs())]
    TimeLimit {
        /// The limit.
        limit: Duration,
    },
    /// A file of the machine's owner cannot be read.
    #[error("{0}")]
    Unread(io::Error),
    /// It printed without end.
    #[error("dkms.conf printed more than {} MiB", OUTPUT_LIMIT >> 20)]
    OutputLimit,
    /// The user stopped the run.
    #[error("interrupted")]
    Cancelled,
    /// What bash left behind cannot be used.
    #[error("dkms.conf cannot be evaluated: {problem}{}", detail(.output))]
    Dump {
        /// Why.
        problem: DumpError,
        /// The last line that bash printed.
        output: String,
    },
    /// It looked for what dkms would let it see, and the sandbox does not.
    #[error(
        "dkms.conf looks for {path}, which is there, but which it cannot see when kiln evaluates it"
    )]
    Hidden {
        /// The first such path.
        path: PathBuf,
    },
    /// A process of it was killed.
    #[error("dkms.conf was interrupted by signal {signal}")]
    Killed {
        /// The signal.
        signal: i32,
    },
    /// The machine had not enough of something.
    #[error("dkms.conf met a shortage: {0}")]
    Shortage(Shortage),
    /// The sandbox could not be set up.
    #[error("the sandbox could not be set up: {message}")]
    Sandbox {
        /// Its own words.
        message: String,
    },
    /// Bash could not be started.
    #[error("cannot start bash")]
    Process(#[from] ProcessError),
    /// The scratch directory cannot be used.
    #[error("cannot prepare {path}")]
    Scratch {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn detail(output: &str) -> String {
    match output.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!(" ({})", line.trim()),
        None => String::new(),
    }
}

/// What to evaluate.
pub enum EvaluateInput<'a> {
    /// A package's dkms.conf for one kernel.
    Package {
        /// The package's directory, readable by the build user.
        source: &'a Path,
        /// The dkms.conf, where it is not the one in `source`.
        conf: Option<&'a Path>,
        /// What the user directs, `NAME=VALUE` each: it outranks all files.
        directives: &'a [String],
        /// The name and version it is registered under.
        registered: Option<&'a PackageId>,
        /// The kernel; its build tree need not exist.
        kernel: &'a KernelTree,
        /// What the kernel consists of: paths on this machine, and paths inside.
        kernel_roots: &'a [(PathBuf, PathBuf)],
        /// The system that evaluates.
        system: &'a SystemRoot,
        /// framework.conf's `build_environment`, if there is such a file.
        build_environment: Option<&'a Path>,
        /// Other packages that it has looked for.
        neighbours: &'a BTreeSet<PathBuf>,
    },
    /// `.kernelvariables` of a kernel's build tree, for the value of `CC`.
    KernelVariables {
        /// The kernel.
        kernel: &'a KernelTree,
        /// What the kernel consists of: paths on this machine, and paths inside.
        kernel_roots: &'a [(PathBuf, PathBuf)],
        /// The system that evaluates.
        system: &'a SystemRoot,
    },
    /// framework.conf and framework.conf.d.
    Framework {
        /// What `uname` answers there.
        host: &'a KernelRelease,
    },
}

/// How to run it.
pub struct Evaluation<'a> {
    /// The isolation in use.
    pub isolation: Isolation,
    /// What bash may use up.
    pub allowance: Allowance,
    /// The user that runs it.
    pub user: BuildUser,
    /// Its own scratch directory.
    pub scratch: &'a Scratch,
    /// The names of things inside.
    pub layout: &'a Layout,
    /// How long it may take.
    pub time_limit: Duration,
    /// Whether all that it looks up is kept, for an audit.
    pub audited: bool,
    /// The links in what it is shown.
    pub links: Vec<OwnLink>,
}

/// The digest of the driver script: part of every conf key.
pub fn driver_digest() -> ObjectDigest {
    ObjectDigest::of(DRIVER.as_bytes())
}

/// The driver script, for reading the machine owner's framework.conf without a sandbox.
pub fn framework_driver() -> &'static str {
    DRIVER
}

/// How an evaluation ended.
pub struct Evaluated {
    /// Bash's answer, and what was printed on standard error.
    ///
    /// It fails if bash did not run to the end of the configuration.
    pub result: Result<(RawConf, String), ConfError>,
    /// What was looked at meanwhile; none if nobody looked on.
    pub traced: Option<Traced>,
}

impl Evaluated {
    /// The answer, unless something was looked for that dkms would have shown.
    pub fn judged(self) -> (Result<(RawConf, String), ConfError>, Option<Traced>) {
        let hidden = self
            .traced
            .as_ref()
            .and_then(|traced| traced.hidden().first());
        let result = match hidden {
            Some(path) if !matches!(self.result, Err(ConfError::Cancelled)) => {
                Err(ConfError::Hidden { path: path.clone() })
            }
            _ => self.result,
        };
        (result, self.traced)
    }
}

impl From<ConfError> for Evaluated {
    fn from(error: ConfError) -> Self {
        Self {
            result: Err(error),
            traced: None,
        }
    }
}

/// Evaluates a configuration.
pub fn evaluate(
    input: &EvaluateInput<'_>,
    run: &Evaluation<'_>,
    cancel: &CancelToken,
) -> Evaluated {
    let attention = match run.scratch.may_run_out() {
        true => Attention::All,
        false => Attention::Few,
    };
    let (command, onlooker) = match command(input, run, attention) {
        Ok(prepared) => prepared,
        Err(error) => return error.into(),
    };
    let mut result = answer(command, run, cancel);
    if attention == Attention::Few && run.scratch.may_run_out() {
        // Nobody looked at what it was refused.
        result = Err(ConfError::Shortage(Shortage::Room));
    }
    let traced = onlooker.map(|onlooker| onlooker.finish_following(&run.links));
    Evaluated { result, traced }
}

/// The command, and whoever looks on.
fn command(
    input: &EvaluateInput<'_>,
    run: &Evaluation<'_>,
    attention: Attention,
) -> Result<(Command, Option<Onlooker>), ConfError> {
    let scratch_error = |path: &Path| {
        let path = path.to_owned();
        move |source| ConfError::Scratch { path, source }
    };
    let script = run.scratch.run().join("driver.sh");
    fs::write(&script, DRIVER).map_err(scratch_error(&script))?;
    let mut view = view(input, run).map_err(scratch_error(run.scratch.path()))?;
    view.attention = attention;
    view.is_for_once = run.isolation == Isolation::Bare;
    let script_inside = run.layout.run.join("driver.sh");
    let arguments: [&OsStr; 3] = [
        OsStr::new("--norc"),
        OsStr::new("--noprofile"),
        script_inside.as_os_str(),
    ];
    let mut command = run
        .isolation
        .command(
            run.user,
            run.layout,
            &view,
            run.scratch,
            OsStr::new("/bin/bash"),
            &arguments,
        )
        .map_err(scratch_error(run.scratch.path()))?;
    let onlooker = match run.isolation {
        Isolation::Bubblewrap => {
            let extent = Extent::new(run.layout, &view, run.scratch);
            Onlooker::on(&mut command, extent.wide().audited(run.audited))
        }
        Isolation::Bare => None,
    };
    Ok((command, onlooker))
}

/// Runs the command to its end.
fn answer(
    command: Command,
    run: &Evaluation<'_>,
    cancel: &CancelToken,
) -> Result<(RawConf, String), ConfError> {
    let mut output = Vec::new();
    let mut memory = MemoryGauge::new(run.allowance.memory);
    let spec = ProcessSpec {
        time_limit: Some(run.time_limit),
        output_limit: Some(OUTPUT_LIMIT),
        watch: Some(Box::new(|process| memory.look(process))),
        grace: Duration::from_millis(200),
        ..ProcessSpec::new(command)
    };
    let exit = run_process(spec, cancel, &mut |chunk: &[u8]| {
        let room = OUTPUT_KEPT.saturating_sub(output.len());
        output.extend_from_slice(&chunk[..chunk.len().min(room)]);
    })?;
    match exit.stopped {
        Some(StopReason::TimeLimit) => {
            return Err(ConfError::TimeLimit {
                limit: run.time_limit,
            });
        }
        Some(StopReason::OutputLimit) => return Err(ConfError::OutputLimit),
        Some(MemoryGauge::EXCEEDED) => return Err(ConfError::Shortage(Shortage::AllowedMemory)),
        Some(_) => return Err(ConfError::Cancelled),
        None => {}
    }
    let output = String::from_utf8_lossy(&output).into_owned();
    let path = run.scratch.out().join("conf");
    match Disturbance::of(exit.status) {
        Some(Disturbance::Killed(signal)) => return Err(ConfError::Killed { signal }),
        Some(Disturbance::Shortage(shortage)) => return Err(ConfError::Shortage(shortage)),
        None => {}
    }
    if !run.scratch.out().join("conf.begun").exists() {
        let message = output.trim().to_owned();
        return Err(ConfError::Sandbox { message });
    }
    let dump = read_result(&path).unwrap_or_default();
    let parsed = match dump.len() as u64 >= DUMP_LIMIT {
        true => Err(DumpError::TooLarge),
        false => RawConf::parse(&dump),
    };
    match parsed {
        Ok(raw) => Ok((raw, output)),
        Err(problem) => Err(ConfError::Dump { problem, output }),
    }
}

/// Reads a file that untrusted code wrote: a regular file, not through a link, not without end.
///
/// # Errors
/// Fails if it is anything else or cannot be read.
pub fn read_result(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let fd = rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let file = fs::File::from(fd);
    if !file.metadata()?.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut content = Vec::new();
    file.take(DUMP_LIMIT).read_to_end(&mut content)?;
    Ok(content)
}

fn view(input: &EvaluateInput<'_>, run: &Evaluation<'_>) -> io::Result<View> {
    let layout = run.layout;
    let directory = match run.isolation {
        Isolation::Bubblewrap => PathBuf::from("/tmp"),
        Isolation::Bare => run.scratch.path().to_owned(),
    };
    let mut view = View::new(layout, directory, run.allowance);
    let overrides = Path::new("/etc/dkms");
    if overrides.is_dir() {
        view.show(overrides);
    }
    view.set("KILN_OUT", layout.out.join("conf"));
    view.set("HOME", "/root");
    // framework.conf is what moves them.
    let trees = match input {
        EvaluateInput::Framework { .. } => Framework::default(),
        EvaluateInput::Package { .. } | EvaluateInput::KernelVariables { .. } => Framework {
            dkms_tree: layout.dkms_tree.clone(),
            source_tree: layout.source_tree.clone(),
            install_tree: layout.install_tree.clone(),
            build_environment: None,
        },
    };
    view.set("KILN_DKMS_TREE", &trees.dkms_tree);
    view.set("KILN_SOURCE_TREE", &trees.source_tree);
    view.set("KILN_INSTALL_TREE", &trees.install_tree);
    match input {
        EvaluateInput::Framework { host } => {
            write_uname(&run.scratch.run().join("bin"), host, &Arch::host())?;
            view.set("KILN_MODE", "framework");
            view.set("KILN_NAMES", FRAMEWORK_VARIABLES.join(" "));
        }
        EvaluateInput::KernelVariables {
            kernel,
            kernel_roots,
            system,
        } => {
            show_kernel(&mut view, run, kernel, kernel_roots, system)?;
            view.set("KILN_MODE", "kernelvariables");
        }
        EvaluateInput::Package {
            source,
            conf,
            directives,
            registered,
            kernel,
            kernel_roots,
            system,
            build_environment,
            neighbours,
        } => {
            show_kernel(&mut view, run, kernel, kernel_roots, system)?;
            // Where dkms would have it, once it is known by its name.
            let inside = match (registered, run.isolation) {
                (Some(id), Isolation::Bubblewrap) => layout.package_source(id),
                _ => layout.run.join("source"),
            };
            if run.isolation == Isolation::Bubblewrap {
                fs::create_dir_all(run.scratch.run().join("source"))?;
            }
            view.show_at(source, &inside);
            // A tree that is not this evaluation's own stays as it is.
            let has_own_tree = run.isolation == Isolation::Bubblewrap
                || layout.dkms_tree.starts_with(run.scratch.path());
            if let Some(id) = registered.filter(|_| has_own_tree) {
                let package = package_dir(&run.scratch.dkms_tree(), id);
                fs::create_dir_all(&package)?;
                symlink(&inside, package.join("source"))?;
            }
            // A copy, for the build user may not be able to reach the original.
            if let Some(conf) = conf {
                let text = regular::read_at_once(conf, sizes::TEXT)?;
                fs::write(run.scratch.run().join("dkms.conf"), text)?;
                view.set("KILN_CONF", layout.run.join("dkms.conf"));
            }
            for (number, directive) in directives.iter().enumerate() {
                view.set(&format!("KILN_DIRECTIVE_{number}"), directive);
            }
            view.set("KILN_MODE", "package");
            view.set("KILN_NAMES", DIRECTIVES.join(" "));
            view.set("KILN_SOURCE", &inside);
            let (name, version) = registered
                .map(|id| (id.name.as_str(), id.version.as_str()))
                .unwrap_or_default();
            view.set("KILN_MODULE", name);
            view.set("KILN_VERSION", version);
            if let Some(path) = build_environment {
                view.set("KILN_BUILD_ENVIRONMENT", path);
                view.show(path);
            }
            let trees = [&*layout.source_tree, &*layout.dkms_tree];
            view.show_neighbours(neighbours, trees, &run.scratch.dkms_tree());
        }
    }
    Ok(view)
}

/// Shows a kernel, which need not have a build tree, and the system that builds for it, and tells its name.
fn show_kernel(
    view: &mut View,
    run: &Evaluation<'_>,
    kernel: &KernelTree,
    roots: &[(PathBuf, PathBuf)],
    system: &SystemRoot,
) -> io::Result<()> {
    view.system = system.clone();
    let KernelTree { release, arch, .. } = kernel;
    write_uname(&run.scratch.run().join("bin"), release, arch)?;
    if kernel.files.exists(&kernel.build) {
        view.show_kernel(run.layout, kernel, roots);
    }
    view.set("KILN_KERNEL", release.as_str());
    view.set("KILN_ARCH", arch.as_str());
    view.set("KILN_KERNEL_DIR", run.layout.kernel_source_dir(release));
    Ok(())
}
