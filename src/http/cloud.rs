//! Point clouds for clients: made of the newest depth frame, coloured by the newest colour frame. Owns what is known of how a
//! device's colour camera stands to its depth camera; sends nothing.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    camera::Frame,
    core::picture::{
        cloud::{self, ColorPicture},
        geometry,
    },
    model::{DeviceId, Extrinsics, StreamType},
    session::{Handle, clouds},
    sync::{Mutex, lock},
};

/// Most points of a cloud: every 16th pixel of 1280x720 and every 9th of 640x480 are fewer.
pub(super) const MAX_POINTS: usize = 60_000;
/// How long a device that does not tell how its colour camera stands is left alone.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Bytes of one point on the wire: twelve of coordinates and three of colour, in base64.
pub(super) const POINT_BYTES: usize = 20;

/// The points of a depth frame.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct PointCloud {
    /// Base64 of little-endian f32 x, y, z in metres.
    vertices: String,
    /// Base64 of red, green and blue, a byte each, for each point in the same order. Absent while colour does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    colors: Option<String>,
    /// Always empty: the points have colours of their own.
    texture_coordinates: [f32; 0],
}

/// What a cloud is made of.
#[derive(Clone)]
pub(super) struct Subject {
    depth: Arc<Frame>,
    color: Option<(Arc<Frame>, Option<Extrinsics>)>,
}

impl Subject {
    /// The newest frames of a device; `None` while depth has none that can be used.
    pub(super) fn of(handle: &Handle, device: &DeviceId, transforms: &Transforms) -> Option<Self> {
        let depth = handle.latest_frame(device, StreamType::Depth)?;
        let usable = clouds::is_usable(&depth);
        let color = handle.latest_frame(device, StreamType::Color).and_then(|frame| {
            // Depth that is aligned to colour sees as colour does.
            if frame.intrinsics.is_some() && frame.intrinsics == depth.intrinsics {
                return Some((frame, None));
            }
            let from_depth = transforms.to_color(handle, device)?;
            Some((frame, Some(from_depth)))
        });
        usable.then_some(Self { depth, color })
    }

    /// A grid of points over the depth picture, holes left out: x, y, z one after the other, in metres.
    pub(super) fn points(&self, max_points: usize) -> Vec<f32> {
        let Some(intrinsics) = &self.depth.intrinsics else { return Vec::new() };
        geometry::point_cloud(self.depth.bytes(), intrinsics, self.depth.depth_units, max_points)
    }

    /// The cloud with at most so many points.
    pub(super) fn cloud(&self, max_points: usize) -> PointCloud {
        let points = self.points(max_points);
        let colors = self.color.as_ref().and_then(|(frame, from_depth)| {
            let intrinsics = frame.intrinsics.as_ref()?;
            let (bytes, format, from_depth) = (frame.bytes(), frame.format, from_depth.as_ref());
            cloud::colors(&points, &ColorPicture { bytes, format, intrinsics, from_depth })
        });
        let packed: Vec<u8> = points.iter().flat_map(|value| value.to_le_bytes()).collect();
        let colors = colors.map(|colors| STANDARD.encode(colors));
        PointCloud { vertices: STANDARD.encode(packed), colors, texture_coordinates: [] }
    }
}

/// How each device's colour camera stands to its depth camera. A device is asked once, beside everything else: it may take long.
#[derive(Clone, Default)]
pub(super) struct Transforms {
    known: Arc<Mutex<BTreeMap<DeviceId, Extrinsics>>>,
    /// When each was last asked.
    asked: Arc<Mutex<BTreeMap<DeviceId, Instant>>>,
}

