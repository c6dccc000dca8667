//! The room that the simulated camera looks at: analytic shapes, their materials, one lamp, one bouncing ball.
//! Owns geometry and light in linear units; knows nothing of pixels, exposure or formats.
//!
//! Room coordinates: metres, X right, Y up from the floor, Z ahead, the left imager above the origin. The camera stands
//! [`CAMERA_HEIGHT_M`] high and looks down by [`TILT`]; camera coordinates are librealsense's (x right, y down, z ahead).

use super::{materials, optics::PROJECTOR_X_M};

/// A point, direction or colour.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct V3(pub(crate) f32, pub(crate) f32, pub(crate) f32);

impl V3 {
    pub(crate) fn dot(self, o: V3) -> f32 {
        self.0 * o.0 + self.1 * o.1 + self.2 * o.2
    }
    pub(crate) fn scaled(self, s: f32) -> V3 {
        V3(self.0 * s, self.1 * s, self.2 * s)
    }
    pub(crate) fn unit(self) -> V3 {
        self.scaled(1.0 / self.dot(self).sqrt())
    }
}
impl std::ops::Add for V3 {
    type Output = V3;
    fn add(self, o: V3) -> V3 {
        V3(self.0 + o.0, self.1 + o.1, self.2 + o.2)
    }
}
impl std::ops::Sub for V3 {
    type Output = V3;
    fn sub(self, o: V3) -> V3 {
        V3(self.0 - o.0, self.1 - o.1, self.2 - o.2)
    }
}

/// Height of the camera over the floor in metres.
pub(crate) const CAMERA_HEIGHT_M: f32 = 1.05;
/// Sine and cosine of the camera's downward tilt, 10 degrees.
pub(crate) const TILT: (f32, f32) = (0.173_648_18, 0.984_807_8);
/// Radius of the ball in metres.
pub(crate) const BALL_RADIUS_M: f32 = 0.15;
/// Centre of the lamp, a disc under the ceiling.
const LAMP: V3 = V3(-0.9, 3.1, 1.6);
const LAMP_RADIUS_M: f32 = 0.22;
/// Distance between the projector's dots as a tangent: about 5,000 dots in the field of view, as in the real device.
const DOT_PITCH: f32 = 0.0185;
/// Width of a dot as a tangent.
const DOT_SIGMA: f32 = 0.0031;

// The room's inside.
const WALL_X: f32 = 2.7;
const WALL_Z: f32 = 4.35;
const CEILING_Y: f32 = 3.3;

enum Shape {
    Sphere(V3, f32),
    Box(V3, V3),
    /// Foot, radius, height.
    Cylinder(V3, f32, f32),
}

pub(crate) struct Thing {
    shape: Shape,
    /// Linear red, green, blue.
    pub(crate) albedo: V3,
    /// Near-infrared reflectance.
    pub(crate) infrared: f32,
    /// Strength of the highlight.
    pub(crate) gloss: f32,
}

const fn thing(shape: Shape, albedo: V3, infrared: f32, gloss: f32) -> Thing {
    Thing { shape, albedo, infrared, gloss }
}

pub(crate) static THINGS: [Thing; 13] = [
    // A wooden crate with a blue box on it.
    thing(Shape::Box(V3(-1.72, 0.0, 3.1), V3(-1.02, 0.6, 3.75)), V3(0.46, 0.27, 0.12), 0.55, 0.0),
    thing(Shape::Box(V3(-1.58, 0.6, 3.2), V3(-1.2, 0.9, 3.55)), V3(0.05, 0.17, 0.52), 0.4, 0.1),
    // A bench: top and two sides.
    thing(Shape::Box(V3(0.62, 0.64, 3.25), V3(1.9, 0.7, 3.95)), V3(0.62, 0.58, 0.52), 0.6, 0.1),
    thing(Shape::Box(V3(0.68, 0.0, 3.3), V3(0.74, 0.64, 3.9)), V3(0.16, 0.17, 0.19), 0.3, 0.0),
    thing(Shape::Box(V3(1.78, 0.0, 3.3), V3(1.84, 0.64, 3.9)), V3(0.16, 0.17, 0.19), 0.3, 0.0),
    // On the bench.
    thing(Shape::Cylinder(V3(0.9, 0.7, 3.55), 0.1, 0.34), V3(0.02, 0.35, 0.36), 0.45, 0.4),
    thing(Shape::Sphere(V3(1.24, 0.85, 3.5), 0.15), V3(0.75, 0.73, 0.7), 0.7, 0.5),
    thing(Shape::Box(V3(1.46, 0.7, 3.4), V3(1.72, 0.88, 3.66)), V3(0.5, 0.04, 0.05), 0.5, 0.1),
    // On the floor.
    thing(Shape::Sphere(V3(-0.42, 0.3, 3.55), 0.3), V3(0.08, 0.38, 0.1), 0.6, 0.35),
    thing(Shape::Sphere(V3(0.3, 0.2, 3.2), 0.2), V3(0.58, 0.04, 0.04), 0.5, 0.8),
    thing(Shape::Cylinder(V3(-1.2, 0.0, 2.75), 0.13, 0.44), V3(0.72, 0.5, 0.03), 0.6, 0.2),
    thing(Shape::Box(V3(1.0, 0.0, 2.65), V3(1.3, 0.3, 2.95)), V3(0.32, 0.1, 0.42), 0.45, 0.1),
    // A black rubber block: the stereo matcher sees little of it.
    thing(Shape::Box(V3(0.1, 0.0, 3.85), V3(0.5, 0.5, 4.1)), V3(0.022, 0.022, 0.024), 0.04, 0.0),
];

