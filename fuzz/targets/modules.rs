//! Modules: ELF, .modinfo, versions of symbols, signatures.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln::fuzzing::module(bytes));
