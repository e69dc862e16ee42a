//! Kernel modules as files.

mod info;
mod signature;
mod version;

pub use info::{ModuleError, ModuleInfo};
pub use signature::{is_signed, unsigned};
pub use version::VersionInfo;
