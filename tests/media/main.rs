//! The media side in real GStreamer, watched by real WebRTC receivers over loopback.
#![allow(clippy::unwrap_used)]

mod basics;
mod bench;
