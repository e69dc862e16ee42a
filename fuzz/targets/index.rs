//! What the index keeps: snapshots of trees and files, costs, the latest records.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_cache::fuzzing::index(bytes));
