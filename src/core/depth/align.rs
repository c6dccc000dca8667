//! Alignment: depth as another camera of the device sees it. Each depth pixel is a patch of surface; it is carried over to
//! the other camera's picture and covers there what its corners span, and where patches meet the nearest one is seen.

use crate::{
    core::geometry,
    model::{Extrinsics, Intrinsics},
};

/// Widest patch of one depth pixel, in pixels of the target. A real one covers a handful; more means a point that lies at
/// the other camera's very lens, which would cost much and show nothing.
const MAX_PATCH: i32 = 32;

/// Carries depth from one camera to another. Made once for a pair of pictures, used for every frame.
#[derive(Debug, Clone)]
pub struct Aligner {
    from: Intrinsics,
    to: Intrinsics,
    extrinsics: Extrinsics,
    /// The direction (at z = 1) of each depth pixel's top left corner.
    top_left: Vec<[f32; 2]>,
    /// The same for the bottom right one; `None` where a depth pixel is no larger than one of the target's.
    bottom_right: Option<Vec<[f32; 2]>>,
}

impl Aligner {
    /// Prepares the way from a depth picture to another one; `extrinsics` lead from depth to it.
    pub fn new(from: Intrinsics, to: Intrinsics, extrinsics: Extrinsics) -> Self {
        let corners = |offset: f32| {
            let corner = |x: u32, y: u32| {
                let [x, y, _] = geometry::deproject(&from, [x as f32 + offset, y as f32 + offset], 1.0);
                [x, y]
            };
            (0..from.height).flat_map(|y| (0..from.width).map(move |x| corner(x, y))).collect()
        };
        let bottom_right = is_coarser(&from, &to).then(|| corners(0.5));
        Self { from, to, extrinsics, top_left: corners(-0.5), bottom_right }
    }

    /// Whether this aligner is for that pair of pictures.
    pub fn is_for(&self, from: &Intrinsics, to: &Intrinsics, extrinsics: &Extrinsics) -> bool {
        self.from == *from && self.to == *to && self.extrinsics == *extrinsics
    }

    /// The target's intrinsics, which are the output's.
    pub fn target(&self) -> &Intrinsics {
        &self.to
    }

    /// Writes the aligned picture, of the target's size, to `output`. An image of another size than announced gives an empty
    /// picture. `depth_units` are metres per raw step.
    pub fn apply(&self, image: &[u16], depth_units: f32, output: &mut Vec<u16>) {
        output.clear();
        output.resize(self.to.width as usize * self.to.height as usize, 0);
        if image.len() != self.top_left.len() {
            return;
        }
        if geometry::is_rectilinear(&self.to) {
            self.carry(image, depth_units, output, |x, y| [x, y]);
        } else {
            self.carry(image, depth_units, output, |x, y| geometry::distort(&self.to, x, y));
        }
    }

    fn carry(&self, image: &[u16], depth_units: f32, output: &mut [u16], bend: impl Fn(f32, f32) -> [f32; 2] + Copy) {
        for (at, raw) in image.iter().enumerate() {
            if *raw == 0 {
                continue;
            }
            let z = depth_units * f32::from(*raw);
            let Some(first) = self.corner(self.top_left[at], z, bend) else { continue };
            let last = match &self.bottom_right {
                Some(corners) => self.corner(corners[at], z, bend),
                None => Some(first),
            };
            if let Some(last) = last {
                self.cover(first, last, *raw, output);
            }
        }
    }

    /// The target's pixel for a corner at a depth.
    #[inline(always)]
    fn corner(&self, [x, y]: [f32; 2], z: f32, bend: impl Fn(f32, f32) -> [f32; 2]) -> Option<[i32; 2]> {
        let (r, t) = (&self.extrinsics.rotation, &self.extrinsics.translation);
        let (px, py) = (z * x, z * y);
        let row = |i: usize| r[i] * px + (r[i + 3] * py + (r[i + 6] * z + t[i]));
        let (x, y, z) = (row(0), row(1), row(2));
        let [x, y] = bend(x / z, y / z);
        let pixel = [x * self.to.fx + self.to.ppx, y * self.to.fy + self.to.ppy];
        (z > 0.0).then(|| pixel.map(|place| nearest(place + 0.5)))
    }

    #[inline(always)]
    fn cover(&self, [left, top]: [i32; 2], [right, bottom]: [i32; 2], raw: u16, output: &mut [u16]) {
        let (width, height) = (self.to.width as i32, self.to.height as i32);
        if right - left > MAX_PATCH || bottom - top > MAX_PATCH {
            return;
        }
        for y in top.max(0)..=bottom.min(height - 1) {
            for x in left.max(0)..=right.min(width - 1) {
                let seen = &mut output[(y * width + x) as usize];
                // A hole, which is 0, wraps to the farthest.
                *seen = (*seen).wrapping_sub(1).min(raw - 1).wrapping_add(1);
            }
        }
    }
}

