//! Geometry of depth frames: pixel to point and back with the lens's distortion, depth at a pixel, point clouds.
//! Pure: takes slices and numbers, gives numbers. Points are metres in librealsense's axes (x right, y down, z ahead);
//! pixel (0, 0) is the middle of the first pixel, as in `rs2_intrinsics`. The distortion models are those of the SDK's
//! `rs2_project_point_to_pixel` and `rs2_deproject_pixel_to_point`.

use crate::model::{Distortion, Extrinsics, Intrinsics};

/// Steps of the fixed-point iteration that undoes Brown-Conrady (the SDK's number; it converges to a fraction of a pixel).
const UNDISTORT_STEPS: usize = 10;
/// Newton steps that undo Kannala-Brandt (the SDK's number).
const NEWTON_STEPS: usize = 4;

/// The point that a pixel at a depth shows.
pub fn deproject(intrinsics: &Intrinsics, pixel: [f32; 2], depth_m: f32) -> [f32; 3] {
    let x = (pixel[0] - intrinsics.ppx) / intrinsics.fx;
    let y = (pixel[1] - intrinsics.ppy) / intrinsics.fy;
    let [x, y] = undistort(intrinsics, x, y);
    [x * depth_m, y * depth_m, depth_m]
}

/// The pixel where a point is seen, which may lie outside the image; `None` for a point that is not ahead.
pub fn project(intrinsics: &Intrinsics, point: [f32; 3]) -> Option<[f32; 2]> {
    let [x, y, z] = point;
    (z > 0.0).then(|| {
        let [x, y] = distort(intrinsics, x / z, y / z);
        [x * intrinsics.fx + intrinsics.ppx, y * intrinsics.fy + intrinsics.ppy]
    })
}

/// Whether the lens does not bend the picture.
pub fn is_rectilinear(intrinsics: &Intrinsics) -> bool {
    match intrinsics.distortion {
        Distortion::None => true,
        Distortion::ModifiedBrownConrady | Distortion::InverseBrownConrady | Distortion::BrownConrady => {
            intrinsics.coefficients == [0.0; 5]
        }
        // A fish-eye bends even with coefficients of 0, but that F-Theta's angle of 0 says nothing.
        Distortion::Ftheta => intrinsics.coefficients[0] == 0.0,
        Distortion::KannalaBrandt4 => false,
    }
}

/// Where the lens puts what an ideal one would put at (x, y), in the plane at z = 1.
pub fn distort(intrinsics: &Intrinsics, x: f32, y: f32) -> [f32; 2] {
    if is_rectilinear(intrinsics) {
        return [x, y];
    }
    let [k1, k2, p1, p2, k3] = intrinsics.coefficients;
    let r2 = x * x + y * y;
    match intrinsics.distortion {
        Distortion::None => [x, y],
        Distortion::ModifiedBrownConrady | Distortion::InverseBrownConrady => {
            let radial = 1.0 + k1 * r2 + k2 * r2 * r2 + k3 * r2 * r2 * r2;
            let (x, y) = (x * radial, y * radial);
            tangential([x, y], [x, y], r2, p1, p2)
        }
        Distortion::BrownConrady => {
            let radial = 1.0 + k1 * r2 + k2 * r2 * r2 + k3 * r2 * r2 * r2;
            tangential([x * radial, y * radial], [x, y], r2, p1, p2)
        }
        Distortion::Ftheta => {
            let r = r2.sqrt().max(f32::EPSILON);
            let bent = (2.0 * r * (k1 / 2.0).tan()).atan() / k1;
            [x * bent / r, y * bent / r]
        }
        Distortion::KannalaBrandt4 => {
            let r = r2.sqrt().max(f32::EPSILON);
            let angle = r.atan();
            let bent = angle * kannala_brandt(intrinsics, angle * angle);
            [x * bent / r, y * bent / r]
        }
    }
}

/// The tangential terms for `at`, added to `to`.
fn tangential(to: [f32; 2], at: [f32; 2], r2: f32, p1: f32, p2: f32) -> [f32; 2] {
    let [x, y] = at;
    [to[0] + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x), to[1] + 2.0 * p2 * x * y + p1 * (r2 + 2.0 * y * y)]
}

fn kannala_brandt(intrinsics: &Intrinsics, angle2: f32) -> f32 {
    let [k1, k2, k3, k4, _] = intrinsics.coefficients;
    1.0 + angle2 * (k1 + angle2 * (k2 + angle2 * (k3 + angle2 * k4)))
}

