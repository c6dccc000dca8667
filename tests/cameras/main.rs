//! Cameras without the rest of the server: one suite for the simulator and the SDK's software device, and what only the SDK
//! has. Needs the real library; scripts/test.sh fetches it and runs this with each version that is supported.
#![allow(clippy::unwrap_used)]

mod bench;
mod foreign;
mod playback;
mod recorded;
mod recordings;
mod sdk;
mod suite;
