//! The still room as one imager sees it at one size, ray-cast once and shared, and the ball drawn over it each frame.
//! Owns light and distance per pixel in linear units; what exposure, laser and formats make of them is the painters'.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    optics::{BASELINE_M, View, Viewpoint},
    scene::{self, BALL_RADIUS_M, Ball, Hit, Light, V3},
};
use crate::sync::{Mutex, lock};

/// Fixed-point 1.0 of [`Sample`]; the most is 4.0.
pub(crate) const UNIT: f32 = 16384.0;

/// Light of one pixel. Colour imager: red, green, blue, lamp's share. Infrared: room light, dots, 0, lamp's share.
pub(crate) type Sample = [u16; 4];

/// The still room as seen by one imager.
pub(crate) struct Backdrop {
    pub(crate) view: View,
    pub(crate) light: Vec<Sample>,
    /// Distance along the optical axis in metres.
    pub(crate) z: Vec<f32>,
    /// Left imager only: the right imager cannot see this point, so there is no depth.
    pub(crate) hidden: Vec<bool>,
}

/// A rectangle of pixels, with even left, top, width and height wherever the picture allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) left: usize,
    pub(crate) top: usize,
    pub(crate) right: usize,
    pub(crate) bottom: usize,
}

impl Backdrop {
    pub(crate) fn width(&self) -> usize {
        self.view.intrinsics.width as usize
    }

    pub(crate) fn height(&self) -> usize {
        self.view.intrinsics.height as usize
    }

    /// The room point behind a pixel.
    fn point(&self, eye: V3, x: usize, y: usize) -> (V3, V3, f32) {
        let (dx, dy) = self.view.direction(x as f32, y as f32);
        let dir = scene::direction(dx, dy);
        let z = self.z[y * self.width() + x];
        (eye + dir.scaled(z), dir, z)
    }

    /// Pixels that a sphere can cover.
    fn area_of(&self, centre: V3, radius: f32) -> Area {
        let c = scene::to_camera(centre) - V3(self.view.viewpoint.x(), 0.0, 0.0);
        let i = &self.view.intrinsics;
        let (near, far) = (c.2 - radius, c.2 + radius);
        if near < 0.1 {
            return Area { left: 0, top: 0, right: self.width(), bottom: self.height() };
        }
        let low = |v: f32, f: f32, p: f32| ((v - radius) / near).min((v - radius) / far) * f + p - 2.0;
        let high = |v: f32, f: f32, p: f32| ((v + radius) / near).max((v + radius) / far) * f + p + 3.0;
        self.clip(low(c.0, i.fx, i.ppx), low(c.1, i.fy, i.ppy), high(c.0, i.fx, i.ppx), high(c.1, i.fy, i.ppy))
    }

    fn clip(&self, left: f32, top: f32, right: f32, bottom: f32) -> Area {
        // Float to integer casts saturate: what lies outside becomes an empty area at the border.
        let even_down = |v: f32, size: usize| (v.floor() as usize & !1).min(size);
        let even_up = |v: f32, size: usize| ((v.ceil() as usize + 1) & !1).min(size);
        let (w, h) = (self.width(), self.height());
        Area { left: even_down(left, w), top: even_down(top, h), right: even_up(right, w), bottom: even_up(bottom, h) }
    }
}

