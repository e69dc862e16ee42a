//! Kernels from their header packages.
//!
//! Each package is unpacked once into a directory of its own, named by the digest of the package
//! file; a kernel is a stack of such directories, so that several kernels share what they have in
//! common. docs/kernels.md has the whole of it.

mod error;
mod stored;

pub use error::KernelStoreError;
pub use stored::{StoredKernel, StoredPackage};
