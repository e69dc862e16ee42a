//! Questions of jobs to a compiler, and what compilers say.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln::fuzzing::probe(bytes));
