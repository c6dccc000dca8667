//! Hands libFuzzer's inputs to `realsense_webrtc::fuzz::relay`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| realsense_webrtc::fuzz::relay(data));
