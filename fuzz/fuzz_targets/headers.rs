//! libFuzzer's way into [`fuzz::headers`]: Accept, Prefer, Range and the profiles.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::headers(data));
