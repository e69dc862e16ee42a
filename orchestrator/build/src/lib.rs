//! What it takes to build a module for a kernel, and to know that it need not be built.
//!
//! A [`plan`] says what a request comes to: which packages and kernels, what each `dkms.conf` means ([`conf`]), which
//! outcomes the cache has. [`keys`] composes what an outcome is stored under, and [`sight`] finds out what an action
//! looked at, which is a part of it. A [`job`] builds one module for one kernel in a sandbox, and [`job_run`] runs all
//! jobs of a plan; [`outcome`] is what became of them, and [`results`] puts what
//! they made where it is asked for. [`probes`] answers the questions that kbuild asks compilers, and
//! [`shared`] is the cache that machines share.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod conf;
pub mod estimates;
pub mod job;
pub mod job_run;
pub mod keys;
pub mod outcome;
pub mod plan;
pub mod probes;
pub mod results;
pub mod shared;
pub mod sight;