/// What a ray met first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit {
    /// Distance in units of the ray's direction: with directions scaled to z = 1 this is the camera's z in metres.
    pub(crate) t: f32,
    pub(crate) point: V3,
    pub(crate) normal: V3,
    /// Which thing; the room's own surfaces come after [`THINGS`].
    pub(crate) id: usize,
}

/// Light that leaves a point towards the camera, linear; 1 is a white surface under the lamp.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Light {
    /// Red, green, blue.
    pub(crate) color: V3,
    /// Room light as the infrared imagers see it.
    pub(crate) infrared: f32,
    /// Reflected dots at full laser power.
    pub(crate) dots: f32,
    /// The share of `color` and `infrared` that comes from the lamp and would be gone in a shadow.
    pub(crate) direct: f32,
}

/// The room position of an imager `x` metres right of the left one.
pub(crate) fn eye(x: f32) -> V3 {
    V3(x, CAMERA_HEIGHT_M, 0.0)
}

/// A camera direction (x, y, 1) in room coordinates.
pub(crate) fn direction(x: f32, y: f32) -> V3 {
    let (sin, cos) = TILT;
    V3(x, -y * cos - sin, cos - y * sin)
}

/// A room point in the left imager's coordinates.
pub(crate) fn to_camera(p: V3) -> V3 {
    let (sin, cos) = TILT;
    let up = p.1 - CAMERA_HEIGHT_M;
    V3(p.0, -up * cos - p.2 * sin, p.2 * cos - up * sin)
}

fn sphere(from: V3, dir: V3, centre: V3, radius: f32) -> Option<f32> {
    let to = from - centre;
    let (a, b, c) = (dir.dot(dir), to.dot(dir), to.dot(to) - radius * radius);
    let disc = b * b - a * c;
    if disc < 0.0 {
        return None;
    }
    let t = (-b - disc.sqrt()) / a;
    (t > 1e-4).then_some(t)
}

impl Shape {
    /// The nearest distance along a ray, and the normal there.
    fn meet(&self, from: V3, dir: V3, nearest: f32) -> Option<(f32, V3)> {
        match *self {
            Self::Sphere(centre, radius) => {
                let t = sphere(from, dir, centre, radius).filter(|t| *t < nearest)?;
                Some((t, (from + dir.scaled(t) - centre).scaled(1.0 / radius)))
            }
            Self::Box(min, max) => {
                let mut near = (1e-4_f32, V3::default());
                let mut far = nearest;
                let axes = [
                    (from.0, dir.0, min.0, max.0, V3(1.0, 0.0, 0.0)),
                    (from.1, dir.1, min.1, max.1, V3(0.0, 1.0, 0.0)),
                    (from.2, dir.2, min.2, max.2, V3(0.0, 0.0, 1.0)),
                ];
                for (o, d, lo, hi, axis) in axes {
                    let inv = 1.0 / d;
                    let (t0, t1, sign) = if d >= 0.0 {
                        ((lo - o) * inv, (hi - o) * inv, -1.0)
                    } else {
                        ((hi - o) * inv, (lo - o) * inv, 1.0)
                    };
                    if t0 > near.0 {
                        near = (t0, axis.scaled(sign));
                    }
                    far = far.min(t1);
                    if near.0 > far {
                        return None;
                    }
                }
                (near.1 != V3::default()).then_some(near)
            }
            Self::Cylinder(foot, radius, height) => {
                let (ox, oz) = (from.0 - foot.0, from.2 - foot.2);
                let (a, b) = (dir.0 * dir.0 + dir.2 * dir.2, ox * dir.0 + oz * dir.2);
                let disc = b * b - a * (ox * ox + oz * oz - radius * radius);
                if disc < 0.0 {
                    return None;
                }
                let t = (-b - disc.sqrt()) / a;
                let y = from.1 + dir.1 * t - foot.1;
                if t > 1e-4 && t < nearest && (0.0..=height).contains(&y) {
                    return Some((t, V3((ox + dir.0 * t) / radius, 0.0, (oz + dir.2 * t) / radius)));
                }
                let t = (foot.1 + height - from.1) / dir.1;
                let (x, z) = (ox + dir.0 * t, oz + dir.2 * t);
                (t > 1e-4 && t < nearest && x * x + z * z <= radius * radius).then_some((t, V3(0.0, 1.0, 0.0)))
            }
        }
    }
}