impl Area {
    fn union(self, o: Area) -> Area {
        if self.is_empty() {
            return o;
        }
        if o.is_empty() {
            return self;
        }
        Area {
            left: self.left.min(o.left),
            top: self.top.min(o.top),
            right: self.right.max(o.right),
            bottom: self.bottom.max(o.bottom),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left >= self.right || self.top >= self.bottom
    }
}

fn is_hidden(view: &View, x: usize, hit: &Hit, right_eye: V3) -> bool {
    let disparity = view.intrinsics.fx * BASELINE_M / hit.t;
    // Out of the right imager's picture, or behind something for it.
    (x as f32) < disparity || scene::blocked(hit.point + hit.normal.scaled(2e-3), right_eye)
}

/// Whether two neighbours differ enough for the border between them to need smoothing: by 1/64 of full brightness plus
/// an eighth of the darker one. Dots are soft by themselves and do not count.
fn contrast(a: &Sample, b: &Sample, infrared: bool) -> bool {
    (0..if infrared { 1 } else { 3 }).any(|i| a[i].abs_diff(b[i]) > 256 + a[i].min(b[i]) / 8)
}

fn pack(light: &Light, infrared: bool) -> Sample {
    let fixed = |v: f32| (v * UNIT) as u16;
    if infrared {
        [fixed(light.infrared), fixed(light.dots), 0, fixed(light.direct)]
    } else {
        [fixed(light.color.0), fixed(light.color.1), fixed(light.color.2), fixed(light.direct)]
    }
}

/// The ball over a backdrop at one moment.
pub(crate) struct Overlay<'a> {
    backdrop: &'a Backdrop,
    ball: Ball,
    eye: V3,
    infrared: bool,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(backdrop: &'a Backdrop, ball: Ball) -> Self {
        let viewpoint = backdrop.view.viewpoint;
        Self { backdrop, ball, eye: scene::eye(viewpoint.x()), infrared: viewpoint != Viewpoint::Color }
    }

    /// The pixels whose light the ball or its shadow may change.
    pub(crate) fn lit_area(&self) -> Area {
        let [ball, shadow] = self.ball.shadow_bounds().map(|(centre, radius)| self.backdrop.area_of(centre, radius));
        ball.union(shadow)
    }

    /// The pixels whose depth the ball may change: itself and, left of it, what it hides from the right imager.
    pub(crate) fn depth_area(&self) -> Area {
        let area = self.backdrop.area_of(self.ball.centre, BALL_RADIUS_M);
        let near = (scene::to_camera(self.ball.centre).2 - BALL_RADIUS_M).max(0.1);
        let reach = (self.backdrop.view.intrinsics.fx * BASELINE_M / near) as usize + 2;
        Area { left: area.left.saturating_sub(reach) & !1, ..area }
    }

    /// Light of a pixel.
    pub(crate) fn light(&self, x: usize, y: usize) -> Sample {
        let still = self.backdrop.light[y * self.backdrop.width() + x];
        let (point, dir, z) = self.backdrop.point(self.eye, x, y);
        // How far the ray passes from the ball's centre, against the size of a pixel there: its share of the pixel.
        let along = (self.ball.centre - self.eye).dot(dir) / dir.dot(dir);
        let nearest = self.eye + dir.scaled(along);
        let off = nearest - self.ball.centre;
        let off2 = off.dot(off);
        let mut cover = 0.0;
        if off2 < (BALL_RADIUS_M * 1.05) * (BALL_RADIUS_M * 1.05) && along < z + BALL_RADIUS_M {
            let pixel = along / self.backdrop.view.intrinsics.fx;
            let hit = self.ball.meet(self.eye, dir).unwrap_or(along);
            if hit < z {
                cover = ((BALL_RADIUS_M - off2.sqrt()) / pixel + 0.5).clamp(0.0, 1.0);
            }
            if cover >= 1.0 {
                return pack(&self.ball.light(self.eye + dir.scaled(hit), self.eye, self.infrared), self.infrared);
            }
        }
        let shadow = if still[3] == 0 { 0.0 } else { self.ball.shadow(point) };
        let mut out = still;
        if shadow > 0.0 {
            let keep = 1.0 - shadow * f32::from(still[3]) / UNIT;
            let shaded: &mut [u16] = if self.infrared { &mut out[..1] } else { &mut out[..3] };
            shaded.iter_mut().for_each(|v| *v = (f32::from(*v) * keep) as u16);
        }
        if cover > 0.0 {
            let ball = pack(&self.ball.light(nearest, self.eye, self.infrared), self.infrared);
            for (v, b) in out.iter_mut().zip(ball) {
                *v = (f32::from(*v) * (1.0 - cover) + f32::from(b) * cover) as u16;
            }
        }
        out
    }

