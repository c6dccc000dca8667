//! Threshold: what lies nearer or farther than wanted becomes a hole.

/// Keeps what lies between two distances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// Nearest distance kept, in metres.
    pub min_m: f32,
    /// Farthest distance kept, in metres.
    pub max_m: f32,
}

impl Threshold {
    /// Makes holes of what lies outside. `depth_units` are metres per raw step.
    pub fn apply(&self, image: &mut [u16], depth_units: f32) {
        // Metres rise with the raw value, so the kept values are one run; which one is found by the comparison in metres
        // that the SDK makes at each pixel.
        let metres = |raw: u32| depth_units * raw as f32;
        let first = partition(|raw| metres(raw) < self.min_m);
        let end = partition(|raw| metres(raw) <= self.max_m);
        for raw in image {
            let keep = (first..end).contains(&u32::from(*raw));
            *raw = if keep { *raw } else { 0 };
        }
    }
}

/// The first raw value for which `before` does not hold.
fn partition(before: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (0, u32::from(u16::MAX) + 1);
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_kept() {
        let mut image = [0, 999, 1000, 2500, 4000, 4001, 65_535];
        Threshold { min_m: 1.0, max_m: 4.0 }.apply(&mut image, 0.001);
        assert_eq!(image, [0, 0, 1000, 2500, 4000, 0, 0]);
    }

    #[test]
    fn it_is_the_comparison_in_metres_at_every_value() {
        for (units, min_m, max_m) in [(0.001, 0.1, 4.0), (0.0001, 0.3, 1.7), (0.001, 0.0, 16.0), (0.000_25, 5.0, 0.0)] {
            let mut image: Vec<u16> = (0..=u16::MAX).collect();
            Threshold { min_m, max_m }.apply(&mut image, units);
            for (raw, kept) in (0..=u16::MAX).zip(image) {
                let metres = units * f32::from(raw);
                assert_eq!(kept != 0, raw != 0 && metres >= min_m && metres <= max_m, "{raw} at {units}");
            }
        }
    }
}
