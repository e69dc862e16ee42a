//! One run of a dkms command: what was said, what the machine is like, and what has been
//! found out so far.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashMap, HashSet},
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use kiln_build::{
    conf::{Framework, evaluate_literal},
    plan::BuildSite,
};
use kiln_config::{Configuration, Problem, Settings};
use kiln_durable::regular;
use kiln_install::{PackageLock, Transaction};
use kiln_kernel::{
    KernelRelease, KernelTree,
    package::PackageId,
    sizes,
    toolbox::{Distribution, SystemRoot},
};
use kiln_sandbox::Layout;
use kiln_scheduler::CancelToken;

use super::{
    arguments::{Action, Arguments},
    builds::Builds,
    confs::{Confs, LastRead},
    console::{Console, Died},
    framework::{GENERAL, Variables, unread},
    signing::Signing,
    suffix::Suffix,
    target::Target,
    tree::Tree,
    trust::Trust,
};

/// One run.
pub(crate) struct Session {
    pub(crate) console: Console,
    pub(crate) arguments: Arguments,
    pub(crate) variables: Variables,
    pub(crate) distribution: Distribution,
    pub(crate) tree: Tree,
    /// Where kernels are installed, `/lib/modules`.
    pub(crate) install_tree: PathBuf,
    /// The directory for all modules, if the machine's owner names one.
    pub(crate) addon_modules_dir: String,
    /// The kernels of the command, each with its architecture.
    pub(crate) targets: Vec<Target>,
    /// `--force`, or a reason as good.
    pub(crate) force: bool,
    /// `--force-version-override`, or a reason as good.
    pub(crate) version_override: bool,
    /// What framework.conf's `build_environment` exports, or why that cannot be told.
    pub(crate) build_environment: OnceCell<Result<Vec<(String, String)>, String>>,
    /// How many processes make may run, as make is told.
    pub(crate) jobs: String,
    pub(crate) last_read: LastRead,
    pub(crate) confs: Confs,
    pub(crate) override_names: OnceCell<Vec<String>>,
    pub(crate) builds: Builds,
    /// How modules are signed for the kernel that was prepared last.
    pub(crate) prepared: Option<(Target, Signing)>,
    /// Changes to a kernel's modules that wait to be made, all at once.
    pub(crate) transaction: Option<(Target, Transaction)>,
    pub(crate) depmod: super::depmod::When,
    /// depmod has found that the kernel has no modules any more.
    pub(crate) kernel_is_bare: bool,
    pub(crate) locks: BTreeMap<PackageId, PackageLock>,
    /// What was rebuilt for a changed dependency.
    pub(crate) rebuilt: HashSet<(PackageId, Target)>,
    pub(crate) cancel: CancelToken,
    pub(crate) watches_signals: bool,
    suffixes: HashMap<KernelRelease, Suffix>,
    /// kiln's own settings, without those that are wrong.
    pub(crate) settings: Settings,
    /// What is wrong with them, until it has been said.
    mistakes: Vec<Problem>,
    pub(crate) trust: Trust,
    site: Option<Result<Arc<BuildSite>, String>>,
}

/// What a shell's subprocess would not hand back to its parent.
pub(crate) struct Subshell {
    last_read: LastRead,
    prepared: Option<(Target, Signing)>,
    force: bool,
    version_override: bool,
}

