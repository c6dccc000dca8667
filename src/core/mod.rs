//! The pure logic: no GStreamer, no tokio, no hyper, no clock. Functions take `now` and return effects.
//! `scripts/test.sh` checks that it stays so.

pub mod arrivals;
pub mod bag;
pub mod calendar;
pub mod candidate;
pub mod colormap;
pub mod depth;
pub mod ended;
pub mod fingerprint;
pub mod geometry;
pub mod graph;
pub mod h264;
pub mod key_frames;
pub mod mailbox;
pub mod picture;
pub mod plan;
pub mod presence;
pub mod profile;
pub mod recording;
pub mod room;
pub mod rtcp;
pub mod sessions;
pub mod silence;
pub mod streams;
pub mod syntax;
pub mod template;
pub mod trouble;
pub mod watchdog;
pub mod words;

#[cfg(test)]
mod streams_tests;
