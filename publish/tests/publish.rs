//! Publishes real modules, and has the tools that people use judge what comes out: dpkg, rpm,
//! dkms, sha256sum, sign-file, openssl, and validators of in-toto and SPDX.
//!
//! `make test` provides them. What is installed is installed on a throw-away copy of this
//! machine, where the tests of kiln's own packages do it too.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/packages/machine.rs"]
mod machine;
#[path = "publish/made.rs"]
mod made;

#[path = "publish/deb.rs"]
mod deb;
#[path = "publish/large.rs"]
mod large;
#[path = "publish/provenance.rs"]
mod provenance;
#[path = "publish/refusals.rs"]
mod refusals;
#[path = "publish/rpm.rs"]
mod rpm;
#[path = "publish/signing.rs"]
mod signing;
#[path = "publish/sums.rs"]
mod sums;
#[path = "publish/tarball.rs"]
mod tarball;
