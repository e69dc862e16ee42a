//! Makes of built kernel modules what others can install and check: packages of prebuilt
//! modules, DKMS tarballs, checksums, signatures and provenance.
//!
//! Plain data in, files out. It knows neither how modules are built nor where they are kept,
//! never prints, exits or reads the environment, and what it writes is a function of its
//! arguments: the same bytes on every machine. A file is written beside its place and then
//! renamed, so that nobody reads half of one. The formats are told in `docs/publishing.md`.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod archive;
mod compression;
mod date;
mod digest;
mod error;
mod family;
mod field;
mod input;
mod key;
mod output;
mod package;
mod provenance;
mod signer;
mod sums;
mod tarball;

pub use compression::Compression;
pub use date::SourceDate;
pub use digest::{FileDigest, Sha256, digest_file};
pub use error::PublishError;
pub use family::{Capability, Family, Format, Layout};
pub use key::ModuleKey;
pub use package::{BuildId, Document, ModuleFile, ModulePackage, package_name};
pub use provenance::{Input, InputRole, Provenance, Subject};
pub use signer::{ModuleSigner, SIGNATURE_MARK, SigningTool, believed};
pub use sums::{SUMS, sums_text, write_sums};
pub use tarball::{BuildFiles, DkmsTarball, KernelBuild, TarballContent, Times};
