//! Depth as disparity and back. A stereo camera's error is even in disparity, not in depth, so the smoothing filters work
//! there: a step of one delta then means the same near and far.

/// Disparity counts in 1/32 of a pixel, as in the D400's hardware and the SDK's disparity transform.
const FRACTIONS: f32 = 32.0;

/// The relation between a stereo camera's depth and disparity: `disparity = factor / raw depth`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disparity {
    factor: f32,
}

impl Disparity {
    /// For a stereo baseline in metres, a focal length in pixels (`fx`) and metres per raw depth step. `None` where one of
    /// them is not known.
    pub fn new(baseline_m: f32, focal_px: f32, depth_units: f32) -> Option<Self> {
        let factor = baseline_m * focal_px * FRACTIONS / depth_units;
        (factor.is_normal() && factor > 0.0).then_some(Self { factor })
    }

    /// Disparities of raw depths; a hole stays 0.
    pub fn of_depth(self, depth: &[u16], disparity: &mut Vec<f32>) {
        disparity.clear();
        disparity.extend(depth.iter().map(|raw| if *raw == 0 { 0.0 } else { self.factor / f32::from(*raw) }));
    }

    /// Raw depths of disparities, rounded to the nearest; what is too far to be told is a hole.
    pub fn to_depth(self, disparity: &[f32], depth: &mut [u16]) {
        for (value, raw) in disparity.iter().zip(depth) {
            let far = self.factor / *value + 0.5;
            // Not what a cast makes of it: the nearest possible for something infinitely far.
            *raw = if value.is_normal() && far < 65_536.0 { far as u16 } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same_depth() {
        // 50 mm, 380 px, 1 mm units: one metre is 19 pixels of disparity.
        let disparity = Disparity::new(0.05, 380.0, 0.001).unwrap();
        let depth: Vec<u16> = (0..=u16::MAX).collect();
        let mut values = vec![1.0];
        disparity.of_depth(&depth, &mut values);
        assert_eq!(values[0], 0.0);
        assert!((values[1000] / 32.0 - 19.0).abs() < 1e-4, "{}", values[1000]);
        let mut back = vec![7; depth.len()];
        disparity.to_depth(&values, &mut back);
        assert_eq!(back, depth);
    }

    #[test]
    fn what_is_not_known_makes_no_factor() {
        for (baseline, focal, units) in [(0.0, 380.0, 0.001), (0.05, 0.0, 0.001), (0.05, 380.0, 0.0), (-0.05, 1.0, 1.0)]
        {
            assert_eq!(Disparity::new(baseline, focal, units), None);
        }
    }

    #[test]
    fn beyond_what_z16_can_tell_is_a_hole() {
        let disparity = Disparity::new(0.05, 380.0, 0.001).unwrap();
        let mut depth = [1; 3];
        disparity.to_depth(&[0.0, 1e-20, 9.0], &mut depth);
        assert_eq!(depth, [0, 0, 0]);
    }
}
