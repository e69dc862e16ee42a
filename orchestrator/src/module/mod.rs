//! Kernel modules as files.

mod info;

pub use info::{ModuleError, ModuleInfo};
