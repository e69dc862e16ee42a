//! Files of settings.
#![no_main]

use kiln_fuzz::with_scratch;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| with_scratch(|scratch| kiln::fuzzing::settings(bytes, scratch)));
