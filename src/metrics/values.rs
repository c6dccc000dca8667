//! The values behind the metrics: counters, gauges and histograms of relaxed atomics. Owns no name and no label; never
//! locks, so that any thread may count at any time.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// What was counted.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// One less.
    pub fn dec(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// Now it is `value`.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// What it is.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// How often a value fell below each of a few bounds, and the sum of all values.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound and one for what lies above the last; not cumulative.
    buckets: Box<[AtomicU64]>,
    /// In millionths: an atomic holds no fraction.
    sum_millionths: AtomicU64,
}

impl Histogram {
    /// An empty one over these upper bounds, in rising order.
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, sum_millionths: AtomicU64::new(0) }
    }

    /// Takes a value. Negative ones and what is no number cannot be and are left out.
    pub fn observe(&self, value: f64) {
        if !value.is_finite() || value < 0.0 {
            return;
        }
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above; `as` saturates")]
        self.sum_millionths.fetch_add((value * 1e6).round() as u64, Relaxed);
    }

    /// Takes a time.
    pub fn observe_time(&self, time: Duration) {
        self.observe(time.as_secs_f64());
    }

    /// Sum of the values, count, and the count in each bucket by its upper bound. The count is that of the buckets, so that
    /// what is shown agrees with itself while others count on.
    pub(super) fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(self.buckets.iter().map(|bucket| bucket.load(Relaxed))).collect();
        #[expect(clippy::cast_precision_loss, reason = "2^53 millionths of a second are 285 years")]
        let sum = self.sum_millionths.load(Relaxed) as f64 / 1e6;
        (sum, buckets.iter().map(|(_, count)| count).sum(), buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_sorts_values_by_their_upper_bound() {
        let histogram = Histogram::new(&[0.001, 0.01, 0.1]);
        for value in [0.0005, 0.001, 0.05, 7.0, f64::NAN, -1.0] {
            histogram.observe(value);
        }
        let (sum, count, buckets) = histogram.read();
        assert_eq!(count, 4, "neither what is no number nor what is below zero counts");
        assert_eq!(buckets, [(0.001, 2), (0.01, 0), (0.1, 1), (f64::INFINITY, 1)]);
        assert!((sum - 7.0515).abs() < 1e-6, "{sum}");
    }
}
