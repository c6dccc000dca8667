//! Makes Z16 depth from the room's true distances the way a stereo matcher would: no depth where only one imager sees
//! or too little texture is lit, and noise that grows with the square of the distance.

use std::sync::Arc;

use super::{
    backdrop::{Backdrop, BallDepth, Overlay, UNIT},
    noise::{self, Noise},
    optics::BASELINE_M,
    scene::Ball,
    strip,
};

/// Metres per unit of Z16.
pub(crate) const DEPTH_UNITS_M: f32 = 0.001;
/// Error of the matcher that stays from frame to frame, in pixels of disparity. With [`MOVING_PX`] it makes 1 % at 4 m
/// and 640x480; the datasheet promises 2 % or better.
const STILL_PX: f32 = 0.03;
/// Error of the matcher that changes with each frame, in pixels of disparity.
const MOVING_PX: f32 = 0.025;

/// What the options make of depth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DepthLook {
    /// Laser power, 0 (off) to 1 (greatest).
    pub(crate) laser: f32,
    /// How much texture the matcher asks for; 1 by default, more for fewer and surer points.
    pub(crate) caution: f32,
    /// Over- and underexposed pictures have less texture: 1 is well exposed, 0 black or white.
    pub(crate) contrast: f32,
}

/// Depth of one size.
pub(crate) struct DepthPicture {
    backdrop: Arc<Backdrop>,
    look: DepthLook,
    /// Still depth in units; 0 where there is none.
    still: Vec<u16>,
    /// Standard deviation of the moving noise in quarters of a unit.
    sigma: Vec<u8>,
    /// Chance in 255 that a pixel has no depth in a frame.
    flicker: Vec<u8>,
}

impl DepthPicture {
    pub(crate) fn new(backdrop: Arc<Backdrop>, look: DepthLook) -> Self {
        let mut this = Self { backdrop, look, still: Vec::new(), sigma: Vec::new(), flicker: Vec::new() };
        this.match_stereo();
        this
    }

    /// Standard deviation in millimetres at distance z for a disparity error in pixels: dz = z² / (f B) * error.
    fn error_mm(&self, z: f32, pixels: f32) -> f32 {
        z * z * 1000.0 * pixels / (self.backdrop.view.intrinsics.fx * BASELINE_M)
    }

    fn match_stereo(&mut self) {
        let (width, height) = (self.backdrop.width(), self.backdrop.height());
        let pixels = width * height;
        (self.still, self.sigma, self.flicker) = (vec![0; pixels], vec![0; pixels], vec![0; pixels]);
        let texture = self.texture();
        // Blotches as large as a matcher's window.
        let size = 7.0 * self.backdrop.view.intrinsics.fx / 393.0;
        for y in 0..height {
            for x in 0..width {
                let at = y * width + x;
                let wanted = (0.010 + 0.030 * noise::blotches(x, y, size, 1)) * self.look.caution;
                let spare = texture.at(x, y) * self.look.contrast / wanted;
                if self.backdrop.hidden[at] || spare < 1.0 {
                    continue;
                }
                let z = self.backdrop.z[at];
                let ripple = (noise::blotches(x, y, size, 2) - 0.5) * 4.0;
                let depth = z * 1000.0 + ripple * self.error_mm(z, STILL_PX);
                self.still[at] = depth.clamp(0.0, 65535.0) as u16;
                self.sigma[at] = (self.error_mm(z, MOVING_PX) * 4.0).min(255.0) as u8;
                self.flicker[at] = ((1.5 - spare).max(0.0) * 200.0) as u8;
            }
        }
    }

    /// How much the matcher finds to hold on to: dots and edges, by block of a dot's pitch.
    fn texture(&self) -> Blocks {
        let (width, height) = (self.backdrop.width(), self.backdrop.height());
        let size = ((self.backdrop.view.intrinsics.fx * 0.0185) as usize).max(4);
        let (columns, rows) = (width.div_ceil(size), height.div_ceil(size));
        let mut most = vec![0.0_f32; columns * rows];
        for y in 0..height {
            let row = &self.backdrop.light[y * width..(y + 1) * width];
            for x in 0..width {
                let side = row[(x + 2).min(width - 1)][0].abs_diff(row[x.saturating_sub(2)][0]);
                let value = f32::from(row[x][1]) * self.look.laser + f32::from(side) * 0.5;
                let block = &mut most[y / size * columns + x / size];
                *block = block.max(value / UNIT);
            }
        }
        Blocks { size, columns, rows, most }
    }

