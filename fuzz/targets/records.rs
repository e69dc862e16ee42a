//! Records of the store, also those that come from elsewhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_cache::fuzzing::record(bytes));
