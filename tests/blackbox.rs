//! Drives the real `kiln` against real kernel headers, on packages that each test writes.
//!
//! Every test has a [`world::World`]: a directory with its own cache. What has to touch
//! /etc/dkms, /usr/src or /var/lib/dkms does so in a mount namespace of its own. Nothing
//! here asserts on time.

#![allow(clippy::disallowed_methods)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests are tests too"
)]

// Servers that insist on certificates and tokens are those that the client is tested on.
#[path = "blackbox/audit.rs"]
mod audit;
#[path = "blackbox/bare.rs"]
mod bare;
#[path = "blackbox/bounds.rs"]
mod bounds;
#[path = "../remote/tests/engines/buildgrid.rs"]
mod buildgrid;
#[path = "blackbox/cache.rs"]
mod cache;
#[allow(dead_code, reason = "the tests of the client do more with it")]
#[path = "../remote/tests/engines/casd.rs"]
mod casd;
#[allow(dead_code, reason = "the tests of the client do more with it")]
#[path = "../remote/tests/engines/certificates.rs"]
mod certificates;
#[path = "blackbox/conf.rs"]
mod conf;
#[path = "blackbox/conf_sight.rs"]
mod conf_sight;
#[path = "blackbox/config.rs"]
mod config;
#[path = "blackbox/confinement.rs"]
mod confinement;
#[path = "blackbox/dependencies.rs"]
mod dependencies;
#[path = "blackbox/environment.rs"]
mod environment;
#[path = "blackbox/exclusion.rs"]
mod exclusion;
#[path = "blackbox/explanation.rs"]
mod explanation;
#[path = "blackbox/failures.rs"]
mod failures;
#[path = "blackbox/farm.rs"]
mod farm;
#[path = "blackbox/farm_families.rs"]
mod farm_families;
#[path = "blackbox/farm_headers.rs"]
mod farm_headers;
#[path = "blackbox/farm_kernels.rs"]
mod farm_kernels;
#[path = "blackbox/farm_leftovers.rs"]
mod farm_leftovers;
#[path = "blackbox/farm_manifest.rs"]
mod farm_manifest;
#[path = "blackbox/farm_matrix.rs"]
mod farm_matrix;
#[path = "blackbox/farm_outputs.rs"]
mod farm_outputs;
#[path = "blackbox/farm_refusals.rs"]
mod farm_refusals;
#[allow(dead_code, reason = "the tests of the client do more with it")]
#[path = "../remote/tests/engines/grid.rs"]
mod grid;
#[path = "blackbox/header_packages.rs"]
mod header_packages;
#[path = "blackbox/hits.rs"]
mod hits;
#[path = "blackbox/in_the_way.rs"]
mod in_the_way;
#[path = "blackbox/interruption.rs"]
mod interruption;
#[path = "blackbox/jobserver.rs"]
mod jobserver;
#[path = "blackbox/kernels.rs"]
mod kernels;
#[path = "blackbox/lacks.rs"]
mod lacks;
#[path = "blackbox/machine.rs"]
mod machine;
#[path = "blackbox/makes.rs"]
mod makes;
#[path = "../remote/tests/engines/mounts.rs"]
mod mounts;
#[path = "blackbox/moved_inputs.rs"]
mod moved_inputs;
#[path = "blackbox/neighbours.rs"]
mod neighbours;
#[path = "blackbox/overrides.rs"]
mod overrides;
#[path = "blackbox/packages.rs"]
mod packages;
#[path = "blackbox/probes.rs"]
mod probes;
#[path = "../remote/tests/engines/process.rs"]
mod process;
#[path = "blackbox/rebuild.rs"]
mod rebuild;
#[path = "blackbox/refusals.rs"]
mod refusals;
#[path = "blackbox/remote_execution.rs"]
mod remote_execution;
#[path = "blackbox/remote_grid.rs"]
mod remote_grid;
#[path = "blackbox/remote_roots.rs"]
mod remote_roots;
#[path = "blackbox/remote_troubles.rs"]
mod remote_troubles;
#[path = "blackbox/report.rs"]
mod report;
#[path = "blackbox/results.rs"]
mod results;
#[path = "blackbox/run.rs"]
mod run;
#[path = "blackbox/shared_cache.rs"]
mod shared_cache;
#[path = "blackbox/shared_credentials.rs"]
mod shared_credentials;
#[path = "blackbox/shared_hostile.rs"]
mod shared_hostile;
#[path = "blackbox/shared_troubles.rs"]
mod shared_troubles;
#[path = "blackbox/sight.rs"]
mod sight;
#[path = "blackbox/stored_kernels.rs"]
mod stored_kernels;
#[path = "blackbox/terminal.rs"]
mod terminal;
#[path = "blackbox/toolchain_roots.rs"]
mod toolchain_roots;
#[path = "blackbox/trust_anchors.rs"]
mod trust_anchors;
#[path = "blackbox/users.rs"]
mod users;
#[path = "blackbox/watch.rs"]
mod watch;
#[path = "../remote/tests/engines/worker.rs"]
mod worker;
#[path = "blackbox/world.rs"]
mod world;
