//! Motion samples that fit the room: gravity as the tilted camera feels it, the tiny sway of a tripod, noise.

use super::{
    noise::{Noise, SIGMA},
    scene::TILT,
};

/// Standard gravity, m/s².
const GRAVITY: f64 = 9.80665;
/// Sway of the tripod: amplitude in radians (a third of a pixel at 640x480, too little to see) and frequency in Hz.
const SWAY: (f64, f64) = (0.0008, 0.7);
/// Noise of one sample (BMI055 datasheet, rounded): rad/s and m/s².
const GYRO_NOISE: f64 = 0.0025;
const ACCEL_NOISE: f64 = 0.025;
/// What an uncorrected sensor is off by: rad/s and m/s².
const GYRO_BIAS: [f64; 3] = [0.006, -0.004, 0.003];
const ACCEL_BIAS: [f64; 3] = [0.08, -0.11, 0.15];

/// Angular velocity in rad/s at `seconds`.
pub(crate) fn gyro(seconds: f64, number: u64, corrected: bool) -> [f32; 3] {
    let (amplitude, hz) = SWAY;
    let turn = std::f64::consts::TAU * hz;
    // The camera nods (x) and, slower, turns (y).
    let rate = [amplitude * turn * (turn * seconds).cos(), amplitude * turn * 0.6 * (turn * 0.6 * seconds).cos(), 0.0];
    sample(rate, GYRO_NOISE, GYRO_BIAS, number, 0, corrected)
}

/// Acceleration in m/s² at `seconds`: what holds the camera up, so "up" reads positive; camera y points down.
pub(crate) fn accel(seconds: f64, number: u64, corrected: bool) -> [f32; 3] {
    let (amplitude, hz) = SWAY;
    let nod = amplitude * (std::f64::consts::TAU * hz * seconds).sin();
    let (sin, cos) = (f64::from(TILT.0) + nod * f64::from(TILT.1), f64::from(TILT.1) - nod * f64::from(TILT.0));
    sample([0.0, -GRAVITY * cos, -GRAVITY * sin], ACCEL_NOISE, ACCEL_BIAS, number, 1, corrected)
}

fn sample(truth: [f64; 3], noise: f64, bias: [f64; 3], number: u64, kind: usize, corrected: bool) -> [f32; 3] {
    let row = Noise::get().gauss(number, kind);
    // Every third number of the table, so that the axes do not share noise.
    std::array::from_fn(|axis| {
        let random = f64::from(row[axis * 3]) / f64::from(SIGMA) * noise;
        (truth[axis] + random + if corrected { 0.0 } else { bias[axis] }) as f32
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::sim::scene;

    #[test]
    fn at_rest_it_feels_gravity_where_the_scene_has_up() {
        let mut mean = [0.0_f32; 3];
        for n in 0..1000 {
            let a = accel(n as f64 / 250.0, n, true);
            mean.iter_mut().zip(a).for_each(|(m, v)| *m += v / 1000.0);
        }
        let up = scene::to_camera(scene::eye(0.0) + scene::V3(0.0, 1.0, 0.0));
        for (measured, expected) in mean.into_iter().zip([up.0, up.1, up.2]) {
            assert!((measured - expected * 9.80665).abs() < 0.02, "{mean:?} {up:?}");
        }
        let raw = accel(0.0, 5, false);
        assert!((raw[2] - accel(0.0, 5, true)[2] - 0.15).abs() < 1e-4);
    }

    #[test]
    fn the_gyro_integrates_to_almost_nothing() {
        let angle: f32 = (0..4000).map(|n| gyro(n as f64 / 400.0, n, true)[0] / 400.0).sum();
        assert!(angle.abs() < 0.003, "{angle}");
    }
}
