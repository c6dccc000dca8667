//! What `metadata_update` holds, built from the newest frames. Owns the update's shape and the point cloud's size;
//! sends nothing.

use std::{collections::BTreeMap, time::SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use utoipa::ToSchema;

use super::types::unix_seconds;
use crate::{
    camera::{Frame, StreamConfig},
    core::picture::geometry,
    model::{DeviceId, PixelFormat, StreamType, TimestampDomain},
    session::Handle,
};

/// Most points of a point cloud: 80 KB of base64, 2.4 MB/s at 30 updates a second, and still a dense picture in a page.
const MAX_POINTS: usize = 5000;

/// Socket.IO payload of `metadata_update`: the newest frames of one device in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MetadataUpdate {
    /// The device that it is about.
    device_id: DeviceId,
    /// Whether any of its streams runs.
    is_streaming: bool,
    /// The server's clock when this was made, in Unix seconds.
    timestamp_server: f64,
    /// The newest frame of each stream that runs and has one, by stream type.
    #[schema(value_type = BTreeMap<String, StreamMetadata>)]
    metadata_streams: BTreeMap<StreamType, StreamMetadata>,
}

/// One stream's newest frame in numbers.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct StreamMetadata {
    /// Stream type.
    #[schema(value_type = String, example = "depth")]
    stream_type: StreamType,
    /// The frame's time in milliseconds, by the clock that `timestamp_domain` names.
    timestamp: f64,
    /// The clock of `timestamp`.
    timestamp_domain: TimestampDomain,
    /// The camera's count of frames.
    frame_number: u64,
    /// Width in pixels; 0 for motion.
    width: u32,
    /// Height in pixels; 0 for motion.
    height: u32,
    /// The camera's metadata of the frame, by librealsense's names.
    #[schema(value_type = BTreeMap<String, i64>)]
    metadata: BTreeMap<&'static str, i64>,
    /// The sample of a gyro or an accelerometer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    motion_data: Option<Motion>,
    /// The points of a depth frame, while the device's point cloud is activated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    point_cloud: Option<PointCloud>,
}

/// What a motion sensor measured: rad/s for a gyro, m/s² for an accelerometer.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct Motion {
    /// On the x axis.
    x: f32,
    /// On the y axis.
    y: f32,
    /// On the z axis.
    z: f32,
}

/// The points of a depth frame.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct PointCloud {
    /// Base64 of little-endian f32 x, y, z in metres.
    vertices: String,
    /// Always empty: the points are not textured.
    texture_coordinates: [f32; 0],
}

impl MetadataUpdate {
    /// The newest frames of what a device streams.
    pub(super) fn of(handle: &Handle, device: &DeviceId, running: &[StreamConfig], point_cloud: bool) -> Self {
        let metadata_streams = running
            .iter()
            .filter_map(|config| Some((config.stream, handle.latest_frame(device, config.stream)?)))
            .map(|(stream, frame)| (stream, StreamMetadata::of(&frame, point_cloud)))
            .collect();
        Self {
            device_id: device.clone(),
            is_streaming: !running.is_empty(),
            timestamp_server: unix_seconds(SystemTime::now()),
            metadata_streams,
        }
    }

    /// The frame numbers it was made of: an update with the same ones says nothing new.
    pub(super) fn frame_numbers(&self) -> Vec<(StreamType, u64)> {
        self.metadata_streams.values().map(|stream| (stream.stream_type, stream.frame_number)).collect()
    }
}

impl StreamMetadata {
    fn of(frame: &Frame, point_cloud: bool) -> Self {
        Self {
            stream_type: frame.stream,
            timestamp: frame.timestamp_ms,
            timestamp_domain: frame.timestamp_domain,
            frame_number: frame.number,
            width: frame.width,
            height: frame.height,
            metadata: frame.metadata.iter().filter_map(|(key, value)| Some((key.name()?, *value))).collect(),
            motion_data: frame.motion().map(|[x, y, z]| Motion { x, y, z }),
            point_cloud: (point_cloud && frame.stream == StreamType::Depth).then(|| PointCloud::of(frame)).flatten(),
        }
    }
}

