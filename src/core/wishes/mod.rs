//! Who wants what, what runs, and when it ends: sessions, streams, recordings, and whether there is room for more.

pub mod ended;
pub mod plan;
pub mod presence;
pub mod profile;
pub mod recording;
pub mod room;
pub mod sessions;
pub mod streams;
pub mod trouble;

#[cfg(test)]
mod streams_tests;
