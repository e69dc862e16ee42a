//! The `dkms` front end: dkms 3.4.3's command line, tree and messages on top of kiln's
//! plan, jobs and cache.

mod compression;
mod console;
mod signing;
mod transaction;