impl Session {
    /// Reads the configuration and the command line, and finds the kernels.
    ///
    /// # Errors
    /// Ends for what cannot be done, with dkms's status.
    pub(crate) fn start(program: &str, words: Vec<String>) -> Result<Self, Died> {
        let mut console = Console::new();
        let distribution = Distribution::of(&SystemRoot::host())
            .ok_or_else(|| console.die(4, &["System is missing os-release file."]))?;
        let mut variables = Variables::initial();
        let addon_modules_dir = addon_modules_dir();
        let (settings, mistakes) = Configuration::of_machine().into_cautious_settings();
        let mut trust = Trust::new(settings.dkms.strict.clone());
        // Before bash reads any of it.
        trust.judge_settings(&mut console)?;
        variables
            .read(GENERAL, &[])
            .map_err(|error| console.die(1, &[&unread(&error)]))?;
        check_temporary_files(&variables, &mut console)?;
        let arguments = Arguments::parse(program, words, &mut console)?;
        for (name, value) in [
            ("dkms_tree", &arguments.dkms_tree),
            ("source_tree", &arguments.source_tree),
            ("install_tree", &arguments.install_tree),
        ] {
            if let Some(value) = value {
                variables.set(name, value.display().to_string());
            }
        }
        for (name, said) in [
            ("verbose", arguments.verbose),
            ("symlink_modules", arguments.symlink_modules),
            ("modprobe_on_install", arguments.modprobe_on_install),
        ] {
            if said {
                variables.set(name, "true");
            }
        }
        if let Some(jobs) = &arguments.jobs {
            variables.set("parallel_jobs", jobs);
        }
        let jobs = match variables.value("parallel_jobs") {
            "" => settings.build.jobs_or_cores().to_string(),
            "0" => String::new(),
            jobs => jobs.to_owned(),
        };
        let mut session = Self {
            tree: Tree::new(
                variables.value("dkms_tree").into(),
                variables.value("source_tree").into(),
            ),
            install_tree: variables.value("install_tree").into(),
            force: arguments.force,
            version_override: arguments.force_version_override,
            depmod: if arguments.no_depmod {
                super::depmod::When::Never
            } else {
                super::depmod::When::Now
            },
            console,
            arguments,
            variables,
            distribution,
            addon_modules_dir,
            targets: Vec::new(),
            jobs,
            last_read: None,
            confs: Confs::default(),
            override_names: OnceCell::new(),
            build_environment: OnceCell::new(),
            builds: Builds::default(),
            prepared: None,
            transaction: None,
            kernel_is_bare: false,
            locks: BTreeMap::new(),
            rebuilt: HashSet::new(),
            cancel: CancelToken::new(),
            watches_signals: false,
            suffixes: HashMap::new(),
            settings,
            mistakes,
            trust,
            site: None,
        };
        if matches!(
            session.arguments.action,
            Some(Action::KernelPreinst | Action::KernelPostinst | Action::KernelPrerm)
        ) {
            session.one_kernel_said()?;
        }
        if session.arguments.action != Some(Action::Status) {
            session.targets = session.find_targets()?;
            session.judge_trees()?;
        }
        Ok(session)
    }

    /// Whether programs' own words are shown.
    pub(crate) fn is_verbose(&self) -> bool {
        !self.variables.value("verbose").is_empty()
    }

