//! Alignment: depth as another camera of the device sees it. Each depth pixel is a patch of surface; it is carried over to
//! the other camera's picture and covers there what its corners span, and where patches meet the nearest one is seen.

use crate::{
    model::{Extrinsics, Intrinsics},
    picture::geometry,
};

/// How much wider than the focal lengths say a depth pixel's patch may be. Wider ones are of points that lie at the other
/// camera's very lens, which would cost much and show nothing.
const MAX_STRETCH: f32 = 4.0;

/// Carries depth from one camera to another. Made once for a pair of pictures, used for every frame.
#[derive(Debug, Clone)]
pub struct Aligner {
    from: Intrinsics,
    to: Intrinsics,
    extrinsics: Extrinsics,
    /// Widest patch of one depth pixel, in pixels of the target.
    max_patch: i32,
    top_left: Corners,
    /// `None` where a depth pixel is no larger than one of the target's: it covers the pixel of its top left corner then.
    bottom_right: Option<Corners>,
}

/// The directions (at z = 1) of one corner of every depth pixel.
#[derive(Debug, Clone)]
enum Corners {
    /// x for each column, y for each row.
    Straight(Vec<f32>, Vec<f32>),
    /// x and y for each pixel: the lens bends the picture.
    Bent(Vec<f32>, Vec<f32>),
}

/// Working space for one row: where its corners lie in the target.
#[derive(Default)]
struct Row {
    direction_y: Vec<f32>,
    first: (Vec<i32>, Vec<i32>),
    last: (Vec<i32>, Vec<i32>),
}

impl Corners {
    fn new(of: &Intrinsics, offset: f32) -> Self {
        let direction = |x: u32, y: u32| geometry::deproject(of, [x as f32 + offset, y as f32 + offset], 1.0);
        if geometry::is_rectilinear(of) {
            let x = (0..of.width).map(|x| direction(x, 0)[0]).collect();
            return Self::Straight(x, (0..of.height).map(|y| direction(0, y)[1]).collect());
        }
        let pixels = (0..of.height).flat_map(|y| (0..of.width).map(move |x| (x, y)));
        let (x, y) = pixels.map(|(x, y)| direction(x, y)).map(|[x, y, _]| (x, y)).unzip();
        Self::Bent(x, y)
    }

    /// The directions of a row of `width` pixels; `spare` is working space for the second.
    fn row<'a>(&'a self, row: usize, width: usize, spare: &'a mut Vec<f32>) -> (&'a [f32], &'a [f32]) {
        match self {
            Self::Straight(x, y) => {
                spare.clear();
                spare.resize(width, y[row]);
                (x, spare)
            }
            Self::Bent(x, y) => (&x[row * width..][..width], &y[row * width..][..width]),
        }
    }
}

impl Aligner {
    /// Prepares the way from a depth picture to another one; `extrinsics` lead from depth to it.
    pub fn new(from: Intrinsics, to: Intrinsics, extrinsics: Extrinsics) -> Self {
        let bottom_right = is_coarser(&from, &to).then(|| Corners::new(&from, 0.5));
        let patch = (to.fx / from.fx).max(to.fy / from.fy).max(1.0);
        let max_patch = (patch * MAX_STRETCH).min(to.width.max(to.height) as f32) as i32 + 1;
        Self { from, to, extrinsics, max_patch, top_left: Corners::new(&from, -0.5), bottom_right }
    }

    /// Whether this aligner is for that pair of pictures.
    pub fn is_for(&self, from: &Intrinsics, to: &Intrinsics, extrinsics: &Extrinsics) -> bool {
        self.from == *from && self.to == *to && self.extrinsics == *extrinsics
    }

    /// Writes the aligned picture, of the target's size, to `output`. An image of another size than announced gives an empty
    /// picture. `depth_units` are metres per raw step.
    pub fn apply(&self, image: &[u16], depth_units: f32, output: &mut Vec<u16>) {
        output.clear();
        output.resize(self.to.width as usize * self.to.height as usize, 0);
        if image.is_empty() || image.len() != self.from.width as usize * self.from.height as usize {
            return;
        }
        if geometry::is_rectilinear(&self.to) {
            self.carry(image, depth_units, output, |x, y| [x, y]);
        } else {
            self.carry(image, depth_units, output, |x, y| geometry::distort(&self.to, x, y));
        }
    }

    fn carry(&self, image: &[u16], depth_units: f32, output: &mut [u16], bend: impl Fn(f32, f32) -> [f32; 2] + Copy) {
        let width = self.from.width as usize;
        let Row { mut direction_y, mut first, mut last } = Row::default();
        for (at, depths) in image.chunks_exact(width).enumerate() {
            let (x, y) = self.top_left.row(at, width, &mut direction_y);
            self.place(depths, depth_units, (x, y), &mut first, bend);
            let mut end = &first;
            if let Some(corners) = &self.bottom_right {
                let (x, y) = corners.row(at, width, &mut direction_y);
                self.place(depths, depth_units, (x, y), &mut last, bend);
                end = &last;
            }
            let starts = first.0.iter().zip(&first.1);
            for ((raw, (left, top)), (right, bottom)) in depths.iter().zip(starts).zip(end.0.iter().zip(&end.1)) {
                if *raw != 0 {
                    self.cover([*left, *top], [*right, *bottom], *raw, output);
                }
            }
        }
    }

