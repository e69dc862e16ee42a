//! What kiln knows about kernels: their names, their build trees, their exported symbols.

mod config;
mod release;
mod roots;
mod select;
mod store;
mod symvers;
mod tree;

pub use config::KernelConfig;
pub(crate) use release::component_name;
pub use release::{Arch, InvalidName, KernelRelease, check_component};
pub use roots::external_roots;
pub(crate) use roots::{
    kernel_trees_named_by_makefile, may_be_shown, may_be_source, normalize, outside_targets,
};
pub use select::{KernelSelectionError, KernelSpec, MODULES_DIR, select_kernels};
#[cfg(feature = "fuzzing")]
pub(crate) use store::unpack_for_fuzzing;
pub use store::{
    KernelStore, KernelStoreError, StoredKernel, StoredPackage, SweepOptions, SweepReport,
};
pub use symvers::{SymbolCrcs, SymversError};
pub use tree::{KernelTree, KernelTreeError};