    /// Does something as in a subprocess of a shell: what it learns and changes is forgotten.
    pub(crate) fn subshell<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let saved = Subshell {
            last_read: self.last_read.clone(),
            prepared: self.prepared.clone(),
            force: self.force,
            version_override: self.version_override,
        };
        let result = work(self);
        self.last_read = saved.last_read;
        self.prepared = saved.prepared;
        self.force = saved.force;
        self.version_override = saved.version_override;
        result
    }

    /// The kernel's build tree, as dkms names it.
    pub(crate) fn kernel_source_dir(&self, target: &Target) -> PathBuf {
        self.arguments
            .build_tree(&self.install_tree, &target.kernel)
    }

    /// The file with the kernel's configuration.
    pub(crate) fn kernel_config_path(&self, target: &Target) -> PathBuf {
        self.arguments
            .config_file(&self.install_tree, &target.kernel)
    }

    /// The kernel's directory of modules.
    pub(crate) fn kernel_directory(&self, target: &Target) -> PathBuf {
        self.install_tree.join(target.kernel.as_str())
    }

    /// The kernel's build tree, if modules can be built against it.
    pub(crate) fn kernel_tree(&self, target: &Target) -> Option<KernelTree> {
        let tree = match &self.arguments.kernel_source_dir {
            Some(directory) => KernelTree::at(directory),
            None => KernelTree::installed(&self.install_tree, &target.kernel),
        };
        Some(tree.ok()?.called(&target.kernel, &target.arch))
    }

    /// The ending of the kernel's modules.
    pub(crate) fn suffix(&mut self, target: &Target) -> Suffix {
        let directory = self.kernel_directory(target);
        *self
            .suffixes
            .entry(target.kernel.clone())
            .or_insert_with(|| Suffix::of_kernel(&directory))
    }

    /// The names of things where builds take place.
    pub(crate) fn layout(&self) -> Layout {
        Layout {
            dkms_tree: self.tree.root.clone(),
            source_tree: self.tree.sources.clone(),
            install_tree: self.install_tree.clone(),
            run: PathBuf::from("/run/kiln"),
            out: PathBuf::from("/run/kiln/out"),
        }
    }

    /// The place where actions run, opened at first need; none if there can be none.
    pub(crate) fn site(&mut self) -> Option<Arc<BuildSite>> {
        if self.site.is_none() {
            let build_environment = self.variables.value("build_environment");
            let framework = Framework {
                dkms_tree: self.tree.root.clone(),
                source_tree: self.tree.sources.clone(),
                install_tree: self.install_tree.clone(),
                build_environment: Some(PathBuf::from(build_environment)).filter(|p| p.is_file()),
            };
            self.complain_about_settings();
            let site = crate::commands::open_site_for(framework, &self.settings);
            self.site = Some(site.map_err(|error| {
                let words = crate::report::chain(&error);
                self.console
                    .warn(&[&format!("nothing can be built: {words}")]);
                words
            }));
        }
        self.site.clone()?.ok()
    }

    /// Why a build that was asked for was not begun.
    pub(crate) fn why_not_built(&self) -> String {
        match &self.site {
            Some(Err(words)) => words.clone(),
            _ => "the kernel's headers cannot be used".to_owned(),
        }
    }
}

impl Session {
    /// Says what is wrong with kiln's own settings. It is no reason to leave a kernel without
    /// its modules: builds go on without what is wrong.
    fn complain_about_settings(&mut self) {
        if cfg!(not(feature = "remote")) {
            for setting in self.settings.servers() {
                self.console.warn(&[&crate::report::no_remote(setting)]);
            }
        }
        let mistakes = std::mem::take(&mut self.mistakes);
        if mistakes.is_empty() {
            return;
        }
        let mut lines: Vec<String> = mistakes
            .iter()
            .map(|mistake| crate::report::chain(mistake))
            .collect();
        lines.push("Building without these settings, and without any remote cache.".to_owned());
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        self.console.warn(&lines);
    }
}

/// The settings of module-init-tools.
pub(crate) const ADDON_SETTINGS: &str = "/etc/sysconfig/module-init-tools";

/// `ADDON_MODULES_DIR`, from the environment or from module-init-tools' settings.
fn addon_modules_dir() -> String {
    const NAME: &str = "ADDON_MODULES_DIR";
    if let Ok(value) = env::var(NAME)
        && !value.is_empty()
    {
        return value;
    }
    let Ok(text) = regular::read_at_once(Path::new(ADDON_SETTINGS), sizes::TEXT) else {
        return String::new();
    };
    evaluate_literal(&[&text], &[NAME], &[], &[])
        .and_then(|raw| raw.scalar(NAME).map(str::to_owned))
        .unwrap_or_default()
}

fn check_temporary_files(variables: &Variables, console: &mut Console) -> Result<(), Died> {
    let directory = env::var_os("TMPDIR").unwrap_or_else(|| "/tmp".into());
    if tempfile::Builder::new().tempfile_in(&directory).is_ok() {
        return Ok(());
    }
    let location = variables.value("tmp_location").to_owned();
    let died = console.die(1, &["Unable to make temporary file."]);
    console.warn(&[&format!(
        "dkms will not function properly without some free space in $TMPDIR ({location})."
    )]);
    Err(died)
}
