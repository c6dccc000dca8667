//! The pure logic: no GStreamer, no tokio, no hyper, no clock. Functions take `now` and return effects.
//! `scripts/test.sh` checks that it stays so.

pub mod geometry;
