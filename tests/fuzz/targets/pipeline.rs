//! Hands libFuzzer's inputs to `realsense_webrtc::fuzz::pipeline`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| realsense_webrtc::fuzz::pipeline(data));
