//! The pure logic: no GStreamer, no tokio, no hyper, no clock. Functions take `now` and return effects.
//! `scripts/test.sh` checks that it stays so.

pub mod calendar;
pub mod candidate;
pub mod colormap;
pub mod depth;
pub mod ended;
pub mod geometry;
pub mod graph;
pub mod plan;
pub mod profile;
pub mod recording;
pub mod sessions;
pub mod streams;
pub mod syntax;
pub mod template;
pub mod words;

#[cfg(test)]
mod streams_tests;
