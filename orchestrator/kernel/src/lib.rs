//! What is on disk for out-of-tree modules to be built from: kernels, packages, compilers, and what comes of them.
//!
//! A [`KernelSpec`] selects kernels, a [`KernelTree`] is one that was found, and a [`KernelInput`] is one whose files have
//! digests. The same way leads from a [`package`] to its files, and to the [`toolbox`] that builds. [`fingerprints`]
//! takes the digests, and a [`witness`] tells afterwards whether they still hold. Built [`module`]s are read here, too.
//!
//! Nothing here runs anything or knows what a build is.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod config;
pub mod fingerprints;
mod input;
pub mod layers;
pub mod memo;
pub mod module;
pub mod package;
mod release;
mod roots;
mod select;
pub mod sizes;
mod store;
mod symvers;
mod target;
pub mod toolbox;
mod tree;
pub mod version;
pub mod witness;

pub use config::KernelConfig;
pub(crate) use input::parts_referred_to;
pub use input::{KERNEL_VARIABLES, KernelInput, KernelRoot};
pub(crate) use release::component_name;
pub use release::{Arch, InvalidName, KernelRelease, check_component};
pub use roots::external_roots;
pub(crate) use roots::{
    kernel_trees_named_by_makefile, may_be_shown, may_be_source, normalize, outside_targets,
};
pub use select::{KernelSelectionError, KernelSpec, MODULES_DIR, select_kernels};
#[cfg(feature = "fuzzing")]
pub use store::unpack_for_fuzzing;
pub use store::{
    KernelStore, KernelStoreError, StoredKernel, StoredPackage, SweepOptions, SweepReport,
};
pub use symvers::{SymbolCrcs, SymversError};
pub use target::{KernelRequest, KernelSource, TargetKernel, distinct};
pub use tree::{KernelTree, KernelTreeError};
