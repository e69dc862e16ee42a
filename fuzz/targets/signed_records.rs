//! Envelopes of records in a shared cache.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_remote::fuzzing::signed_record(bytes));
