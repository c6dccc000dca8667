//! `realsense-webrtc probe`: WebRTC receivers without a browser that check a running server.

pub mod assemble;
pub mod receiver;