/// What a ray meets first in the room without the ball. The room is closed: there is always something.
pub(crate) fn cast(from: V3, dir: V3) -> Hit {
    let plane = |o: f32, d: f32, lo: f32, hi: f32| {
        if d > 0.0 {
            (hi - o) / d
        } else if d < 0.0 {
            (lo - o) / d
        } else {
            f32::MAX
        }
    };
    let room = [
        (plane(from.1, dir.1, 0.0, CEILING_Y), V3(0.0, -dir.1.signum(), 0.0)),
        (plane(from.0, dir.0, -WALL_X, WALL_X), V3(-dir.0.signum(), 0.0, 0.0)),
        (plane(from.2, dir.2, -3.0, WALL_Z), V3(0.0, 0.0, -dir.2.signum())),
    ];
    let mut best = (f32::MAX, V3(0.0, 1.0, 0.0), 0);
    for (i, (t, normal)) in room.into_iter().enumerate() {
        if t < best.0 {
            best = (t, normal, THINGS.len() + i);
        }
    }
    for (id, thing) in THINGS.iter().enumerate() {
        if let Some((t, normal)) = thing.shape.meet(from, dir, best.0) {
            best = (t, normal, id);
        }
    }
    Hit { t: best.0, point: from + dir.scaled(best.0), normal: best.1, id: best.2 }
}

/// Whether something of the room stands between two points.
pub(crate) fn blocked(from: V3, to: V3) -> bool {
    let dir = to - from;
    THINGS.iter().any(|thing| thing.shape.meet(from, dir, 0.999).is_some())
}

/// Light from a point of the room towards an eye, the ball left out. The dots are only worked out with `projector`.
pub(crate) fn light(hit: &Hit, eye: V3, projector: bool) -> Light {
    let start = hit.point + hit.normal.scaled(2e-3);
    // Four points of the lamp make the shadows' edges soft.
    let mut seen = 0.0;
    let faces = hit.normal.dot(LAMP - hit.point) > -LAMP_RADIUS_M;
    let spots: &[(f32, f32)] = if faces { &[(0.9, 0.35), (-0.35, 0.9), (-0.9, -0.35), (0.35, -0.9)] } else { &[] };
    for &(dx, dz) in spots {
        let lamp = LAMP + V3(dx, 0.0, dz).scaled(LAMP_RADIUS_M);
        if !blocked(start, lamp) {
            seen += 0.25;
        }
    }
    let (albedo, infrared, gloss) = materials::of(hit);
    let surface = Surface { point: hit.point, normal: hit.normal, albedo, infrared, gloss };
    surface.shade(eye, seen, projector)
}

/// A lit point.
struct Surface {
    point: V3,
    normal: V3,
    albedo: V3,
    infrared: f32,
    gloss: f32,
}

impl Surface {
    /// Light towards an eye where this share of the lamp is seen.
    fn shade(&self, eye: V3, seen: f32, projector: bool) -> Light {
        let Self { point, normal, albedo, infrared, gloss } = *self;
        let to_lamp = LAMP - point;
        let distance2 = to_lamp.dot(to_lamp);
        let to_lamp = to_lamp.unit();
        let view = (eye - point).unit();
        let lambert = normal.dot(to_lamp).max(0.0);
        let direct = seen * lambert * 7.0 / (distance2 + 2.0);
        let shine = normal.dot((to_lamp + view).unit()).max(0.0).powi(60) * gloss * seen;
        // Light from all sides, less near the floor's contact with things and in the room's corners.
        let open = 0.55 + 0.45 * (point.1 * 2.0 + 0.25).min(1.0).max(normal.1.min(0.8));
        let corner = 1.0 - 0.25 * (-3.5 * (WALL_Z - point.2).min(WALL_X - point.0.abs())).exp();
        let ambient = (0.30 + 0.10 * normal.1) * open * corner;
        let lit = albedo.scaled(direct + ambient) + V3(shine, shine, shine);
        let total = direct + ambient;
        let dots = if projector {
            let camera = to_camera(point);
            dots(camera) * infrared * normal.dot(view).max(0.0) * 14.0 / (camera.2 * camera.2 + 1.5)
        } else {
            0.0
        };
        Light {
            color: V3(lit.0 * 1.0, lit.1 * 0.97, lit.2 * 0.92),
            infrared: infrared * total * 0.8 + shine * 0.6,
            dots,
            direct: (direct + shine) / (total + shine).max(1e-6),
        }
    }
}

