//! What one Socket.IO client gets, and when: how many updates it asked for, and clouds only as fast as it takes them. Takes `now`;
//! reads no clock and sends nothing.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::super::cloud::{MAX_POINTS, POINT_BYTES};
use crate::model::DeviceId;

/// Most updates a second.
pub(super) const MAX_HZ: f64 = 30.0;
/// Most clouds a second.
const CLOUD_HZ: f64 = 10.0;
/// Most bytes of clouds a second for one client, all devices together.
const CLOUD_BYTES_PER_S: f64 = 4e6;
/// How many points a cloud may have at most: few kinds, so that few are made however many rates clients ask for.
const STEPS: [usize; 7] = [MAX_POINTS, 40_000, 20_000, 10_000, POLLED_POINTS, 5000, 2500];
/// Most points for a client that polls: an answer to a poll has 256 KiB at most.
const POLLED_POINTS: usize = 8000;
/// As long as more than this is on its way to a client, it has not taken the cloud before. Small updates may be on theirs; the
/// system's queue of a client that reads nothing holds 64 KB or more.
const STILL_ON_ITS_WAY: usize = 32 * 1024;
/// Sending follows the clock of the task that sends, which may be this much early.
const EARLY: Duration = Duration::from_millis(5);

/// One client's wishes, and when it got what.
#[derive(Debug)]
pub(super) struct Pace {
    hz: f64,
    clouds: bool,
    updated: BTreeMap<DeviceId, Instant>,
    clouded: BTreeMap<DeviceId, Instant>,
}

/// What a client is sent of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Share {
    /// Nothing.
    Nothing,
    /// The numbers.
    Numbers,
    /// The numbers with a cloud of at most so many points.
    Cloud(usize),
}

/// What is known of a client's connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Link {
    /// Bytes on their way that it has not acknowledged; 0 where that is not known.
    pub(super) unsent: usize,
    /// Whether it fetches events by polling.
    pub(super) polls: bool,
}

impl Default for Pace {
    /// Everything, for clients that do not say what they want.
    fn default() -> Self {
        Self { hz: MAX_HZ, clouds: true, updated: BTreeMap::new(), clouded: BTreeMap::new() }
    }
}

impl Pace {
    /// What the client wants; what it does not say stays.
    pub(super) fn wish(&mut self, hz: Option<f64>, clouds: Option<bool>) -> (f64, bool) {
        self.hz = hz.unwrap_or(self.hz).clamp(0.0, MAX_HZ);
        self.clouds = clouds.unwrap_or(self.clouds);
        (self.hz, self.clouds)
    }

    /// What the client is sent of an update about a device, where `cloud` says whether there can be one, and of how many devices
    /// there are clouds.
    pub(super) fn share(&mut self, now: Instant, device: &DeviceId, cloud: Option<usize>, link: Link) -> Share {
        if !due(&self.updated, now, device, self.hz) {
            return Share::Nothing;
        }
        let hz = self.hz.min(CLOUD_HZ);
        let cloud_due = due(&self.clouded, now, device, hz);
        let cloud = cloud.filter(|_| self.clouds);
        if link.polls && cloud.is_some() && !cloud_due {
            // The update with the cloud waits for the next poll: another in its place would be one without.
            return Share::Nothing;
        }
        self.updated.insert(device.clone(), now);
        let Some(devices) = cloud.filter(|_| cloud_due) else { return Share::Numbers };
        if !link.polls && link.unsent > STILL_ON_ITS_WAY {
            return Share::Numbers;
        }
        self.clouded.insert(device.clone(), now);
        let bytes = CLOUD_BYTES_PER_S / hz / devices.max(1) as f64;
        let most = if link.polls { POLLED_POINTS } else { MAX_POINTS };
        let points = most.min(bytes as usize / POINT_BYTES);
        Share::Cloud(STEPS.into_iter().find(|step| *step <= points).unwrap_or(points))
    }

    /// What the client is sent that is said once.
    pub(super) fn last_word(&self) -> Share {
        if self.hz > 0.0 { Share::Numbers } else { Share::Nothing }
    }

