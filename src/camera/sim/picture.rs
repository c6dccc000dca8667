//! Makes colour and infrared pictures from light: exposure, gain, white balance and the rest act here.
//! Owns a finished copy of the still room per stream, so that a frame costs one copy plus the ball's surroundings.

use std::sync::Arc;

use super::{
    backdrop::{Area, Backdrop, Overlay, Sample},
    scene::Ball,
    strip,
};
use crate::model::PixelFormat;

/// What the options make of colour. The defaults of the device are this type's default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ColorLook {
    /// Exposure and gain together; 1 is what auto exposure finds.
    pub(crate) exposure: f32,
    /// Gain of red, green and blue by white balance.
    pub(crate) white: [f32; 3],
    /// Exponent from light to signal.
    pub(crate) gamma: f32,
    /// Added to the signal, -1 to 1.
    pub(crate) brightness: f32,
    /// 1 is neutral.
    pub(crate) contrast: f32,
    /// 1 is neutral.
    pub(crate) saturation: f32,
    /// Radians.
    pub(crate) hue: f32,
}

/// What the options make of infrared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct InfraredLook {
    /// Exposure and gain together; 1 is what auto exposure finds.
    pub(crate) exposure: f32,
    /// Laser power, 0 (off) to 1 (greatest).
    pub(crate) laser: f32,
}

/// Signal for light: 1024 steps to 1.0 ([`UNIT`] >> 4), up to 4.0.
const LUT: usize = 4096;

struct ColorTone {
    rgb: [Vec<u8>; 3],
    luma: [u8; 256],
    /// Chroma rotation and scale, 8 bits of fraction: (cos, sin) * saturation.
    chroma: (i32, i32),
}

impl ColorTone {
    fn new(look: &ColorLook) -> Self {
        let rgb = look.white.map(|white| {
            let signal = |i: usize| (i as f32 / 1024.0 * look.exposure * white * 1.05).powf(look.gamma);
            (0..LUT).map(|i| (soft_clip(signal(i)) * 255.0) as u8).collect()
        });
        let mut luma = [0; 256];
        for (i, out) in luma.iter_mut().enumerate() {
            let value = (i as f32 / 255.0 - 0.5) * look.contrast + 0.5 + look.brightness;
            *out = (value.clamp(0.0, 1.0) * 255.0) as u8;
        }
        let scaled = |v: f32| (v * look.saturation * 256.0) as i32;
        Self { rgb, luma, chroma: (scaled(look.hue.cos()), scaled(look.hue.sin())) }
    }

    /// Full-range Y, Cb, Cr (BT.601), chroma around 0.
    fn ycc(&self, s: Sample) -> (i32, i32, i32) {
        let value = |i: usize| i32::from(self.rgb[i][usize::from(s[i] >> 4)]);
        let (r, g, b) = (value(0), value(1), value(2));
        let y = (77 * r + 150 * g + 29 * b) >> 8;
        let (cb, cr) = (((b - y) * 144) >> 8, ((r - y) * 183) >> 8);
        let (cos, sin) = self.chroma;
        (i32::from(self.luma[y as usize]), (cb * cos - cr * sin) >> 8, (cb * sin + cr * cos) >> 8)
    }
}

/// Keeps highlights from clipping hard.
fn soft_clip(v: f32) -> f32 {
    if v < 0.8 { v } else { 0.8 + 0.2 * (1.0 - (-(v - 0.8) / 0.2).exp()) }
}

// BT.601 limited range, what GStreamer takes I420 and YUY2 of SD sizes for.
fn limited_y(y: i32) -> u8 {
    (16 + ((y * 220) >> 8)).clamp(16, 235) as u8
}

fn limited_c(c: i32) -> u8 {
    (128 + ((c * 225) >> 8)).clamp(16, 240) as u8
}

fn to_rgb((y, cb, cr): (i32, i32, i32)) -> [u8; 3] {
    [y + ((cr * 359) >> 8), y - ((cb * 88 + cr * 183) >> 8), y + ((cb * 454) >> 8)].map(|v| v.clamp(0, 255) as u8)
}

/// Writes an area of a colour picture in any format; `ycc` gives a pixel's Y, Cb, Cr.
fn write_color(
    format: PixelFormat,
    out: &mut [u8],
    (width, height): (usize, usize),
    area: Area,
    ycc: impl Fn(usize, usize) -> (i32, i32, i32),
) {
    match format {
        PixelFormat::I420 => {
            let (luma, chroma) = out.split_at_mut(width * height);
            let half = width.div_ceil(2);
            let (cb, cr) = chroma.split_at_mut(half * height.div_ceil(2));
            for y in (area.top..area.bottom).step_by(2) {
                for x in (area.left..area.right).step_by(2) {
                    let (mut sum, mut n) = ((0, 0), 0);
                    for (px, py) in [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)] {
                        if px < width && py < height {
                            let (l, b, r) = ycc(px, py);
                            luma[py * width + px] = limited_y(l);
                            sum = (sum.0 + b, sum.1 + r);
                            n += 1;
                        }
                    }
                    let at = y / 2 * half + x / 2;
                    (cb[at], cr[at]) = (limited_c(sum.0 / n), limited_c(sum.1 / n));
                }
            }
        }
        PixelFormat::Yuyv => {
            for y in area.top..area.bottom {
                for x in (area.left..area.right).step_by(2) {
                    let (a, b) = (ycc(x, y), ycc((x + 1).min(width - 1), y));
                    let at = (y * width + x) * 2;
                    let (cb, cr) = (limited_c((a.1 + b.1) / 2), limited_c((a.2 + b.2) / 2));
                    out[at..at + 4].copy_from_slice(&[limited_y(a.0), cb, limited_y(b.0), cr]);
                }
            }
        }
        _ => {
            for y in area.top..area.bottom {
                for x in area.left..area.right {
                    let [r, g, b] = to_rgb(ycc(x, y));
                    let at = (y * width + x) * 3;
                    let pixel = if format == PixelFormat::Bgr8 { [b, g, r] } else { [r, g, b] };
                    out[at..at + 3].copy_from_slice(&pixel);
                }
            }
        }
    }
}

