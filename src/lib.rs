//! Gets an Intel RealSense depth camera into many browsers at once: each stream is encoded once with GStreamer and
//! fanned out to every WebRTC session. `main.rs` is the program; everything it does lives here.

pub use realsense_webrtc_core::{self as core, error, model};

pub mod app;
pub mod camera;
pub mod cli;
pub mod config;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod healthcheck;
pub mod http;
pub mod librealsense;
pub mod logging;
pub mod media;
pub mod metrics;
pub mod pipeline_cli;
pub mod probe;
pub mod process;
pub mod relay;
pub mod session;
pub(crate) mod srtp;
pub(crate) mod sync;
pub(crate) mod work;
