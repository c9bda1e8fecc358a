//! libFuzzer's way into [`fuzz::query`]: the query string.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::query(data));