/// The colour picture of one size and format.
pub(crate) struct ColorPicture {
    backdrop: Arc<Backdrop>,
    format: PixelFormat,
    look: ColorLook,
    tone: ColorTone,
    still: Vec<u8>,
}

impl ColorPicture {
    pub(crate) fn new(backdrop: Arc<Backdrop>, format: PixelFormat, look: ColorLook) -> Self {
        let size = format.frame_size(backdrop.width() as u32, backdrop.height() as u32);
        let mut this = Self { backdrop, format, look, tone: ColorTone::new(&look), still: vec![0; size] };
        this.paint_still();
        this
    }

    fn paint_still(&mut self) {
        let (width, height) = (self.backdrop.width(), self.backdrop.height());
        let whole = Area { left: 0, top: 0, right: width, bottom: height };
        let (light, tone) = (&self.backdrop.light, &self.tone);
        write_color(self.format, &mut self.still, (width, height), whole, |x, y| tone.ycc(light[y * width + x]));
    }

    /// Draws a frame over all of `out`.
    pub(crate) fn draw(&mut self, look: &ColorLook, ball: Ball, bits: &[bool; strip::BITS], out: &mut [u8]) {
        if *look != self.look {
            self.look = *look;
            self.tone = ColorTone::new(look);
            self.paint_still();
        }
        out.copy_from_slice(&self.still);
        let size = (self.backdrop.width(), self.backdrop.height());
        let overlay = Overlay::new(&self.backdrop, ball);
        let tone = &self.tone;
        write_color(self.format, out, size, overlay.lit_area(), |x, y| tone.ycc(overlay.light(x, y)));
        let cell = strip::cell_size(size.0);
        for (bit, on) in bits.iter().enumerate() {
            let (left, top) = (bit % strip::COLUMNS * cell, bit / strip::COLUMNS * cell);
            let area = Area { left, top, right: left + cell, bottom: top + cell };
            write_color(self.format, out, size, area, |_, _| (if *on { 255 } else { 0 }, 0, 0));
        }
    }
}

/// One infrared picture of one size.
pub(crate) struct InfraredPicture {
    backdrop: Arc<Backdrop>,
    look: InfraredLook,
    tone: Vec<u8>,
    still: Vec<u8>,
}

impl InfraredPicture {
    pub(crate) fn new(backdrop: Arc<Backdrop>, look: InfraredLook) -> Self {
        let still = vec![0; backdrop.light.len()];
        let mut this = Self { backdrop, look, tone: Vec::new(), still };
        this.paint_still();
        this
    }

    fn paint_still(&mut self) {
        let exposure = self.look.exposure;
        let signal = |i: usize| soft_clip((i as f32 / 1024.0 * exposure * 0.85).powf(0.6));
        self.tone = (0..LUT).map(|i| (signal(i) * 255.0) as u8).collect();
        for (out, light) in self.still.iter_mut().zip(&self.backdrop.light) {
            *out = grey(&self.tone, self.look.laser, *light);
        }
    }

    /// Draws a frame over all of `out`.
    pub(crate) fn draw(&mut self, look: &InfraredLook, ball: Ball, bits: &[bool; strip::BITS], out: &mut [u8]) {
        if *look != self.look {
            self.look = *look;
            self.paint_still();
        }
        out.copy_from_slice(&self.still);
        let width = self.backdrop.width();
        let overlay = Overlay::new(&self.backdrop, ball);
        let area = overlay.lit_area();
        for y in area.top..area.bottom {
            for x in area.left..area.right {
                out[y * width + x] = grey(&self.tone, self.look.laser, overlay.light(x, y));
            }
        }
        let cell = strip::cell_size(width);
        for (bit, on) in bits.iter().enumerate() {
            for y in 0..cell {
                let at = (bit / strip::COLUMNS * cell + y) * width + bit % strip::COLUMNS * cell;
                out[at..at + cell].fill(if *on { 255 } else { 0 });
            }
        }
    }
}

fn grey(tone: &[u8], laser: f32, light: Sample) -> u8 {
    let sum = f32::from(light[0]) + f32::from(light[1]) * laser;
    tone[(sum as usize >> 4).min(LUT - 1)]
}
