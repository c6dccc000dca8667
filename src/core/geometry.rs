//! Pinhole geometry of depth frames: pixel to point and back, depth at a pixel, point clouds.
//! Pure: takes slices and numbers, gives numbers. Points are metres in librealsense's axes (x right, y down, z ahead);
//! pixel (0, 0) is the middle of the first pixel, as in `rs2_intrinsics`.

use crate::model::{Extrinsics, Intrinsics};

/// The point that a pixel at a depth shows.
pub fn deproject(intrinsics: &Intrinsics, pixel: [f32; 2], depth_m: f32) -> [f32; 3] {
    let x = (pixel[0] - intrinsics.ppx) / intrinsics.fx;
    let y = (pixel[1] - intrinsics.ppy) / intrinsics.fy;
    [x * depth_m, y * depth_m, depth_m]
}

/// The pixel where a point is seen, which may lie outside the image; `None` for a point that is not ahead.
pub fn project(intrinsics: &Intrinsics, point: [f32; 3]) -> Option<[f32; 2]> {
    let [x, y, z] = point;
    (z > 0.0).then(|| [x / z * intrinsics.fx + intrinsics.ppx, y / z * intrinsics.fy + intrinsics.ppy])
}

/// A point of one stream's coordinates in another's.
pub fn transform(extrinsics: &Extrinsics, point: [f32; 3]) -> [f32; 3] {
    let (r, t) = (&extrinsics.rotation, &extrinsics.translation);
    std::array::from_fn(|row| r[row] * point[0] + r[row + 3] * point[1] + r[row + 6] * point[2] + t[row])
}

/// Metres at a pixel of a Z16 image of this width; `None` where there is no depth (0) or no such pixel.
pub fn depth_at(z16: &[u8], width: u32, height: u32, x: u32, y: u32, depth_units: f32) -> Option<f32> {
    if x >= width || y >= height {
        return None;
    }
    let at = (y as usize * width as usize + x as usize) * 2;
    let raw = u16::from_le_bytes(z16.get(at..at + 2)?.try_into().ok()?);
    (raw != 0).then(|| f32::from(raw) * depth_units)
}

/// The points of a Z16 image: x, y, z one after the other, in metres; pixels without depth are left out.
///
/// Takes every n-th pixel of every n-th row, with the smallest n that keeps within `max_points`. An image whose bytes do
/// not fit the intrinsics' size gives no points.
pub fn point_cloud(z16: &[u8], intrinsics: &Intrinsics, depth_units: f32, max_points: usize) -> Vec<f32> {
    let (width, height) = (intrinsics.width as usize, intrinsics.height as usize);
    if max_points == 0 || width == 0 || height == 0 || z16.len() != width * height * 2 {
        return Vec::new();
    }
    let count = |step: usize| width.div_ceil(step) * height.div_ceil(step);
    let guess = ((width * height) as f64 / max_points as f64).sqrt() as usize;
    let step =
        (guess.max(1)..).find(|step| count(*step) <= max_points).expect("a step as long as the image takes 1 point");
    let columns: Vec<f32> = (0..width).step_by(step).map(|x| (x as f32 - intrinsics.ppx) / intrinsics.fx).collect();
    let mut vertices = Vec::with_capacity(count(step) * 3);
    for y in (0..height).step_by(step) {
        let slope = (y as f32 - intrinsics.ppy) / intrinsics.fy;
        let row = &z16[y * width * 2..(y + 1) * width * 2];
        for (pixel, column) in row.chunks_exact(2).step_by(step).zip(&columns) {
            let raw = u16::from_le_bytes([pixel[0], pixel[1]]);
            if raw != 0 {
                let z = f32::from(raw) * depth_units;
                vertices.extend([column * z, slope * z, z]);
            }
        }
    }
    vertices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Distortion;

    const INTRINSICS: Intrinsics = Intrinsics {
        width: 8,
        height: 6,
        fx: 5.0,
        fy: 4.0,
        ppx: 3.5,
        ppy: 2.5,
        distortion: Distortion::None,
        coefficients: [0.0; 5],
    };

    fn image(value: impl Fn(usize, usize) -> u16) -> Vec<u8> {
        (0..48).flat_map(|i| value(i % 8, i / 8).to_le_bytes()).collect()
    }

    #[test]
    fn project_undoes_deproject() {
        let point = deproject(&INTRINSICS, [6.0, 1.0], 2.0);
        assert_eq!(point, [1.0, -0.75, 2.0]);
        assert_eq!(project(&INTRINSICS, point), Some([6.0, 1.0]));
        assert_eq!(project(&INTRINSICS, [0.0, 0.0, 0.0]), None);
        assert_eq!(project(&INTRINSICS, [0.0, 0.0, -1.0]), None);
    }

    #[test]
    fn rotation_is_column_major() {
        // A quarter turn about z takes x to y.
        let turn =
            Extrinsics { rotation: [0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0], translation: [0.0, 0.0, 0.5] };
        assert_eq!(transform(&turn, [1.0, 0.0, 2.0]), [0.0, 1.0, 2.5]);
    }

    #[test]
    fn depth_at_exactly_that_pixel() {
        let z16 = image(|x, y| if (x, y) == (7, 5) { 1500 } else { 0 });
        let depth = depth_at(&z16, 8, 6, 7, 5, 0.001).unwrap();
        assert!((depth - 1.5).abs() < 1e-6, "{depth}");
        for (x, y) in [(6, 5), (8, 5), (7, 6), (u32::MAX, u32::MAX)] {
            assert_eq!(depth_at(&z16, 8, 6, x, y, 0.001), None, "{x} {y}");
        }
        assert_eq!(depth_at(&z16[..40], 8, 6, 7, 5, 0.001), None);
    }

    #[test]
    fn point_clouds_stay_in_bounds_and_leave_holes_out() {
        let z16 = image(|x, _| if x == 0 { 0 } else { 2000 });
        let all = point_cloud(&z16, &INTRINSICS, 0.001, 1000);
        assert_eq!(all.len(), 42 * 3);
        assert_eq!(all[..3], deproject(&INTRINSICS, [1.0, 0.0], 2.0));
        for max in 1..60 {
            let full = image(|_, _| 2000);
            let points = point_cloud(&full, &INTRINSICS, 0.001, max).len() / 3;
            assert!(points >= 1 && points <= max, "{points} of {max}");
        }
        assert_eq!(point_cloud(&z16, &INTRINSICS, 0.001, 0), Vec::<f32>::new());
        assert_eq!(point_cloud(&z16[1..], &INTRINSICS, 0.001, 10), Vec::<f32>::new());
    }
}
