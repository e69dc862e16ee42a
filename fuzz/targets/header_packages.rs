//! Header packages of kernels: .deb, .rpm, tar.
#![no_main]

use kiln_fuzz::with_scratch;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| with_scratch(|scratch| kiln::fuzzing::header_package(bytes, scratch)));
