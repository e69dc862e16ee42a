//! Directories that a remote action made, and results of actions.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_remote::fuzzing::output_tree(bytes));
