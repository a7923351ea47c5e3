#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| testbed::fuzz::frame_state(bytes));
