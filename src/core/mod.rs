//! The pure logic: no GStreamer, no tokio, no hyper, no clock. Functions take `now` and return effects.
//! `scripts/test.sh` checks that it stays so.

pub mod bag;
pub mod calendar;
pub mod graph;
pub mod mailbox;
pub mod peer;
pub mod picture;
pub mod text;
pub mod watchdog;
pub mod wishes;
