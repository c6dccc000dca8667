//! Where the simulated D435I's imagers sit and how they see: intrinsics for every size, extrinsics between streams.
//! Everything the pictures and the API say about geometry comes from here, so that they cannot disagree.

use crate::model::{Extrinsics, Intrinsics, StreamType};

/// Distance between the infrared imagers in metres (D400 series datasheet: D435I baseline 50 mm).
pub const BASELINE_M: f32 = 0.050;
/// Distance of the colour imager from the left imager in metres, away from the right one (datasheet: 15 mm).
const COLOR_OFFSET_M: f32 = 0.015;
/// Where the projector sits between the imagers, metres right of the left imager (datasheet: about the middle).
pub(crate) const PROJECTOR_X_M: f32 = 0.029;
/// The IMU relative to the left imager, as a D435I's calibration reports it (metres).
const IMU_TRANSLATION_M: [f32; 3] = [-0.005_52, 0.005_10, 0.011_74];

/// Focal length in pixels at 1280 px width: 88.7° x 57.6° at 1280x720 (datasheet: 87°±3° x 58°±1°).
const DEPTH_FOCAL_1280: f32 = 655.0;
/// Focal length in pixels at 1920 px width: 69.4° x 42.5° (datasheet: 69°±1° x 42°±1°).
const COLOR_FOCAL_1920: f32 = 1387.0;

/// One of the places that pictures are taken from. Depth is seen from the left imager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Viewpoint {
    /// Depth and infrared-1.
    Left,
    /// Infrared-2.
    Right,
    /// The colour imager.
    Color,
}

impl Viewpoint {
    /// The viewpoint of a video stream.
    pub(crate) fn of(stream: StreamType) -> Option<Self> {
        match stream {
            StreamType::Depth | StreamType::Infrared(1) => Some(Self::Left),
            StreamType::Infrared(2) => Some(Self::Right),
            StreamType::Color => Some(Self::Color),
            _ => None,
        }
    }

    /// Metres right of the left imager. All imagers look in the same direction.
    pub(crate) fn x(self) -> f32 {
        match self {
            Self::Left => 0.0,
            Self::Right => BASELINE_M,
            Self::Color => -COLOR_OFFSET_M,
        }
    }
}

/// How an imager sees at one size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct View {
    pub(crate) viewpoint: Viewpoint,
    pub(crate) intrinsics: Intrinsics,
}

impl View {
    /// The view of a video stream at a size.
    pub(crate) fn new(stream: StreamType, width: u32, height: u32) -> Option<Self> {
        let viewpoint = Viewpoint::of(stream)?;
        Some(Self { viewpoint, intrinsics: intrinsics(stream, width, height)? })
    }

    /// The direction of a (sub)pixel in camera coordinates, scaled to z = 1.
    pub(crate) fn direction(&self, x: f32, y: f32) -> (f32, f32) {
        let i = &self.intrinsics;
        ((x - i.ppx) / i.fx, (y - i.ppy) / i.fy)
    }
}

/// Intrinsics of a video stream. As in the real device a size of another shape is cut from the middle of the imager
/// (1280x800 stereo, 1920x1080 colour) and scaled; the principal point is a little off the middle.
pub fn intrinsics(stream: StreamType, width: u32, height: u32) -> Option<Intrinsics> {
    if width == 0 || height == 0 {
        return None;
    }
    let (w, h) = (width as f32, height as f32);
    let (scale, focal, off_x, off_y) = match Viewpoint::of(stream)? {
        Viewpoint::Left | Viewpoint::Right => ((w / 1280.0).max(h / 800.0), DEPTH_FOCAL_1280, 1.7, -0.9),
        Viewpoint::Color => ((w / 1920.0).max(h / 1080.0), COLOR_FOCAL_1920, 4.2, 2.6),
    };
    Some(Intrinsics {
        width,
        height,
        fx: focal * scale,
        fy: focal * scale,
        ppx: (w - 1.0) / 2.0 + off_x * scale,
        ppy: (h - 1.0) / 2.0 + off_y * scale,
        ..Intrinsics::default()
    })
}

/// The transform from one stream's coordinates to another's: no rotation, the imagers stand side by side.
pub fn extrinsics(from: StreamType, to: StreamType) -> Option<Extrinsics> {
    let (a, b) = (position(from)?, position(to)?);
    Some(Extrinsics {
        rotation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        translation: [a[0] - b[0], a[1] - b[1], a[2] - b[2]],
    })
}

/// Where a stream's sensor sits in the left imager's coordinates, in metres.
fn position(stream: StreamType) -> Option<[f32; 3]> {
    match stream {
        StreamType::Gyro | StreamType::Accel => Some(IMU_TRANSLATION_M.map(|t| -t)),
        _ => Some([Viewpoint::of(stream)?.x(), 0.0, 0.0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_view_are_the_data_sheets() {
        let degrees = |size: u32, focal: f32| 2.0 * (size as f32 / 2.0 / focal).atan().to_degrees();
        let depth = intrinsics(StreamType::Depth, 1280, 720).unwrap();
        assert!((84.0..=90.0).contains(&degrees(1280, depth.fx)) && (57.0..=59.0).contains(&degrees(720, depth.fy)));
        let color = intrinsics(StreamType::Color, 1920, 1080).unwrap();
        assert!((68.0..=70.0).contains(&degrees(1920, color.fx)) && (41.0..=43.0).contains(&degrees(1080, color.fy)));
        assert_eq!(intrinsics(StreamType::Gyro, 640, 480), None);
        assert_eq!(intrinsics(StreamType::Depth, 0, 480), None);
    }

    #[test]
    fn the_right_imager_sees_things_further_left() {
        let to_right = extrinsics(StreamType::Depth, StreamType::Infrared(2)).unwrap();
        assert_eq!(to_right.translation, [-BASELINE_M, 0.0, 0.0]);
        let to_color = extrinsics(StreamType::Depth, StreamType::Color).unwrap();
        assert_eq!(to_color.translation, [COLOR_OFFSET_M, 0.0, 0.0]);
        let back = extrinsics(StreamType::Color, StreamType::Depth).unwrap();
        assert_eq!(back.translation, [-COLOR_OFFSET_M, 0.0, 0.0]);
        assert!(extrinsics(StreamType::Depth, StreamType::Gyro).is_some());
    }
}
