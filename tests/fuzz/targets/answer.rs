//! Hands libFuzzer's inputs to `realsense_webrtc::fuzz::answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| realsense_webrtc::fuzz::answer(data));
