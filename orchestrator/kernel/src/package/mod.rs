//! DKMS source packages: what identifies one, where one is found, and how one is unpacked.

mod archive;
mod find;
mod id;

pub use archive::{PackageArchiveError, unpack};
pub use find::{FindError, Found, PackageSource, find_all, find_package, literal_identity};
pub use id::{PackageId, PackageName, PackageVersion};
