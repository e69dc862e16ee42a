//! Paths that a job looked at, and ld.so.cache.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln::fuzzing::trace(bytes));
