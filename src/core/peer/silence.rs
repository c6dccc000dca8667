//! When a connected peer that says nothing is missed, and when it is given up, by the rhythm in which it spoke so far. The
//! server only sends, so a peer that goes is told by nothing but its silence, and receivers report in different rhythms:
//! browsers at least every 1.3 s, GStreamer's every 2 to 6 s, others every 25 s. Owns the rule; reads no clock.

use std::time::Duration;

/// A peer heard at fewer moments than this has no rhythm yet.
const RHYTHM_AFTER: u32 = 3;
/// How long a peer without a rhythm may be silent: RFC 7675, section 5.1, gives consent this long.
const NO_RHYTHM: Duration = Duration::from_secs(30);
/// Longest silence of a peer that speaks seldom.
pub const LONGEST: Duration = Duration::from_secs(60);
/// From "silent" to "gone" at least.
const GRACE: Duration = Duration::from_secs(5);
/// Reports that come sooner than this after the beginning of a moment belong to it; browsers report every 0.5 to 1.5 s. What is
/// no report says nothing of a rhythm: requests for key frames and lost packets come when there is need.
const ONE_MOMENT_MS: u64 = 500;

/// How long a peer may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Before it counts as disconnected.
    pub disconnected: Duration,
    /// Before its session ends.
    pub gone: Duration,
}

/// What is known of a peer's rhythm, and when it spoke last. Times are milliseconds on any one clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rhythm {
    heard_ms: u64,
    longest_ms: u64,
    /// When the last moment began.
    moment_ms: u64,
    moments: u32,
}

impl Rhythm {
    /// The connection is up at this time: the clock of silence starts, whether or not the peer has said anything yet.
    pub fn connected(now_ms: u64) -> Self {
        Self { heard_ms: now_ms, longest_ms: 0, moment_ms: now_ms, moments: 0 }
    }

    /// A packet came; a report of the peer's, or something else.
    pub fn heard(&mut self, now_ms: u64, is_report: bool) {
        if is_report && now_ms.saturating_sub(self.moment_ms) >= ONE_MOMENT_MS {
            self.moment_ms = now_ms;
            self.moments = self.moments.saturating_add(1);
        }
        self.longest_ms = self.longest_ms.max(now_ms.saturating_sub(self.heard_ms));
        self.heard_ms = self.heard_ms.max(now_ms);
    }

    /// When the last packet came; 0 for never.
    pub fn heard_ms(&self) -> u64 {
        self.heard_ms
    }

    /// For how long nothing has come.
    pub fn silence(&self, now_ms: u64) -> Duration {
        Duration::from_millis(now_ms.saturating_sub(self.heard_ms))
    }

    /// How long the peer may be silent now, where `peer_silence` is configured: it is disconnected after that or twice its
    /// longest interval so far, whichever is longer, and gone after twice that, but after a minute at the latest.
    pub fn patience(&self, peer_silence: Duration) -> Patience {
        let disconnected = peer_silence.max(Duration::from_millis(self.longest_ms) * 2);
        let gone = (disconnected * 2).min(LONGEST).max(peer_silence + GRACE);
        let gone = if self.moments < RHYTHM_AFTER { gone.max(NO_RHYTHM) } else { gone };
        Patience { disconnected: disconnected.min(gone - GRACE), gone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_secs(5);

    fn spoke(every_ms: u64, times: u64) -> Rhythm {
        let mut rhythm = Rhythm::connected(0);
        (1..=times).for_each(|time| rhythm.heard(time * every_ms, true));
        rhythm
    }

    fn seconds(rhythm: Rhythm, peer_silence: Duration) -> (u64, u64) {
        let Patience { disconnected, gone } = rhythm.patience(peer_silence);
        (disconnected.as_secs(), gone.as_secs())
    }

    #[test]
    fn browsers_have_five_and_ten_seconds() {
        assert_eq!(seconds(spoke(1000, 20), USUAL), (5, 10));
        assert_eq!(seconds(spoke(2500, 20), USUAL), (5, 10));
        assert_eq!(seconds(spoke(40, 100), USUAL), (5, 10), "one that speaks all the time has a rhythm, too");
    }

    #[test]
    fn who_speaks_seldom_is_waited_for() {
        assert_eq!(seconds(spoke(6000, 20), USUAL), (12, 24));
        assert_eq!(seconds(spoke(25_000, 3), USUAL), (50, 60));
        assert_eq!(seconds(spoke(40_000, 3), USUAL), (55, 60), "a minute at the latest");
    }

    #[test]
    fn who_has_no_rhythm_yet_has_half_a_minute() {
        assert_eq!(seconds(Rhythm::connected(9), USUAL), (5, 30));
        assert_eq!(seconds(spoke(1000, 2), USUAL), (5, 30));
        assert_eq!(seconds(spoke(20, 50), USUAL), (5, 30), "a burst is one moment or two");
        assert_eq!(seconds(spoke(25_000, 2), USUAL), (50, 60), "what is known already counts");
        // Requests for a key frame at the beginning, of a receiver that reports every 25 s.
        let mut burst = Rhythm::connected(0);
        (1..30).for_each(|time| burst.heard(300 * time, false));
        assert_eq!(seconds(burst, USUAL), (5, 30));
    }

    #[test]
    fn a_long_setting_is_kept() {
        assert_eq!(seconds(spoke(1000, 20), Duration::from_secs(20)), (20, 40));
        assert_eq!(seconds(spoke(1000, 20), Duration::from_secs(56)), (56, 61));
        assert_eq!(seconds(spoke(1000, 20), Duration::from_secs(300)), (300, 305));
        assert_eq!(seconds(Rhythm::connected(0), Duration::from_secs(300)), (300, 305));
    }

    #[test]
    fn silence_counts_from_what_came_last() {
        let mut rhythm = Rhythm::connected(1000);
        assert_eq!(rhythm.silence(3000), Duration::from_secs(2));
        rhythm.heard(2500, true);
        rhythm.heard(2400, false);
        assert_eq!(rhythm.silence(3000), Duration::from_millis(500));
    }

    proptest::proptest! {
        #[test]
        fn nobody_is_gone_before_being_missed(
            gaps in proptest::collection::vec(0..90_000u64, 0..20), peer_silence in 1..600u64,
        ) {
            let mut rhythm = Rhythm::connected(0);
            let mut now = 0;
            for gap in gaps {
                now += gap;
                rhythm.heard(now, gap % 2 == 0);
            }
            let peer_silence = Duration::from_secs(peer_silence);
            let Patience { disconnected, gone } = rhythm.patience(peer_silence);
            proptest::prop_assert!(disconnected >= peer_silence && gone >= disconnected + GRACE);
            proptest::prop_assert!(gone <= LONGEST.max(peer_silence + GRACE));
        }
    }
}
