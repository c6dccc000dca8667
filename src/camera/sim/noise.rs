//! Precomputed noise: reading a table at a shifting place costs a fraction of making random numbers per pixel.

use std::sync::OnceLock;

use super::scene::hash;

/// Places where a row of noise can begin.
const STARTS: usize = 1 << 16;
/// Longest row, in pixels.
const ROW: usize = 1920;

/// The tables.
pub(crate) struct Noise {
    gauss: Vec<i8>,
    uniform: Vec<u8>,
}

/// One standard deviation in [`Noise::gauss`].
pub(crate) const SIGMA: i16 = 32;

impl Noise {
    /// The tables, made at first use.
    pub(crate) fn get() -> &'static Self {
        static NOISE: OnceLock<Noise> = OnceLock::new();
        NOISE.get_or_init(|| {
            let uniform: Vec<u8> = (0..(STARTS + ROW) as i32).map(|i| (hash(i, 77) % 255) as u8).collect();
            let white: Vec<f32> = (0..(STARTS + ROW + 2) as i32)
                .map(|i| {
                    // The sum of four uniform numbers is near enough to a bell curve; its variance is 4/12.
                    let sum: f32 = (0..4).map(|k| (hash(i, k) & 0xFFFF) as f32 / 65536.0).sum();
                    (sum - 2.0) * 3.0_f32.sqrt()
                })
                .collect();
            // Neighbours share some of it, as the windows of a stereo matcher overlap. 1.5 is the kernel's length.
            let gauss = white
                .windows(3)
                .map(|w| {
                    ((w[0] * 0.5 + w[1] + w[2] * 0.5) / 1.5_f32.sqrt() * f32::from(SIGMA)).clamp(-127.0, 127.0) as i8
                })
                .collect();
            Self { gauss, uniform }
        })
    }

    /// A row of bell-curve noise with standard deviation [`SIGMA`].
    pub(crate) fn gauss(&self, frame: u64, row: usize) -> &[i8] {
        &self.gauss[start(frame, row)..][..ROW]
    }

    /// A row of numbers from 0 to 254, all equally likely.
    pub(crate) fn uniform(&self, frame: u64, row: usize) -> &[u8] {
        &self.uniform[start(frame, row)..][..ROW]
    }
}

fn start(frame: u64, row: usize) -> usize {
    hash(frame as i32, row as i32) as usize % STARTS
}

/// Smooth noise over the picture, 0 to 1, with features of about `size` pixels.
pub(crate) fn blotches(x: usize, y: usize, size: f32, seed: i32) -> f32 {
    let (u, v) = (x as f32 / size, y as f32 / size);
    let (i, j) = (u as i32, v as i32);
    let (fu, fv) = (u - i as f32, v - j as f32);
    let at = |i: i32, j: i32| (hash(i + seed * 1013, j) & 0xFFFF) as f32 / 65535.0;
    let (su, sv) = (fu * fu * (3.0 - 2.0 * fu), fv * fv * (3.0 - 2.0 * fv));
    let top = at(i, j) * (1.0 - su) + at(i + 1, j) * su;
    let low = at(i, j + 1) * (1.0 - su) + at(i + 1, j + 1) * su;
    top * (1.0 - sv) + low * sv
}
