//! The media side in real GStreamer, watched by real WebRTC receivers over loopback.
#![allow(clippy::unwrap_used)]

mod answers;
mod basics;
mod bench;
mod decode;
mod growth;
mod inspect;
mod life;
mod metrics;
mod misuse;
mod odd_sizes;
mod pipelines;
mod size_change;