    /// What the ball does to the depth of a pixel of the left imager.
    pub(crate) fn depth(&self, x: usize, y: usize) -> BallDepth {
        let (point, dir, z) = self.backdrop.point(self.eye, x, y);
        if let Some(t) = self.ball.meet(self.eye, dir).filter(|t| *t < z) {
            let hit = self.eye + dir.scaled(t);
            let facing = (hit - self.ball.centre).dot(dir).abs() / (BALL_RADIUS_M * dir.dot(dir).sqrt());
            let seen_left_of = (x as f32) < self.backdrop.view.intrinsics.fx * BASELINE_M / t;
            // At a grazing angle the matcher finds nothing.
            return if facing < 0.16 || seen_left_of { BallDepth::Hole } else { BallDepth::At(t) };
        }
        let right = scene::eye(BASELINE_M);
        match self.ball.meet(right, point - right) {
            Some(t) if t < 0.999 => BallDepth::Hole,
            _ => BallDepth::Untouched,
        }
    }
}

/// What the ball does to a depth pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum BallDepth {
    /// The ball is here, at this distance in metres.
    At(f32),
    /// No depth here because of the ball.
    Hole,
    /// As without the ball.
    Untouched,
}

/// A backdrop that is being cast: a ray through every pixel, then four through those at an edge.
struct Casting {
    backdrop: Backdrop,
    /// What each pixel shows.
    ids: Vec<u8>,
    /// The light of all pixels before edges are softened.
    sharp: Vec<Sample>,
    /// Rows done, each of them twice.
    rows: usize,
}

impl Casting {
    fn new(view: View) -> Self {
        let pixels = view.intrinsics.width as usize * view.intrinsics.height as usize;
        let hidden = Vec::with_capacity(if view.viewpoint == Viewpoint::Left { pixels } else { 0 });
        let backdrop = Backdrop { view, light: Vec::with_capacity(pixels), z: Vec::with_capacity(pixels), hidden };
        Self { backdrop, ids: Vec::with_capacity(pixels), sharp: Vec::new(), rows: 0 }
    }

    /// Goes on where it was told to stop. Gives whether it is done.
    fn run(&mut self, stop: &AtomicBool) -> bool {
        let height = self.backdrop.height();
        while self.rows < 2 * height {
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            match self.rows.checked_sub(height) {
                None => self.cast(self.rows),
                Some(y) => self.soften(y),
            }
            self.rows += 1;
        }
        true
    }

    fn see(&self, x: f32, y: f32) -> (Hit, Sample) {
        let View { viewpoint, .. } = self.backdrop.view;
        let eye = scene::eye(viewpoint.x());
        let infrared = viewpoint != Viewpoint::Color;
        let (dx, dy) = self.backdrop.view.direction(x, y);
        let hit = scene::cast(eye, scene::direction(dx, dy));
        let light = pack(&scene::light(&hit, eye, infrared), infrared);
        (hit, light)
    }

    fn cast(&mut self, y: usize) {
        let left = self.backdrop.view.viewpoint == Viewpoint::Left;
        let right_eye = scene::eye(BASELINE_M);
        for x in 0..self.backdrop.width() {
            let (hit, sample) = self.see(x as f32, y as f32);
            self.backdrop.z.push(hit.t);
            self.backdrop.light.push(sample);
            self.ids.push(hit.id as u8);
            if left {
                self.backdrop.hidden.push(is_hidden(&self.backdrop.view, x, &hit, right_eye));
            }
        }
    }

