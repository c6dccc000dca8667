//! The temporal filter: a moving average over frames for each pixel, which begins anew where the depth jumps, and bridges
//! holes with the last value where enough of the last eight frames had one.

/// How many past frames a pixel's history covers.
const FRAMES: u32 = 8;

/// What can be filtered over time: raw depths and disparities.
pub trait Sample: Copy + Default + PartialEq {
    /// Whether two valid values are less than `delta` apart.
    fn is_near(self, other: Self, delta: f32) -> bool;
    /// The moving average.
    fn blend(self, last: Self, alpha: f32) -> Self;
}

impl Sample for u16 {
    fn is_near(self, other: Self, delta: f32) -> bool {
        self.abs_diff(other) < delta as u16
    }
    fn blend(self, last: Self, alpha: f32) -> Self {
        // Cut off, not rounded: as in the SDK.
        (alpha * f32::from(self) + (1.0 - alpha) * f32::from(last)) as u16
    }
}

impl Sample for f32 {
    fn is_near(self, other: Self, delta: f32) -> bool {
        (self - other).abs() < delta
    }
    fn blend(self, last: Self, alpha: f32) -> Self {
        alpha * self + (1.0 - alpha) * last
    }
}

/// What the filter is set to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// Weight of the new value: 0 to 1, where 1 smooths nothing.
    pub alpha: f32,
    /// A change of this many units (of depth or disparity) or more begins anew: 1 to 100.
    pub delta: f32,
    /// When a hole is bridged: 0 never, 1 to 7 with enough valid frames of the last eight, 8 always.
    pub persistency: u32,
}

impl Parameters {
    /// Whether a history, its newest frame in the highest bit, holds enough valid frames to bridge a hole.
    fn enough(&self, history: u8) -> bool {
        let valid_of_last = |frames: u32| (history >> (FRAMES - frames)).count_ones();
        match self.persistency {
            0 => false,
            1 => valid_of_last(8) >= 8,
            2 => valid_of_last(3) >= 2,
            3 => valid_of_last(4) >= 2,
            4 => valid_of_last(8) >= 2,
            5 => valid_of_last(2) >= 1,
            6 => valid_of_last(5) >= 1,
            7 => valid_of_last(8) >= 1,
            _ => true,
        }
    }
}

/// The filter with its memory of past frames. A change of size or of a parameter begins anew.
#[derive(Debug, Clone)]
pub struct Temporal<T> {
    parameters: Parameters,
    /// The running average of each pixel; the default value for none.
    last: Vec<T>,
    /// For each pixel one bit for each of the last frames; the newest frame's is `1 << phase`, and older ones follow
    /// downwards, round the end.
    history: Vec<u8>,
    phase: u32,
    /// By history, the phases in which it is enough.
    bridged: [u8; 256],
}

impl<T: Sample> Temporal<T> {
    /// With nothing remembered.
    pub fn new(parameters: Parameters) -> Self {
        let mut bridged = [0; 256];
        for (history, phases) in (0..=u8::MAX).zip(&mut bridged) {
            for phase in 0..FRAMES {
                // The bit of this phase is about to be written and counts as the oldest.
                *phases |= u8::from(parameters.enough(history.rotate_right(phase))) << phase;
            }
        }
        Self { parameters, last: Vec::new(), history: Vec::new(), phase: 0, bridged }
    }

    /// What it is set to.
    pub fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// Smooths the next frame.
    pub fn apply(&mut self, image: &mut [T]) {
        if self.last.len() != image.len() {
            self.last = vec![T::default(); image.len()];
            self.history = vec![0; image.len()];
            self.phase = 0;
        }
        let none = T::default();
        let now = 1u8 << self.phase;
        let Parameters { alpha, delta, .. } = self.parameters;
        for ((pixel, last), history) in image.iter_mut().zip(&mut self.last).zip(&mut self.history) {
            if *pixel == none {
                if *last != none && self.bridged[usize::from(*history)] & now != 0 {
                    *pixel = *last;
                }
                *history &= !now;
            } else if *last != none && pixel.is_near(*last, delta) {
                *pixel = pixel.blend(*last, alpha);
                *last = *pixel;
                *history |= now;
            } else {
                *last = *pixel;
                *history = now;
            }
        }
        self.phase = (self.phase + 1) % FRAMES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Parameters = Parameters { alpha: 0.4, delta: 20.0, persistency: 3 };

    fn run(parameters: Parameters, values: &[u16]) -> Vec<u16> {
        let mut filter = Temporal::new(parameters);
        let step = |value: &u16| {
            let mut image = [*value];
            filter.apply(&mut image);
            image[0]
        };
        values.iter().map(step).collect()
    }

    #[test]
    fn steady_depth_is_averaged_and_a_jump_begins_anew() {
        // 0.4 * 1010 + 0.6 * 1000 = 1004; 0.4 * 1010 + 0.6 * 1004 = 1006.4.
        assert_eq!(run(USUAL, &[1000, 1010, 1010, 1500, 1490]), [1000, 1004, 1006, 1500, 1496]);
        assert_eq!(run(Parameters { alpha: 1.0, ..USUAL }, &[1000, 1010, 1003]), [1000, 1010, 1003]);
    }

    #[test]
    fn holes_are_bridged_while_enough_of_the_last_frames_were_valid() {
        let flicker = [500, 500, 0, 0, 0, 0];
        let bridged = |persistency| {
            let out = run(Parameters { persistency, ..USUAL }, &flicker);
            out[2..].iter().filter(|value| **value == 500).count()
        };
        // The frame itself is the newest of those looked at only from the next one on, so a window reaches one further.
        assert_eq!([0, 2, 3, 8].map(bridged), [0, 2, 3, 4]);
        assert_eq!(bridged(1), 0);
        let steady = run(Parameters { persistency: 1, ..USUAL }, &[500, 500, 500, 500, 500, 500, 500, 500, 0, 0]);
        assert_eq!(steady[8..], [500, 0]);
        assert_eq!(run(USUAL, &[500, 0, 0]), [500, 0, 0]);
    }

    #[test]
    fn another_size_begins_anew() {
        let mut filter = Temporal::new(USUAL);
        filter.apply(&mut [1000u16; 4]);
        let mut image = [1010u16; 6];
        filter.apply(&mut image);
        assert_eq!(image, [1010; 6]);
    }

    #[test]
    fn disparities_are_not_cut_off() {
        let mut filter = Temporal::new(USUAL);
        filter.apply(&mut [100.0f32]);
        let mut image = [101.0f32];
        filter.apply(&mut image);
        assert!((image[0] - 100.4).abs() < 1e-4, "{}", image[0]);
    }
}
