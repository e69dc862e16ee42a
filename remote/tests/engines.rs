//! Drives the client against real engines on the loopback: buildbox-casd and BuildGrid, as
//! `tests/provision.sh test` installs them into `corpus/engines` (or where `KILN_TEST_ENGINES` says).
//!
//! Each test has servers, ports and folders of its own and ends what it started. None looks at the clock:
//! what a server may cost is asserted on the client's own account of it.

#![allow(clippy::disallowed_methods)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may stop where it stands, and says what it measured"
)]

#[path = "engines/buildgrid.rs"]
mod buildgrid;
#[path = "engines/cache.rs"]
mod cache;
#[allow(dead_code, reason = "the tests of kiln itself do more with it")]
#[path = "engines/casd.rs"]
mod casd;
#[path = "engines/certificates.rs"]
mod certificates;
#[path = "engines/credentials.rs"]
mod credentials;
#[path = "engines/execution.rs"]
mod execution;
#[allow(dead_code, reason = "the tests of kiln itself do more with it")]
#[path = "engines/grid.rs"]
mod grid;
#[path = "engines/hostile.rs"]
mod hostile;
#[path = "engines/mounts.rs"]
mod mounts;
#[path = "engines/outages.rs"]
mod outages;
#[path = "engines/process.rs"]
mod process;
#[path = "engines/proxy.rs"]
mod proxy;
#[path = "engines/raw.rs"]
mod raw;
#[path = "engines/site.rs"]
mod site;
#[path = "engines/worker.rs"]
mod worker;
#[path = "engines/workers.rs"]
mod workers;
