//! The objects of trees.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_cache::fuzzing::manifest(bytes));
