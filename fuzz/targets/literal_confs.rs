//! Texts of dkms.conf, read without bash; after a NUL, a second file and a directive.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln::fuzzing::literal_conf(bytes));