    /// Where a row's corners lie in the target. Without a branch, so that the compiler takes several at a time.
    #[inline(always)]
    fn place(
        &self,
        depths: &[u16],
        depth_units: f32,
        (x, y): (&[f32], &[f32]),
        (to_x, to_y): &mut (Vec<i32>, Vec<i32>),
        bend: impl Fn(f32, f32) -> [f32; 2],
    ) {
        let (r, t) = (&self.extrinsics.rotation, &self.extrinsics.translation);
        let Intrinsics { fx, fy, ppx, ppy, .. } = self.to;
        to_x.resize(depths.len(), 0);
        to_y.resize(depths.len(), 0);
        for ((((raw, x), y), to_x), to_y) in depths.iter().zip(x).zip(y).zip(to_x).zip(to_y) {
            let z = depth_units * f32::from(*raw);
            let (px, py) = (z * x, z * y);
            let row = |i: usize| r[i] * px + (r[i + 3] * py + (r[i + 6] * z + t[i]));
            let (x, y, z) = (row(0), row(1), row(2));
            let [x, y] = bend(x / z, y / z);
            // What is not ahead of the target lies outside its picture.
            *to_x = if z > 0.0 { pixel_at(x * fx + ppx) } else { OUTSIDE };
            *to_y = pixel_at(y * fy + ppy);
        }
    }

    #[inline(always)]
    fn cover(&self, [left, top]: [i32; 2], [right, bottom]: [i32; 2], raw: u16, output: &mut [u16]) {
        let (width, height) = (self.to.width as i32, self.to.height as i32);
        if right.saturating_sub(left) > self.max_patch || bottom.saturating_sub(top) > self.max_patch {
            return;
        }
        let (left, right) = (left.max(0), right.min(width - 1));
        if left > right {
            return;
        }
        for y in top.max(0)..=bottom.min(height - 1) {
            let row = (y * width) as usize;
            for seen in &mut output[row + left as usize..=row + right as usize] {
                // A hole, which is 0, wraps to the farthest.
                *seen = (*seen).wrapping_sub(1).min(raw - 1).wrapping_add(1);
            }
        }
    }
}

/// Left of every picture.
const OUTSIDE: i32 = -200_000;

/// The pixel that a place (whole numbers are pixels' middles) lies in. As in the SDK, what lies up to one pixel left of or
/// above the picture falls on its edge.
#[inline(always)]
fn pixel_at(place: f32) -> i32 {
    // Far outside any picture, and far inside what the trick below holds for.
    let place = (place + 0.5).clamp(-100_000.0, 100_000.0);
    let place = if place > -1.0 { place.max(0.0) } else { place };
    // At this size a f32 has no room for a fraction, so adding it rounds, and its lowest bits count in ones. A cast would
    // cost half as much again, because it must know what to make of infinity.
    const SHIFT: f32 = 12_582_912.0;
    let shifted = place + SHIFT;
    let rounded_up = i32::from(shifted - SHIFT > place);
    (shifted.to_bits() as i32).wrapping_sub(SHIFT.to_bits() as i32) - rounded_up
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
        let camera = pinhole(8, 6, 8.0);
        assert_eq!(align(&image, camera, camera, SAME_PLACE), image);
    }

    #[test]
    fn a_shifted_camera_sees_near_things_shifted_and_in_front() {
        // Focal length 8 px and 125 mm to the left: 1 m moves by one pixel, 0.5 m by two.
        let camera = pinhole(8, 3, 8.0);
        let shifted = Extrinsics { translation: [0.125, 0.0, 0.0], ..SAME_PLACE };
        let mut image = vec![0; 24];
        (image[8 + 2], image[8 + 3], image[8 + 4]) = (500, 1000, 1000);
        let aligned = align(&image, camera, camera, shifted);
        assert_eq!(aligned[8..16], [0, 0, 0, 0, 500, 1000, 0, 0]);
        assert!(aligned[..8].iter().chain(&aligned[16..]).all(|raw| *raw == 0));
    }

    #[test]
    fn a_finer_picture_has_no_gaps() {
        let aligned = align(&[2000; 48], pinhole(8, 6, 8.0), pinhole(16, 12, 16.0), SAME_PLACE);
        assert_eq!(aligned, [2000; 192]);
    }

    #[test]
    fn the_coarsest_picture_fills_the_finest() {
        // 424x240 decimated by eight, and 1920x1080: one pixel makes a patch of fifty.
        let aligned = align(&[2000; 52 * 32], pinhole(52, 32, 27.0), pinhole(1920, 1080, 1387.0), SAME_PLACE);
        assert!(aligned.iter().all(|raw| *raw == 2000));
    }

    #[test]
    fn what_is_behind_or_beside_the_target_is_left_out() {
        let camera = pinhole(8, 6, 8.0);
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
    fn a_place_lies_in_the_pixel_whose_middle_is_nearest() {
        for (place, pixel) in [
            (0.0, 0),
            (0.49, 0),
            (0.51, 1),
            (-0.49, 0),
            (-1.49, 0),
            (-1.51, -2),
            (7.4, 7),
            (99.6, 100),
            (1e20, 100_000),
        ] {
            assert_eq!(pixel_at(place), pixel, "{place}");
        }
        for place in (0..5000).map(|at| at as f32 * 0.37) {
            assert_eq!(pixel_at(place), (place + 0.5) as i32, "{place}");
        }
    }
}
