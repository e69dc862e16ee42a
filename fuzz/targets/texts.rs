//! Module.symvers, a kernel's configuration, the log of a build.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln::fuzzing::texts(bytes));
