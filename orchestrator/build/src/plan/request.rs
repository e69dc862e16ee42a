//! What is asked of the planner.

use std::sync::Arc;

use kiln_cache::ActionRecord;
use kiln_kernel::{
    KernelTree, TargetKernel,
    package::{FindError, Found, find_package},
};

use super::{BuildSite, wish::Wishes};
use crate::conf::Conf;

/// What the user wants built, and how.
#[derive(Clone)]
pub struct PlanRequest<'a> {
    /// The packages that were found, and how the user named them.
    pub packages: Vec<Found>,
    /// The kernels, as [`super::distinct`] leaves them.
    pub kernels: Vec<TargetKernel>,
    /// Which pairs are wanted; all, if nobody says.
    pub wishes: Option<&'a Wishes<'a>>,
    /// Whether outcomes in the cache count.
    pub use_cache: bool,
    /// Whether known failures are tried again.
    pub retry_failed: bool,
    /// What is wanted of the shared cache.
    pub shared: SharedUse,
}

/// What a plan takes from the shared cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedUse {
    /// Outcomes with all that belongs to them: the plan is to be run.
    Take,
    /// Only whether a job's outcome is there, and which: the plan is to be shown. What evaluating a
    /// dkms.conf gave is taken nevertheless; it is small, and spares evaluating it here.
    LookUp,
}

/// Cells whose confs the caller has read, as the dkms front end does.
#[derive(Clone)]
pub struct GivenRequest {
    /// The packages, each a registered source tree.
    pub packages: Vec<Found>,
    /// The kernels.
    pub kernels: Vec<KernelTree>,
    /// What is wanted of each pair, package by package.
    pub cells: Vec<GivenCell>,
    /// Whether known failures are tried again.
    pub retry_failed: bool,
}

/// What is wanted of one package and kernel.
#[derive(Debug, Clone)]
pub enum GivenCell {
    /// Nothing.
    NotAsked,
    /// That it is built, as its conf says. Names in BUILD_DEPENDS that are not among the
    /// request's cells for this kernel are taken to be of no consequence.
    Build(Arc<Conf>),
    /// Nothing, and these are its results, for those that depend on it.
    Provided {
        /// The results.
        record: Arc<ActionRecord>,
        /// Its conf, which says where its modules are installed.
        conf: Option<Arc<Conf>>,
    },
}

/// Finds packages by how the user named them.
///
/// # Errors
/// Fails with the first name that cannot be found.
pub fn find_packages(names: &[String], site: &BuildSite) -> Result<Vec<Found>, FindError> {
    let framework = &site.framework;
    let mut found: Vec<Found> = Vec::new();
    for name in names {
        let one = find_package(name, &framework.source_tree, &framework.dkms_tree)?;
        if !found.iter().any(|other| other.source == one.source) {
            found.push(one);
        }
    }
    Ok(found)
}
