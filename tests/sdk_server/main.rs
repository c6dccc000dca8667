//! The whole program with the real SDK, from outside: real HTTP, real WebRTC receivers, the SDK's software device and
//! recordings. Needs the real library; see tests/cameras/sdk.rs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod faults;
mod live;
mod misfits;
#[path = "../support/recording.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod recording;
mod recordings;
#[path = "../cameras/sdk.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod sdk;
#[path = "../support/server.rs"]
mod server;
