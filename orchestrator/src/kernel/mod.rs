//! What kiln knows about kernels: their names, their build trees, their exported symbols.

mod config;
mod release;
mod roots;
mod select;
mod symvers;
mod tree;

pub use config::KernelConfig;
pub(crate) use release::component_name;
pub use release::{Arch, InvalidName, KernelRelease, check_component};
pub use roots::external_roots;
pub use select::{KernelSelectionError, KernelSpec, select_kernels};
pub use symvers::{SymbolCrcs, SymversError};
pub use tree::{KernelTree, KernelTreeError};
