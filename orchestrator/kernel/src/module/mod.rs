//! Kernel modules as files.

mod bounded;
mod info;
mod sections;
mod signature;
mod version;

pub use info::{ModuleError, ModuleInfo};
pub use sections::{OUTSIDE, differing_sections};
pub use signature::{is_signed, unsigned};
pub use version::VersionInfo;