/// Rounds to the nearest whole number, halves to the even one, as the SDK's vector instructions do.
#[inline(always)]
fn nearest(value: f32) -> i32 {
    // At this size a f32 has no room for a fraction, so adding it rounds. (`round_ties_even` is a library call on plain
    // x86-64.)
    const SHIFT: f32 = 12_582_912.0;
    // Far outside any picture, and far inside what the trick holds for.
    (value.clamp(-100_000.0, 100_000.0) + SHIFT - SHIFT) as i32
}

/// Whether one depth pixel can cover more than one pixel of the target: it sees a wider angle. The two pairs of sizes at the
/// end are taken for it too, as in the SDK.
fn is_coarser(depth: &Intrinsics, target: &Intrinsics) -> bool {
    let ([depth_x, depth_y], [target_x, target_y]) = (pixels_per_radian(depth), pixels_per_radian(target));
    let sizes = [depth.width, depth.height, target.width, target.height];
    depth_x < target_x || depth_y < target_y || sizes == [640, 240, 320, 180] || sizes == [640, 480, 640, 360]
}

fn pixels_per_radian(of: &Intrinsics) -> [f32; 2] {
    let angle = |size: u32, middle: f32, focal: f32| {
        let before = middle + 0.5;
        before.atan2(focal) + (size as f32 - before).atan2(focal)
    };
    [of.width as f32 / angle(of.width, of.ppx, of.fx), of.height as f32 / angle(of.height, of.ppy, of.fy)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME_PLACE: Extrinsics =
        Extrinsics { rotation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], translation: [0.0; 3] };

    fn pinhole(width: u32, height: u32, focal: f32) -> Intrinsics {
        let (ppx, ppy) = ((width - 1) as f32 / 2.0, (height - 1) as f32 / 2.0);
        Intrinsics { width, height, fx: focal, fy: focal, ppx, ppy, ..Intrinsics::default() }
    }

    fn align(image: &[u16], from: Intrinsics, to: Intrinsics, extrinsics: Extrinsics) -> Vec<u16> {
        let mut out = Vec::new();
        Aligner::new(from, to, extrinsics).apply(image, 0.001, &mut out);
        out
    }

    #[test]
    fn the_same_camera_sees_the_same() {
        let image: Vec<u16> = (0..48).map(|at| if at % 5 == 0 { 0 } else { 1000 + at }).collect();
        let camera = pinhole(8, 6, 7.0);
        assert_eq!(align(&image, camera, camera, SAME_PLACE), image);
    }

    #[test]
    fn a_shifted_camera_sees_near_things_shifted_and_in_front() {
        // Focal length 10 px and 100 mm to the left: 1 m moves by one pixel, 0.5 m by two.
        let camera = pinhole(8, 3, 10.0);
        let shifted = Extrinsics { translation: [0.1, 0.0, 0.0], ..SAME_PLACE };
        let mut image = vec![0; 24];
        (image[8 + 2], image[8 + 3], image[8 + 4]) = (500, 1000, 1000);
        let aligned = align(&image, camera, camera, shifted);
        assert_eq!(aligned[8..16], [0, 0, 0, 0, 500, 1000, 0, 0]);
        assert!(aligned[..8].iter().chain(&aligned[16..]).all(|raw| *raw == 0));
    }

    #[test]
    fn a_finer_picture_has_no_gaps() {
        let aligned = align(&[2000; 48], pinhole(8, 6, 7.0), pinhole(16, 12, 14.0), SAME_PLACE);
        assert_eq!(aligned.len(), 192);
        // The SDK's rounding leaves out the very first row and column.
        let inner = (1..12).flat_map(|y| &aligned[y * 16 + 1..(y + 1) * 16]);
        assert!(inner.into_iter().all(|raw| *raw == 2000));
    }

    #[test]
    fn what_is_behind_or_beside_the_target_is_left_out() {
        let camera = pinhole(8, 6, 7.0);
        let behind = Extrinsics { translation: [0.0, 0.0, -3.0], ..SAME_PLACE };
        assert!(align(&[2000; 48], camera, camera, behind).iter().all(|raw| *raw == 0));
        let beside = Extrinsics { translation: [1000.0, 0.0, 0.0], ..SAME_PLACE };
        assert!(align(&[2000; 48], camera, camera, beside).iter().all(|raw| *raw == 0));
        // Two metres are right at the lens of a camera that stands two metres ahead.
        let at_the_lens = Extrinsics { translation: [0.0, 0.0, -1.999_999], ..SAME_PLACE };
        assert!(align(&[2000; 48], camera, pinhole(800, 600, 700.0), at_the_lens).iter().all(|raw| *raw == 0));
        assert!(align(&[2000; 47], camera, camera, SAME_PLACE).iter().all(|raw| *raw == 0));
    }

    #[test]
    fn rounding_takes_halves_to_the_even_number() {
        for (value, rounded) in [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (7.49, 7), (1e20, 100_000)] {
            assert_eq!(nearest(value), rounded, "{value}");
        }
    }
}