impl PointCloud {
    /// A grid of points over the depth picture, holes left out; `None` for a frame that is no good.
    fn of(frame: &Frame) -> Option<Self> {
        let intrinsics = frame.intrinsics?;
        if frame.format != PixelFormat::Z16 || !frame.size_fits() {
            return None;
        }
        let points = geometry::point_cloud(frame.bytes(), &intrinsics, frame.depth_units, MAX_POINTS);
        let packed: Vec<u8> = points.iter().flat_map(|value| value.to_le_bytes()).collect();
        Some(Self { vertices: STANDARD.encode(packed), texture_coordinates: [] })
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use super::*;
    use crate::model::{Intrinsics, MetadataKey};

    fn frame(stream: StreamType, format: PixelFormat, width: u32, height: u32, data: Vec<u8>) -> Frame {
        Frame {
            stream,
            format,
            width,
            height,
            data: Arc::new(data),
            number: 7,
            timestamp_ms: 1234.5,
            timestamp_domain: TimestampDomain::GlobalTime,
            // A newer library's key has no name yet.
            metadata: vec![(MetadataKey::ACTUAL_EXPOSURE, 8500), (MetadataKey(200), 1)],
            captured_at: Instant::now(),
            depth_units: 0.001,
            intrinsics: Some(Intrinsics {
                width,
                height,
                fx: 2.0,
                fy: 4.0,
                ppx: 1.0,
                ppy: 0.0,
                ..Intrinsics::default()
            }),
        }
    }

    fn points(cloud: &PointCloud) -> Vec<[f32; 3]> {
        let bytes = STANDARD.decode(&cloud.vertices).expect("base64");
        let floats: Vec<f32> =
            bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four bytes"))).collect();
        floats.chunks_exact(3).map(|three| [three[0], three[1], three[2]]).collect()
    }

    #[test]
    fn points_are_metres_and_holes_are_left_out() {
        let depth = [1000u16, 0, 2000].iter().flat_map(|raw| raw.to_le_bytes()).collect();
        let cloud = PointCloud::of(&frame(StreamType::Depth, PixelFormat::Z16, 3, 1, depth)).expect("a cloud");
        assert_eq!(points(&cloud), [[-0.5, 0.0, 1.0], [1.0, 0.0, 2.0]]);
    }

    #[test]
    fn the_cloud_is_bounded_for_every_size() {
        for (width, height) in [(1280, 720), (848, 480), (640, 480), (424, 240), (1, 1)] {
            let depth = vec![1u8; width * height * 2];
            let (width, height) = (u32::try_from(width).expect("small"), u32::try_from(height).expect("small"));
            let cloud = PointCloud::of(&frame(StreamType::Depth, PixelFormat::Z16, width, height, depth));
            let count = points(&cloud.expect("a cloud")).len();
            assert!((1..=MAX_POINTS).contains(&count), "{width}x{height}: {count}");
        }
    }

    #[test]
    fn a_frame_of_garbage_size_has_no_cloud() {
        assert_eq!(PointCloud::of(&frame(StreamType::Depth, PixelFormat::Z16, 640, 480, vec![0; 100])), None);
    }

    #[test]
    fn metadata_reads_as_the_contract_says() {
        let motion: Vec<u8> = [0.5f32, -9.75, 1.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let metadata = StreamMetadata::of(&frame(StreamType::Accel, PixelFormat::MotionXyz32f, 0, 0, motion), true);
        assert_eq!(
            serde_json::to_value(&metadata).expect("it serialises"),
            serde_json::json!({
                "stream_type": "accel", "timestamp": 1234.5, "timestamp_domain": "global_time", "frame_number": 7,
                "width": 0, "height": 0, "metadata": {"actual_exposure": 8500}, "motion_data": {"x": 0.5, "y": -9.75, "z": 1.0}
            })
        );
        let depth = frame(StreamType::Depth, PixelFormat::Z16, 1, 1, vec![0, 0]);
        let json = serde_json::to_value(StreamMetadata::of(&depth, true)).expect("it serialises");
        assert_eq!(json["point_cloud"], serde_json::json!({"vertices": "", "texture_coordinates": []}));
        let json = serde_json::to_value(StreamMetadata::of(&depth, false)).expect("it serialises");
        assert!(json.get("point_cloud").is_none() && json.get("motion_data").is_none());
    }
}
