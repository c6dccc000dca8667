//! When a device's options are read to see what changed, and what did. Takes `now`; reads no clock and no option.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How often options are read for what the camera changes by itself: auto exposure, temperatures.
const PERIOD: Duration = Duration::from_secs(1);
/// How soon after a reading the next may be: what changes is told 4 times a second at most.
const LEAST: Duration = Duration::from_millis(250);

/// The options of one open device as they were last told.
#[derive(Debug, Default)]
pub struct OptionChanges {
    /// By sensor and id.
    told: BTreeMap<usize, BTreeMap<String, f64>>,
    read_at: Option<Instant>,
    set: bool,
}

impl OptionChanges {
    /// Somebody has set an option, which may have changed others: they are read as soon as they may be.
    pub fn set(&mut self) {
        self.set = true;
    }

    /// Nobody wants to hear of changes any more, so that nothing is known of later ones.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether the options are to be read now.
    pub fn is_due(&self, now: Instant) -> bool {
        let wait = if self.set { LEAST } else { PERIOD };
        self.read_at.is_none_or(|at| now.saturating_duration_since(at) >= wait)
    }

    /// The options are being read.
    pub fn read(&mut self, now: Instant) {
        self.read_at = Some(now);
        self.set = false;
    }

    /// What of a sensor's options is other than it was. Nothing at the first reading, which everybody could have had.
    pub fn changed(&mut self, sensor: usize, values: Vec<(String, f64)>) -> BTreeMap<String, f64> {
        let values: BTreeMap<_, _> = values.into_iter().collect();
        let Some(before) = self.told.insert(sensor, values.clone()) else { return BTreeMap::new() };
        values.into_iter().filter(|(id, value)| before.get(id) != Some(value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(exposure: f64, gain: f64) -> Vec<(String, f64)> {
        vec![("exposure".into(), exposure), ("gain".into(), gain)]
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut changes = OptionChanges::default();
        assert!(changes.changed(0, values(1.0, 2.0)).is_empty(), "the first reading is no change");
        assert!(changes.changed(0, values(1.0, 2.0)).is_empty());
        assert_eq!(changes.changed(0, values(3.0, 2.0)), BTreeMap::from([("exposure".into(), 3.0)]));
        assert!(changes.changed(1, values(5.0, 6.0)).is_empty(), "another sensor");
        // An option that comes with another's value is news, one that goes is not.
        assert!(changes.changed(0, vec![("gain".into(), 2.0)]).is_empty());
        assert_eq!(changes.changed(0, values(3.0, 2.0)), BTreeMap::from([("exposure".into(), 3.0)]));
        changes.forget();
        assert!(changes.changed(0, values(9.0, 9.0)).is_empty());
    }

    #[test]
    fn options_are_read_once_a_second_and_soon_after_one_was_set() {
        let mut changes = OptionChanges::default();
        let begin = Instant::now();
        let after = |ms: u64| begin + Duration::from_millis(ms);
        assert!(changes.is_due(begin));
        changes.read(begin);
        assert!(!changes.is_due(after(999)));
        assert!(changes.is_due(after(1000)));
        changes.set();
        assert!(!changes.is_due(after(249)));
        assert!(changes.is_due(after(250)));
        changes.read(after(250));
        assert!(!changes.is_due(after(600)), "once for all that was set");
    }
}
