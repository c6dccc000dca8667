//! The pure logic: no GStreamer, no tokio, no hyper, no clock. Functions take `now` and return effects.
//! It is a package of its own, so that the compiler keeps it so; `clippy.toml` beside it refuses the clock, threads and files.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test takes a first `Instant`; the rest is arithmetic"))]

pub mod bag;
pub mod bucket;
pub mod calendar;
pub mod error;
pub mod graph;
pub mod mailbox;
pub mod matching;
pub mod model;
pub mod options;
pub mod peer;
pub mod picture;
pub mod text;
pub mod watchdog;
pub mod wishes;
