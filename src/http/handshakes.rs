//! Connections of Socket.IO: where they are opened, and how many.

use std::time::Instant;

use crate::{
    core::bucket::Bucket,
    sync::{Mutex, lock},
};

/// Where Socket.IO listens.
pub(super) const PATH: &str = "/socket";
/// Connections that may be opened at once, and how many more each second: an unfinished one is kept for
/// `CONNECT_TIMEOUT`, so this bounds them.
const HANDSHAKE_BURST: u32 = 100;
const HANDSHAKES_PER_S: u32 = 50;

/// Bounds how many connections are opened.
pub(super) struct Handshakes(Mutex<Bucket>);

impl Handshakes {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Bucket::new(Instant::now(), HANDSHAKE_BURST, HANDSHAKES_PER_S)))
    }

    /// Whether one more may be opened now.
    pub(super) fn take(&self, now: Instant) -> bool {
        lock(&self.0).take(now)
    }
}
