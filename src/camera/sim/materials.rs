//! What the room's surfaces are made of: the floor's checks, the walls' paint, a colour chart and a poster, the crate's
//! planks. Owns patterns only; shapes and light are the scene's.

use super::scene::{Hit, THINGS, V3};

/// The 24 patches of a colour chart, linear.
const CHART: [V3; 24] = [
    V3(0.17, 0.08, 0.06),
    V3(0.54, 0.31, 0.22),
    V3(0.12, 0.20, 0.34),
    V3(0.10, 0.15, 0.05),
    V3(0.24, 0.22, 0.44),
    V3(0.13, 0.51, 0.42),
    V3(0.68, 0.20, 0.03),
    V3(0.07, 0.10, 0.38),
    V3(0.53, 0.09, 0.12),
    V3(0.11, 0.04, 0.14),
    V3(0.33, 0.50, 0.05),
    V3(0.75, 0.36, 0.02),
    V3(0.03, 0.05, 0.30),
    V3(0.06, 0.30, 0.07),
    V3(0.42, 0.03, 0.04),
    V3(0.82, 0.58, 0.01),
    V3(0.49, 0.09, 0.30),
    V3(0.01, 0.24, 0.38),
    V3(0.88, 0.88, 0.87),
    V3(0.58, 0.58, 0.58),
    V3(0.36, 0.36, 0.36),
    V3(0.19, 0.19, 0.19),
    V3(0.09, 0.09, 0.09),
    V3(0.03, 0.03, 0.03),
];

/// Colour, infrared reflectance and gloss of a point.
pub(crate) fn of(hit: &Hit) -> (V3, f32, f32) {
    let p = hit.point;
    if let Some(thing) = THINGS.get(hit.id) {
        // Planks on the crate.
        let plank = hit.id == 0 && (p.1 * 10.0).rem_euclid(1.5) < 0.09;
        let albedo = if plank { thing.albedo.scaled(0.35) } else { thing.albedo };
        return (albedo, if plank { 0.2 } else { thing.infrared }, thing.gloss);
    }
    if hit.normal.1 > 0.5 {
        let dark = (p.0 / 0.3).floor() as i32 + (p.2 / 0.3).floor() as i32;
        return if dark.rem_euclid(2) == 0 {
            (V3(0.62, 0.6, 0.56), 0.62, 0.05)
        } else {
            (V3(0.12, 0.15, 0.19), 0.25, 0.05)
        };
    }
    if hit.normal.1 < -0.5 {
        return (V3(0.8, 0.8, 0.8), 0.7, 0.0);
    }
    if hit.normal.2 < -0.5 {
        // The chart in its frame, left of the middle, and a poster of stripes right of it.
        let (x, y) = ((p.0 + 0.62) / 0.155, (1.62 - p.1) / 0.155);
        if (-0.25..6.25).contains(&x) && (-0.25..4.25).contains(&y) {
            let inside = (0.0..6.0).contains(&x) && (0.0..4.0).contains(&y);
            let gap = x.rem_euclid(1.0) < 0.07 || y.rem_euclid(1.0) < 0.07;
            if !inside || gap {
                return (V3(0.02, 0.02, 0.02), 0.08, 0.0);
            }
            let patch = CHART[y as usize * 6 + x as usize];
            return (patch, 0.25 + 0.5 * (patch.0 + patch.1 + patch.2) / 3.0, 0.0);
        }
        if (0.75..1.75).contains(&p.0) && (1.08..1.7).contains(&p.1) {
            let edge = !(0.78..1.72).contains(&p.0) || !(1.11..1.67).contains(&p.1);
            let (dx, dy) = (p.0 - 1.25, p.1 - 1.39);
            let ring = ((dx * dx + dy * dy).sqrt() * 18.0) as i32 % 2 == 0;
            return match (edge, ring) {
                (true, _) => (V3(0.75, 0.74, 0.72), 0.7, 0.0),
                (false, true) => (V3(0.05, 0.16, 0.4), 0.3, 0.0),
                (false, false) => (V3(0.82, 0.62, 0.35), 0.6, 0.0),
            };
        }
    }
    match p.1 {
        y if y < 0.1 => (V3(0.68, 0.68, 0.68), 0.6, 0.1),
        y if y < 0.92 => (V3(0.2, 0.31, 0.36), 0.42, 0.0),
        y if y < 0.97 => (V3(0.75, 0.75, 0.73), 0.65, 0.1),
        _ => (V3(0.66, 0.63, 0.57), 0.6, 0.0),
    }
}