    fn soften(&mut self, y: usize) {
        let (width, height) = (self.backdrop.width(), self.backdrop.height());
        let infrared = self.backdrop.view.viewpoint != Viewpoint::Color;
        if self.sharp.is_empty() {
            self.sharp.clone_from(&self.backdrop.light);
        }
        for x in 0..width {
            let at = y * width + x;
            let differs = |other: usize| {
                self.ids[at] != self.ids[other] || contrast(&self.sharp[at], &self.sharp[other], infrared)
            };
            let edge = (x > 0 && differs(at - 1))
                || (x + 1 < width && differs(at + 1))
                || (y > 0 && differs(at - width))
                || (y + 1 < height && differs(at + width));
            if edge {
                let mut sum = [0u32; 4];
                for (dx, dy) in [(0.125, 0.375), (-0.375, 0.125), (-0.125, -0.375), (0.375, -0.125)] {
                    let (_, sample) = self.see(x as f32 + dx, y as f32 + dy);
                    sum.iter_mut().zip(sample).for_each(|(sum, value)| *sum += u32::from(value));
                }
                self.backdrop.light[at] = sum.map(|sum| (sum / 4) as u16);
            }
        }
    }
}

/// Backdrops that were cast, the latest used last. All simulated cameras look at the same room and share them.
#[derive(Default)]
pub(crate) struct Backdrops(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    cast: Vec<Arc<Backdrop>>,
    /// What was told to stop goes on where it was: a sensor that is restarted because its first picture takes long on a busy
    /// machine would else never have one.
    begun: Vec<Casting>,
}

/// Backdrops kept: three imagers at two sizes. One takes 12 bytes a pixel, 3.7 MB at 640x480.
const KEPT: usize = 6;

impl Backdrops {
    /// The backdrop of a view, cast now if need be. `None` when told to stop meanwhile.
    pub(crate) fn get(&self, view: View, stop: &AtomicBool) -> Option<Arc<Backdrop>> {
        let find = |kept: &mut Kept| {
            let at = kept.cast.iter().position(|b| b.view == view)?;
            let found = kept.cast.remove(at);
            kept.cast.push(found.clone());
            Some(found)
        };
        let mut casting = {
            let mut kept = lock(&self.0);
            if let Some(found) = find(&mut kept) {
                return Some(found);
            }
            let begun = kept.begun.iter().position(|casting| casting.backdrop.view == view);
            begun.map(|at| kept.begun.remove(at)).unwrap_or_else(|| Casting::new(view))
        };
        // Cast outside the lock: two streams may cast different views at the same time.
        let done = casting.run(stop);
        let mut kept = lock(&self.0);
        if !done {
            push_bounded(&mut kept.begun, casting);
            return None;
        }
        if let Some(found) = find(&mut kept) {
            return Some(found);
        }
        let cast = Arc::new(casting.backdrop);
        push_bounded(&mut kept.cast, cast.clone());
        Some(cast)
    }
}

/// Lets the oldest go where there is no room.
fn push_bounded<T>(kept: &mut Vec<T>, new: T) {
    if kept.len() >= KEPT {
        kept.remove(0);
    }
    kept.push(new);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::StreamType;

    #[test]
    fn what_is_told_to_stop_again_and_again_gets_done() {
        let view = View::new(StreamType::Depth, 640, 480).expect("a view");
        let (backdrops, stop) = (Backdrops::default(), AtomicBool::new(true));
        assert!(backdrops.get(view, &stop).is_none());
        // A slice is far shorter than a cast.
        let slice = || {
            stop.store(false, Ordering::Relaxed);
            std::thread::scope(|scope| {
                let cast = scope.spawn(|| backdrops.get(view, &stop));
                std::thread::sleep(Duration::from_millis(2));
                stop.store(true, Ordering::Relaxed);
                cast.join().expect("no panic")
            })
        };
        let (mut slices, mut cast) = (0, None);
        while cast.is_none() && slices < 10_000 {
            (slices, cast) = (slices + 1, slice());
        }
        let cast = cast.expect("the backdrop gets done");
        assert!(slices > 1, "a slice was long enough for all of it");
        let at_once = Backdrops::default().get(view, &AtomicBool::new(false)).expect("not stopped");
        assert!(cast.light == at_once.light && cast.z == at_once.z && cast.hidden == at_once.hidden);
        assert!(lock(&backdrops.0).begun.is_empty());
    }
}