impl Transforms {
    /// From depth to colour; `None` while it is not known yet.
    fn to_color(&self, handle: &Handle, device: &DeviceId) -> Option<Extrinsics> {
        if let Some(known) = lock(&self.known).get(device) {
            return Some(*known);
        }
        // One that does not tell, because one of the streams had just stopped or for good, is asked again later.
        let mut asked = lock(&self.asked);
        if asked.get(device).is_none_or(|at| at.elapsed() >= ASK_AGAIN) {
            asked.insert(device.clone(), Instant::now());
            let (transforms, handle, device) = (self.clone(), handle.clone(), device.clone());
            tokio::spawn(async move {
                let found = handle.calibration(&device).await.ok().and_then(|calibration| {
                    // Colour comes first in the list, so that depth's is the way to it.
                    let streams = calibration.streams;
                    let to_first = |stream| streams.iter().find(|known| known.stream_type == stream)?.to_first;
                    let color_first = streams.first().is_some_and(|first| first.stream_type == StreamType::Color);
                    color_first.then(|| to_first(StreamType::Depth)).flatten()
                });
                if let Some(found) = found {
                    lock(&transforms.known).insert(device.clone(), found);
                }
            });
        }
        None
    }

    /// Forgets the devices that are not among these.
    pub(super) fn keep(&self, devices: impl Fn(&DeviceId) -> bool) {
        lock(&self.known).retain(|device, _| devices(device));
        lock(&self.asked).retain(|device, _| devices(device));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Intrinsics, PixelFormat, TimestampDomain};

    fn frame(stream: StreamType, format: PixelFormat, width: u32, height: u32, data: Vec<u8>) -> Arc<Frame> {
        let (fx, fy, ppx, ppy) = (2.0, 4.0, 1.0, 0.0);
        Arc::new(Frame {
            stream,
            format,
            width,
            height,
            data: Arc::new(data),
            number: 7,
            timestamp_ms: 1234.5,
            timestamp_domain: TimestampDomain::GlobalTime,
            metadata: vec![],
            captured_at: Instant::now(),
            depth_units: 0.001,
            intrinsics: Some(Intrinsics { width, height, fx, fy, ppx, ppy, ..Intrinsics::default() }),
        })
    }

    fn depth(raw: &[u16]) -> Arc<Frame> {
        let data = raw.iter().flat_map(|raw| raw.to_le_bytes()).collect();
        frame(StreamType::Depth, PixelFormat::Z16, u32::try_from(raw.len()).expect("small"), 1, data)
    }

    fn points(cloud: &PointCloud) -> Vec<[f32; 3]> {
        let bytes = STANDARD.decode(&cloud.vertices).expect("base64");
        let floats: Vec<f32> =
            bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four bytes"))).collect();
        floats.chunks_exact(3).map(|three| [three[0], three[1], three[2]]).collect()
    }

    #[test]
    fn points_are_metres_and_holes_are_left_out() {
        let cloud = Subject { depth: depth(&[1000, 0, 2000]), color: None }.cloud(MAX_POINTS);
        assert_eq!(points(&cloud), [[-0.5, 0.0, 1.0], [1.0, 0.0, 2.0]]);
        let json = serde_json::to_value(&cloud).expect("plain data");
        assert_eq!(json["texture_coordinates"], serde_json::json!([]));
        assert!(json.get("colors").is_none());
    }

    #[test]
    fn points_have_the_colours_of_the_picture() {
        let color = frame(StreamType::Color, PixelFormat::Rgb8, 3, 1, (0..9).collect());
        let cloud = Subject { depth: depth(&[1000, 0, 2000]), color: Some((color, None)) }.cloud(MAX_POINTS);
        assert_eq!(STANDARD.decode(cloud.colors.expect("colours")).expect("base64"), [0, 1, 2, 6, 7, 8]);
    }

    #[test]
    fn the_cloud_is_bounded_for_every_size() {
        for (width, height) in [(1280, 720), (848, 480), (640, 480), (424, 240), (1, 1)] {
            let picture = vec![1u8; width * height * 2];
            let (width, height) = (u32::try_from(width).expect("small"), u32::try_from(height).expect("small"));
            let depth = frame(StreamType::Depth, PixelFormat::Z16, width, height, picture);
            for most in [MAX_POINTS, 20_000, 8000] {
                let count = points(&Subject { depth: depth.clone(), color: None }.cloud(most)).len();
                assert!((1..=most).contains(&count), "{width}x{height}: {count} of {most}");
            }
        }
    }
}