    /// Forgets the devices that are not among these.
    pub(super) fn keep(&mut self, devices: impl Fn(&DeviceId) -> bool) {
        self.updated.retain(|device, _| devices(device));
        self.clouded.retain(|device, _| devices(device));
    }
}

/// Whether the next of so many a second is due.
fn due(sent: &BTreeMap<DeviceId, Instant>, now: Instant, device: &DeviceId, hz: f64) -> bool {
    if hz <= 0.0 {
        return false;
    }
    // A rate near zero may have a period beyond what a duration holds.
    let period = Duration::try_from_secs_f64(1.0 / hz).unwrap_or(Duration::MAX);
    sent.get(device).is_none_or(|at| now.saturating_duration_since(*at).saturating_add(EARLY) >= period)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client gets of updates that come every 34 ms for ten seconds: numbers, clouds, points of the largest cloud.
    fn ten_seconds(pace: &mut Pace, cloud: Option<usize>, link: Link) -> (usize, usize, usize) {
        let (begin, device) = (Instant::now(), DeviceId::new("1"));
        let (mut numbers, mut clouds, mut most) = (0, 0, 0);
        for tick in 0..294 {
            match pace.share(begin + Duration::from_millis(tick * 34), &device, cloud, link) {
                Share::Nothing => {}
                Share::Numbers => numbers += 1,
                Share::Cloud(points) => {
                    clouds += 1;
                    most = most.max(points);
                }
            }
        }
        (numbers, clouds, most)
    }

    #[test]
    fn who_says_nothing_gets_everything() {
        assert_eq!(ten_seconds(&mut Pace::default(), None, Link::default()), (294, 0, 0));
        assert_eq!(ten_seconds(&mut Pace::default(), Some(1), Link::default()), (196, 98, 20_000));
    }

    #[test]
    fn clouds_have_at_most_four_megabytes_a_second() {
        for (hz, devices, points) in [(10.0, 1, 20_000), (3.0, 1, 60_000), (10.0, 4, 5000), (30.0, 2, 10_000)] {
            let mut pace = Pace::default();
            pace.wish(Some(hz), None);
            let (_, clouds, most) = ten_seconds(&mut pace, Some(devices), Link::default());
            assert_eq!(most, points, "{hz} a second of {devices}");
            assert!(clouds * most * POINT_BYTES * devices <= 41_000_000);
        }
        let polls = Link { polls: true, ..Link::default() };
        assert_eq!(ten_seconds(&mut Pace::default(), Some(1), polls), (0, 98, POLLED_POINTS), "each with a cloud");
        assert_eq!(ten_seconds(&mut Pace::default(), None, polls), (294, 0, 0));
    }

    #[test]
    fn who_has_not_taken_a_cloud_gets_no_other() {
        let slow = Link { unsent: STILL_ON_ITS_WAY + 1, ..Link::default() };
        let mut pace = Pace::default();
        assert_eq!(ten_seconds(&mut pace, Some(1), slow), (294, 0, 0));
    }

    #[test]
    fn a_wish_is_followed() {
        let mut pace = Pace::default();
        assert_eq!(pace.wish(None, Some(false)), (30.0, false));
        assert_eq!(ten_seconds(&mut pace, Some(1), Link::default()), (294, 0, 0));
        assert_eq!(pace.wish(Some(2.0), None), (2.0, false));
        let (numbers, ..) = ten_seconds(&mut Pace { hz: 2.0, ..Pace::default() }, None, Link::default());
        assert!((19..=20).contains(&numbers), "{numbers}");
        for none in [0.0, -1.0] {
            let mut pace = Pace::default();
            pace.wish(Some(none), Some(true));
            assert_eq!(ten_seconds(&mut pace, Some(1), Link::default()), (0, 0, 0));
            assert_eq!(pace.last_word(), Share::Nothing);
        }
        assert_eq!(pace.wish(Some(1e9), Some(true)), (30.0, true));
        let mut pace = Pace { hz: f64::MIN_POSITIVE, ..Pace::default() };
        assert_eq!(ten_seconds(&mut pace, Some(1), Link::default()), (0, 1, 60_000), "once and never again");
    }
}
