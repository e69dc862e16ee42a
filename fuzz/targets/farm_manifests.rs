//! Manifests of farms.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln::fuzzing::farm_manifest(bytes));
