//! libFuzzer's way into [`fuzz::answer`]: what models say.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::answer(data));