    /// Draws a frame over all of `out`.
    pub(crate) fn draw(
        &mut self,
        look: &DepthLook,
        ball: Ball,
        frame: u64,
        bits: &[bool; strip::BITS],
        out: &mut [u8],
    ) {
        if *look != self.look {
            self.look = *look;
            self.match_stereo();
        }
        let width = self.backdrop.width();
        let noise = Noise::get();
        for (y, out) in out.chunks_exact_mut(width * 2).enumerate() {
            let row = y * width..(y + 1) * width;
            let still = self.still[row.clone()].iter().zip(&self.sigma[row.clone()]).zip(&self.flicker[row]);
            let noise = noise.gauss(frame, y).iter().zip(noise.uniform(frame, y));
            for ((out, ((z, sigma), flicker)), (gauss, uniform)) in out.chunks_exact_mut(2).zip(still).zip(noise) {
                let value = noisy(*z, *sigma, *gauss);
                out.copy_from_slice(&if flicker > uniform { 0 } else { value }.to_le_bytes());
            }
        }
        self.draw_ball(ball, frame, out);
        let cell = strip::cell_size(width);
        for (bit, on) in bits.iter().enumerate() {
            let value = if *on { strip::DEPTH_ONE_MM } else { 0 }.to_le_bytes();
            for y in 0..cell {
                let at = ((bit / strip::COLUMNS * cell + y) * width + bit % strip::COLUMNS * cell) * 2;
                out[at..at + cell * 2].chunks_exact_mut(2).for_each(|pixel| pixel.copy_from_slice(&value));
            }
        }
    }

    fn draw_ball(&self, ball: Ball, frame: u64, out: &mut [u8]) {
        let width = self.backdrop.width();
        let overlay = Overlay::new(&self.backdrop, ball);
        let area = overlay.depth_area();
        if area.is_empty() {
            return;
        }
        for y in area.top..area.bottom {
            let noise = Noise::get().gauss(frame, y);
            for x in area.left..area.right {
                let value = match overlay.depth(x, y) {
                    BallDepth::Untouched => continue,
                    BallDepth::Hole => 0,
                    BallDepth::At(z) => {
                        let sigma = (self.error_mm(z, MOVING_PX) * 4.0).min(255.0) as u8;
                        noisy((z * 1000.0) as u16, sigma, noise[x])
                    }
                };
                let at = (y * width + x) * 2;
                out[at..at + 2].copy_from_slice(&value.to_le_bytes());
            }
        }
    }
}

/// A depth with noise; fits 16 bits throughout: 255 * 127 < 2^15. `gauss` has deviation 32, `sigma` counts quarters.
fn noisy(z: u16, sigma: u8, gauss: i8) -> u16 {
    z.wrapping_add_signed((i16::from(sigma) * i16::from(gauss)) >> 7)
}

struct Blocks {
    size: usize,
    columns: usize,
    rows: usize,
    most: Vec<f32>,
}

impl Blocks {
    /// The value at a pixel, blended between the blocks' middles.
    fn at(&self, x: usize, y: usize) -> f32 {
        let place = |v: usize, count: usize| {
            let v = ((v as f32 + 0.5) / self.size as f32 - 0.5).clamp(0.0, (count - 1) as f32);
            let low = v as usize;
            (low, (low + 1).min(count - 1), v - low as f32)
        };
        let ((x0, x1, fx), (y0, y1, fy)) = (place(x, self.columns), place(y, self.rows));
        let row = |y: usize| self.most[y * self.columns + x0] * (1.0 - fx) + self.most[y * self.columns + x1] * fx;
        row(y0) * (1.0 - fy) + row(y1) * fy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_the_deviation_asked_for() {
        let row = Noise::get().gauss(3, 5);
        let rms = (row.iter().map(|&n| f64::from(n).powi(2)).sum::<f64>() / row.len() as f64).sqrt();
        assert!((25.0..40.0).contains(&rms), "{rms}");
        assert_eq!(noisy(2000, 40, noise::SIGMA as i8), 2010);
        assert_eq!(noisy(0, 0, 127), 0);
    }
}