/// Where an ideal lens would put what this one puts at (x, y), in the plane at z = 1: the way back of [`distort`].
pub fn undistort(intrinsics: &Intrinsics, x: f32, y: f32) -> [f32; 2] {
    if is_rectilinear(intrinsics) {
        return [x, y];
    }
    let [k1, k2, p1, p2, k3] = intrinsics.coefficients;
    match intrinsics.distortion {
        Distortion::None => [x, y],
        Distortion::ModifiedBrownConrady | Distortion::InverseBrownConrady | Distortion::BrownConrady => {
            let (mut ideal_x, mut ideal_y) = (x, y);
            for _ in 0..UNDISTORT_STEPS {
                let r2 = ideal_x * ideal_x + ideal_y * ideal_y;
                let radial = 1.0 + ((k3 * r2 + k2) * r2 + k1) * r2;
                // In the modified model the tangential terms are of the point that is radially bent already.
                let bent = if intrinsics.distortion == Distortion::BrownConrady { 1.0 } else { radial };
                let [dx, dy] = tangential([0.0; 2], [ideal_x * bent, ideal_y * bent], r2, p1, p2);
                (ideal_x, ideal_y) = ((x - dx) / radial, (y - dy) / radial);
            }
            [ideal_x, ideal_y]
        }
        Distortion::Ftheta => {
            let bent = (x * x + y * y).sqrt().max(f32::EPSILON);
            let r = (k1 * bent).tan() / (2.0 * (k1 / 2.0).tan());
            [x * r / bent, y * r / bent]
        }
        Distortion::KannalaBrandt4 => {
            let [k1, k2, k3, k4, _] = intrinsics.coefficients;
            let bent = (x * x + y * y).sqrt().max(f32::EPSILON);
            let mut angle = bent;
            for _ in 0..NEWTON_STEPS {
                let a2 = angle * angle;
                let off = angle * kannala_brandt(intrinsics, a2) - bent;
                if off.abs() < f32::EPSILON {
                    break;
                }
                angle -= off / (1.0 + a2 * (3.0 * k1 + a2 * (5.0 * k2 + a2 * (7.0 * k3 + 9.0 * a2 * k4))));
            }
            let r = angle.tan();
            [x * r / bent, y * r / bent]
        }
    }
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
    if !is_rectilinear(intrinsics) {
        for y in (0..height).step_by(step) {
            let row = &z16[y * width * 2..(y + 1) * width * 2];
            for (x, pixel) in row.chunks_exact(2).enumerate().step_by(step) {
                let raw = u16::from_le_bytes([pixel[0], pixel[1]]);
                if raw != 0 {
                    vertices.extend(deproject(intrinsics, [x as f32, y as f32], f32::from(raw) * depth_units));
                }
            }
        }
        return vertices;
    }
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

    /// Points, their pixels as `rs2_project_point_to_pixel` of librealsense 2.56.5 gave them, for 640x480.
    #[rustfmt::skip]
    const BENT: [(Distortion, [f32; 5], [[f32; 2]; 2]); 5] = [
        (Distortion::ModifiedBrownConrady, [0.1, -0.2, 0.001, -0.002, 0.05], [[438.415_74, 162.042_22], [-16.857_086, 457.796_45]]),
        (Distortion::InverseBrownConrady, [0.1, -0.2, 0.001, -0.002, 0.05], [[438.415_74, 162.042_22], [-16.857_086, 457.796_45]]),
        (Distortion::BrownConrady, [0.1, -0.2, 0.001, -0.002, 0.05], [[438.417_05, 162.041_32], [-16.837_433, 457.783_87]]),
        (Distortion::KannalaBrandt4, [0.02, -0.01, 0.004, -0.001, 0.0], [[435.893_34, 163.749_48], [23.891_693, 431.719_5]]),
        (Distortion::Ftheta, [0.9, 0.0, 0.0, 0.0, 0.0], [[444.571_3, 157.915_99], [1.872_864, 445.848_2]]),
    ];

    #[test]
    fn lenses_bend_as_the_sdk_says_and_deproject_undoes_it() {
        let ideal = Intrinsics { width: 640, height: 480, fx: 600.0, fy: 605.0, ppx: 318.0, ppy: 243.0, ..INTRINSICS };
        for (distortion, coefficients, pixels) in BENT {
            let lens = Intrinsics { distortion, coefficients, ..ideal };
            assert!(!is_rectilinear(&lens));
            for (point, expected) in [[0.3, -0.2, 1.5], [-1.1, 0.7, 2.0]].into_iter().zip(pixels) {
                let pixel = project(&lens, point).unwrap();
                let off = (pixel[0] - expected[0]).abs().max((pixel[1] - expected[1]).abs());
                assert!(off < 1e-3, "{distortion:?}: {pixel:?} is not {expected:?}");
                let back = deproject(&lens, pixel, point[2]);
                assert!(back.iter().zip(point).all(|(a, b)| (a - b).abs() < 1e-4), "{distortion:?}: {back:?}");
            }
        }
        let straight = Intrinsics { distortion: Distortion::BrownConrady, ..ideal };
        assert_eq!(project(&straight, [0.3, -0.2, 1.5]), project(&ideal, [0.3, -0.2, 1.5]));
    }

    #[test]
    fn point_clouds_are_free_of_distortion() {
        let lens = Intrinsics {
            distortion: Distortion::BrownConrady,
            coefficients: [0.1, -0.2, 0.001, -0.002, 0.05],
            ..INTRINSICS
        };
        let z16 = image(|x, _| if x == 0 { 0 } else { 2000 });
        let all = point_cloud(&z16, &lens, 0.001, 1000);
        assert_eq!(all.len(), 42 * 3);
        assert_eq!(all[3..6], deproject(&lens, [2.0, 0.0], 2.0));
        assert_ne!(all, point_cloud(&z16, &INTRINSICS, 0.001, 1000));
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
