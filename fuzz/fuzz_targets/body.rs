//! libFuzzer's way into [`fuzz::body`]: JSON, CSV and form bodies.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::body(data));
