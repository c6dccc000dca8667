//! A token bucket: how many of something may happen at once, and how many more each second. Takes `now`; reads no clock.

use std::time::Instant;

/// The bucket.
#[derive(Debug)]
pub struct Bucket {
    burst: f64,
    per_s: f64,
    left: f64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub fn new(now: Instant, burst: u32, per_s: u32) -> Self {
        let burst = f64::from(burst);
        Self { burst, per_s: f64::from(per_s), left: burst, at: now }
    }

    /// Whether one more may happen now; then it counts.
    pub fn take(&mut self, now: Instant) -> bool {
        let came = now.saturating_duration_since(self.at).as_secs_f64() * self.per_s;
        (self.left, self.at) = ((self.left + came).min(self.burst), self.at.max(now));
        let taken = self.left >= 1.0;
        if taken {
            self.left -= 1.0;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_may_happen_is_bounded_and_comes_back() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start, 100, 50);
        let mut taken = |now, tries| (0..tries).filter(|_| bucket.take(now)).count();
        assert_eq!(taken(start, 1000), 100);
        assert_eq!(taken(start + Duration::from_millis(10), 1), 0);
        assert_eq!(taken(start + Duration::from_millis(30), 2), 1);
        assert_eq!(taken(start, 1), 0, "an earlier time gives nothing");
        assert_eq!(taken(start + Duration::from_secs(3600), 1000), 100);
    }
}
