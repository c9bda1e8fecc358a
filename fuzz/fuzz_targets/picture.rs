//! libFuzzer's way into [`fuzz::picture`]: files that say they are pictures.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::picture(data));
