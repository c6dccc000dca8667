//! Connections of Socket.IO: where they are opened, and how many.

use crate::sync::{Mutex, lock};
use std::time::Instant;

/// Where Socket.IO listens.
pub(super) const PATH: &str = "/socket";
/// Connections that may be opened at once, and how many more each second: an unfinished one is kept for
/// `CONNECT_TIMEOUT`, so this bounds them.
const HANDSHAKE_BURST: f64 = 100.0;
const HANDSHAKES_PER_S: f64 = 50.0;

/// Bounds how many connections are opened.
pub(super) struct Handshakes {
    state: Mutex<(f64, Instant)>,
}

impl Handshakes {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new((HANDSHAKE_BURST, Instant::now())) }
    }

    /// Whether one more may be opened now.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut state = lock(&self.state);
        let (left, at) = *state;
        let left = (left + now.saturating_duration_since(at).as_secs_f64() * HANDSHAKES_PER_S).min(HANDSHAKE_BURST);
        let admitted = left >= 1.0;
        *state = (if admitted { left - 1.0 } else { left }, now);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn handshakes_are_bounded_and_come_back() {
        let handshakes = Handshakes::new();
        let start = Instant::now();
        let taken = (0..1000).filter(|_| handshakes.take(start)).count();
        assert_eq!(taken, 100);
        assert!(!handshakes.take(start + Duration::from_millis(10)));
        assert!(handshakes.take(start + Duration::from_millis(30)));
        assert!(!handshakes.take(start + Duration::from_millis(30)));
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..1000).filter(|_| handshakes.take(later)).count(), 100);
    }
}
