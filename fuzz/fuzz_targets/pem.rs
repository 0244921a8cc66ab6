//! See `tests/fuzz/targets.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seaworthy_fuzz::targets::pem(data));
