//! When a relay that could not be reached, or was lost, is tried again. Pure: time and chance are arguments.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);
/// A connection that lasted so long was a good one: the waits begin anew.
const GOOD: Duration = Duration::from_secs(30);

/// The waits between attempts; each is twice the one before.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after a connection that lasted so long, or none. `chance` from 0 to 1 makes it up to a half shorter, so
    /// that robots that lost their relay at the same time do not come back at the same time.
    pub(super) fn next(&mut self, lasted: Duration, chance: f64) -> Duration {
        if lasted >= GOOD {
            self.failures = 0;
        }
        let wait = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        wait.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_begin_anew_after_a_good_connection() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.next(Duration::ZERO, 0.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(backoff.next(Duration::from_secs(29), 0.0).as_secs(), 30, "a relay that drops everybody at once");
        assert_eq!(backoff.next(GOOD, 0.0), FIRST);
        assert_eq!(backoff.next(Duration::ZERO, 1.0), Duration::from_secs(1), "chance halves a wait at most");
        for _ in 0..100_000 {
            assert!(backoff.next(Duration::ZERO, 0.5) <= LONGEST);
        }
    }
}
