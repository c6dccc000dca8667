//! How often a viewer's requests for key frames are heeded. A key frame costs every viewer of the stream quality or bandwidth,
//! so one that asks again and again is heeded less and less often. A request that comes too early is put off and not lost: not
//! every viewer asks twice, and the next regular key frame may be ten seconds away. Owns that decision for one stream of one
//! viewer; reads no clock.

/// Shortest time between two heeded requests: libwebrtc asks again after 200 ms at the soonest, and one round trip and a frame
/// must pass before a key frame can have helped.
const FIRST_WAIT_MS: u64 = 500;
/// Longest time: a viewer that cannot be helped still gets a picture now and then.
const LAST_WAIT_MS: u64 = 4_000;
/// Without a request for this long the viewer can decode, and is heeded at once again.
const CALM_MS: u64 = 10_000;

/// All that is remembered of one who asks.
#[derive(Debug, Default)]
pub struct Requests {
    /// When it last asked, and when it was last heeded.
    asked_ms: Option<u64>,
    heeded_ms: Option<u64>,
    /// How long the next request has to wait for after the one that was heeded last.
    wait_ms: u64,
    /// Whether a request was put off.
    put_off: bool,
}

impl Requests {
    /// A request comes at `now_ms`: whether it is heeded at once. Else it is put off until [`Requests::is_due`].
    pub fn ask(&mut self, now_ms: u64) -> bool {
        let calm = self.asked_ms.is_none_or(|at| now_ms.saturating_sub(at) >= CALM_MS);
        self.asked_ms = Some(now_ms);
        if calm {
            self.wait_ms = FIRST_WAIT_MS;
        } else if self.must_wait(now_ms) {
            self.put_off = true;
            return false;
        } else {
            self.wait_ms = (self.wait_ms * 2).min(LAST_WAIT_MS);
        }
        self.heed(now_ms);
        true
    }

    /// Whether a request that was put off is heeded now.
    pub fn is_due(&mut self, now_ms: u64) -> bool {
        if !self.put_off || self.must_wait(now_ms) {
            return false;
        }
        self.wait_ms = (self.wait_ms * 2).min(LAST_WAIT_MS);
        self.heed(now_ms);
        true
    }

    /// The viewer got a key frame, no matter who asked for it: what was put off is served.
    pub fn served(&mut self) {
        self.put_off = false;
    }

    fn must_wait(&self, now_ms: u64) -> bool {
        self.heeded_ms.is_some_and(|at| now_ms.saturating_sub(at) < self.wait_ms)
    }

    fn heed(&mut self, now_ms: u64) {
        self.heeded_ms = Some(now_ms);
        self.put_off = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heeded(times: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut requests = Requests::default();
        times.filter(|at| requests.ask(*at)).collect()
    }

    #[test]
    fn a_storm_is_heeded_less_and_less_often() {
        let storm = (0..15_000).step_by(2);
        assert_eq!(heeded(storm), [0, 500, 1500, 3500, 7500, 11_500]);
    }

    #[test]
    fn who_asks_now_and_then_is_heeded_at_once() {
        assert_eq!(heeded([100, 700].into_iter()), [100, 700], "half a second is enough");
        assert_eq!(heeded([0, 300, 600].into_iter()), [0, 600], "a request too early does not put the next one off");
        let calm = (0..10).map(|n| n * CALM_MS);
        assert_eq!(heeded(calm).len(), 10);
    }

    #[test]
    fn what_is_put_off_is_heeded_in_its_time_unless_a_key_frame_came() {
        let mut requests = Requests::default();
        assert!(requests.ask(0) && !requests.is_due(5000), "nothing is put off");
        let mut requests = Requests::default();
        assert!(requests.ask(0) && !requests.ask(100) && !requests.is_due(499));
        assert!(requests.is_due(500) && !requests.is_due(501), "once");
        assert!(!requests.ask(600) && !requests.is_due(1499) && requests.is_due(1500), "the wait has doubled");
        assert!(!requests.ask(1600));
        requests.served();
        assert!(!requests.is_due(60_000));
    }

    #[test]
    fn calm_makes_patient_again() {
        let storm = (0..10_000).step_by(100);
        let after = [9_900 + CALM_MS, 9_900 + CALM_MS + FIRST_WAIT_MS];
        let all = heeded(storm.chain(after));
        assert_eq!(all[all.len() - 2..], after);
    }

    proptest! {
        #[test]
        fn never_more_often_than_the_bound_and_never_shut_out(steps in prop::collection::vec(0u64..3000, 1..300)) {
            let times = steps.into_iter().scan(0, |now, step| { *now += step; Some(*now) });
            let times: Vec<_> = times.collect();
            let all = heeded(times.iter().copied());
            prop_assert!(all.windows(2).all(|two| two[1] - two[0] >= FIRST_WAIT_MS));
            // Any request that comes 4 s after the last one that was heeded is heeded.
            for at in times {
                let last = all.iter().copied().rfind(|heeded| *heeded <= at);
                prop_assert!(last.is_some_and(|last| at - last < LAST_WAIT_MS));
            }
        }
    }
}