/// Brightness of the projector's pattern in the direction of a point in camera coordinates, 0 to 1.
fn dots(p: V3) -> f32 {
    let (u, v) = ((p.0 - PROJECTOR_X_M) / p.2 / DOT_PITCH, p.1 / p.2 / DOT_PITCH);
    let (cell_u, cell_v) = (u.floor(), v.floor());
    let hash = hash(cell_u as i32, cell_v as i32);
    // Dots stay inside their cell, so that one lookup finds the only dot that can reach a point.
    let centre = |bits: u32| 0.28 + 0.44 * (bits & 0xFF) as f32 / 255.0;
    let (du, dv) = (u - cell_u - centre(hash), v - cell_v - centre(hash >> 8));
    let strength = 0.55 + 0.45 * ((hash >> 16) & 0xFF) as f32 / 255.0;
    let sigma = DOT_SIGMA / DOT_PITCH;
    strength * (-(du * du + dv * dv) / (2.0 * sigma * sigma)).exp()
}

/// A pseudo-random number of two integers.
pub(crate) fn hash(x: i32, y: i32) -> u32 {
    let mut h = (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    h ^ (h >> 15)
}

/// The moving ball at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ball {
    pub(crate) centre: V3,
    /// Turn of its pattern in radians.
    spin: f32,
}

impl Ball {
    /// Where the ball is at `seconds`: it bounces under real gravity while it circles through the room.
    pub(crate) fn at(seconds: f64) -> Self {
        const BOUNCE_S: f64 = 0.64;
        const HEIGHT: f64 = 9.80665 * BOUNCE_S * BOUNCE_S / 8.0;
        let u = (seconds / BOUNCE_S).rem_euclid(1.0);
        let angle = seconds * 0.8;
        let centre = V3(
            (0.95 * angle.sin()) as f32,
            BALL_RADIUS_M + (HEIGHT * 4.0 * u * (1.0 - u)) as f32,
            (2.35 - 0.35 * angle.cos()) as f32,
        );
        Self { centre, spin: (seconds * 2.1).rem_euclid(std::f64::consts::TAU) as f32 }
    }

    /// Distance along a ray to the ball.
    pub(crate) fn meet(&self, from: V3, dir: V3) -> Option<f32> {
        sphere(from, dir, self.centre, BALL_RADIUS_M)
    }

    /// Light from the ball's point nearest to `point` towards an eye.
    pub(crate) fn light(&self, point: V3, eye: V3, projector: bool) -> Light {
        let normal = (point - self.centre).unit();
        let point = self.centre + normal.scaled(BALL_RADIUS_M);
        let segment = ((normal.2.atan2(normal.0) + self.spin) / std::f32::consts::TAU * 6.0).floor() as i32;
        let white = normal.1.abs() > 0.94;
        let (albedo, infrared) = match segment.rem_euclid(6) {
            _ if white => (V3(0.85, 0.85, 0.82), 0.75),
            0 => (V3(0.8, 0.08, 0.05), 0.6),
            2 => (V3(0.85, 0.6, 0.03), 0.65),
            4 => (V3(0.04, 0.2, 0.62), 0.4),
            _ => (V3(0.85, 0.85, 0.82), 0.75),
        };
        Surface { point, normal, albedo, infrared, gloss: 0.45 }.shade(eye, 1.0, projector)
    }

    /// How much of the lamp the ball hides from a point, 0 to 1.
    pub(crate) fn shadow(&self, point: V3) -> f32 {
        let to_lamp = LAMP - point;
        let along = (self.centre - point).dot(to_lamp) / to_lamp.dot(to_lamp);
        if along <= 0.0 {
            return 0.0;
        }
        let off = point + to_lamp.scaled(along) - self.centre;
        // The lamp seen past the ball: the penumbra grows with the distance from the ball.
        let blur = LAMP_RADIUS_M * along + 0.005;
        if off.dot(off) > (BALL_RADIUS_M + blur) * (BALL_RADIUS_M + blur) {
            return 0.0;
        }
        let t = ((BALL_RADIUS_M + blur - off.dot(off).sqrt()) / (2.0 * blur)).clamp(0.0, 1.0);
        t * t * (3.0 - 2.0 * t)
    }

    /// Spheres (centre, radius) that hold the ball and all of its shadow.
    pub(crate) fn shadow_bounds(&self) -> [(V3, f32); 2] {
        let away = self.centre - LAMP;
        let along = -self.centre.1 / away.1;
        let floor = self.centre + away.scaled(along);
        let grown = BALL_RADIUS_M * (1.0 + along) + LAMP_RADIUS_M * along;
        [(self.centre, BALL_RADIUS_M * 1.02), (floor, grown * 1.25)]
    }
}
