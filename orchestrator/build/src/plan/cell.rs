//! A cell of the matrix: one package for one kernel, and what is to be done about it.

use std::{path::PathBuf, sync::Arc};

use kiln_cache::{ActionKey, ActionRecord};
use kiln_kernel::{Arch, KernelInput, KernelRelease, package::PackageId, witness::Witness};
use kiln_sandbox::Layout;

use super::{Ingredient, MissReason, PackageInput, PackageInputError};
use crate::{
    conf::{Conf, ConfError, Exclusion},
    keys::Keys,
};

/// A cell's place in [`super::Plan::cells`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellId(pub(super) usize);

impl CellId {
    /// The cell at a place.
    pub fn new(index: usize) -> Self {
        Self(index)
    }

    /// The place as a number.
    pub fn index(self) -> usize {
        self.0
    }
}

/// Why a cell cannot even become a job.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CellFault {
    /// The source cannot be used.
    #[error("{0}")]
    Source(#[source] Arc<PackageInputError>),
    /// The dkms.conf could not be evaluated.
    #[error("{0}")]
    Conf(#[source] Arc<ConfError>),
    /// The dkms.conf was evaluated and is not right.
    #[error("{cause}")]
    BadConf {
        /// Its first defect.
        cause: String,
    },
    /// The result of an evaluation in the cache is not readable.
    #[error("the cached evaluation of dkms.conf cannot be read")]
    Unreadable,
    /// A package that it depends on is nowhere to be found.
    #[error("BUILD_DEPENDS names {name}, which is not there")]
    MissingDependency {
        /// The name.
        name: String,
    },
    /// The package depends on itself.
    #[error("BUILD_DEPENDS goes in a circle: {}", path.join(" -> "))]
    Cycle {
        /// The packages of the circle.
        path: Vec<String>,
    },
    /// An input was touched while the dkms.conf was evaluated.
    #[error("{path} changed while dkms.conf was evaluated")]
    InputChanged {
        /// What was touched.
        path: PathBuf,
    },
    /// The build user cannot get at the kernel tree.
    #[error("the build user may not read {path}")]
    Unreachable {
        /// The first directory in the way.
        path: PathBuf,
    },
}

/// What a cell needs.
#[derive(Debug, Clone)]
pub enum CellPlan {
    /// Nothing: nobody asked for this pair.
    NotAsked,
    /// Nothing: a rule of whoever asked leaves this pair out.
    LeftOut {
        /// The rule, in words.
        rule: Arc<str>,
    },
    /// Nothing: the package's own conf excludes this kernel.
    Excluded(Exclusion),
    /// Nothing can be done.
    Fault(CellFault),
    /// Nothing: the outcome is in the cache.
    Hit(Arc<ActionRecord>),
    /// Nothing: it is known to fail with these inputs.
    KnownFailure(Arc<ActionRecord>),
    /// It must be built.
    Build {
        /// Why it is not in the cache.
        reason: MissReason,
    },
    /// It depends on cells that must be built first; its key follows from their outcomes.
    AfterDependencies,
    /// A cell that it depends on is excluded, failed or faulty.
    Blocked {
        /// That cell.
        by: CellId,
    },
}

/// One package for one kernel.
#[derive(Debug)]
pub struct Cell {
    /// The package, by its place in the plan.
    pub package: usize,
    /// The kernel, by its place in the plan.
    pub kernel: usize,
    /// The job, where the conf is right.
    pub spec: Option<Arc<JobSpec>>,
    /// The keys, where they are known already.
    pub keys: Option<Arc<Keys>>,
    /// What to do.
    pub plan: CellPlan,
    /// Whether its results are wanted for themselves; if not, it is here for those that
    /// depend on it, if at all.
    pub asked_for: bool,
}

/// A cell that a job depends on.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// The cell.
    pub cell: CellId,
    /// Its package's name and version.
    pub package_id: PackageId,
    /// Its package.
    pub package: Arc<PackageInput>,
    /// Where its modules would be installed: their names, each with a directory below that of the kernel.
    pub places: Vec<(String, String)>,
}

/// What came of all that a job depends on, each beside the dependency that it belongs to.
#[derive(Debug, Clone)]
pub struct DependencyRecords(Vec<(Dependency, Arc<ActionRecord>)>);

impl DependencyRecords {
    /// Each dependency with its record, in the job's order.
    pub fn iter(&self) -> impl Iterator<Item = (&Dependency, &Arc<ActionRecord>)> {
        self.0
            .iter()
            .map(|(dependency, record)| (dependency, record))
    }
}

/// Everything that running a job takes.
#[derive(Debug)]
pub struct JobSpec {
    /// Its cell.
    pub cell: CellId,
    /// The package.
    pub package: Arc<PackageInput>,
    /// The kernel.
    pub kernel: Arc<KernelInput>,
    /// What the dkms.conf says.
    pub conf: Arc<Conf>,
    /// The names of things inside the sandbox.
    pub layout: Layout,
    /// The toolbox: the build's own programs, and all else that is installed.
    pub tools: Vec<Ingredient>,
    /// Tool directories outside the system's, from a build environment.
    pub extra_tools: Vec<(PathBuf, Arc<Witness>)>,
    /// `/etc/dkms/<module>`, if it is there.
    pub overrides: Option<Arc<Witness>>,
    /// What it depends on.
    pub dependencies: Vec<Dependency>,
}

impl Cell {
    /// The key of its outcome, or the one that an outcome would most likely have.
    pub fn key(&self) -> Option<ActionKey> {
        match &self.plan {
            CellPlan::Hit(record) | CellPlan::KnownFailure(record) => Some(record.key),
            _ => self.keys.as_ref().map(|keys| keys.shown().key),
        }
    }
}

impl JobSpec {
    /// The name of its scratch directory.
    pub fn scratch_name(&self) -> String {
        scratch_name(&self.package, &self.kernel)
    }

    /// Finds what came of each dependency.
    ///
    /// # Errors
    /// Gives the first dependency of which there is no record.
    pub fn resolve(
        &self,
        mut record: impl FnMut(CellId) -> Option<Arc<ActionRecord>>,
    ) -> Result<DependencyRecords, &Dependency> {
        let found = self.dependencies.iter().map(|dependency| {
            let record = record(dependency.cell).ok_or(dependency)?;
            Ok((dependency.clone(), record))
        });
        found.collect::<Result<_, _>>().map(DependencyRecords)
    }
}

/// The name of the scratch directory of a cell's actions.
pub(super) fn scratch_name(package: &PackageInput, kernel: &KernelInput) -> String {
    scratch_name_of(&package.label, &kernel.tree.release, &kernel.tree.arch)
}

/// The name of the scratch directory of what is done for something, often a package, and a kernel.
pub fn scratch_name_of(label: &str, kernel: &KernelRelease, arch: &Arch) -> String {
    format!("{}-{kernel}-{arch}", label.replace('/', "-"))
}
