//! What the driver of a dkms.conf prints.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln::fuzzing::conf_dump(bytes));
