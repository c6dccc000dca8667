//! What `metadata_update` holds, built from the newest frames. Owns the update's shape; sends nothing.

use std::{collections::BTreeMap, time::SystemTime};

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    cloud::PointCloud,
    types::{MOTION_SIZE, unix_seconds},
};
use crate::{
    camera::{Frame, StreamConfig},
    model::{DeviceId, PixelFormat, Profile, StreamType, TimestampDomain},
    session::Handle,
};

/// Socket.IO payload of `metadata_update`: the newest frames of one device in numbers.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct MetadataUpdate {
    /// The device that it is about.
    device_id: DeviceId,
    /// Whether any of its streams runs.
    is_streaming: bool,
    /// The server's clock when this was made, in Unix seconds.
    timestamp_server: f64,
    /// The newest frame of each stream that runs, by stream type; null for one that has none yet.
    #[schema(value_type = BTreeMap<String, NewestFrame>)]
    metadata_streams: BTreeMap<StreamType, NewestFrame>,
}

/// A running stream's newest frame, or null while it has none.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
enum NewestFrame {
    /// The frame.
    Frame(Box<StreamMetadata>),
    /// None came yet.
    NoneYet,
}

/// One stream's newest frame in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct StreamMetadata {
    /// Stream type.
    #[schema(value_type = String, example = "depth")]
    stream_type: StreamType,
    /// The frame's time in milliseconds, by the clock that `timestamp_domain` names.
    timestamp: f64,
    /// The clock of `timestamp`.
    timestamp_domain: TimestampDomain,
    /// The same by another name.
    clock_domain: TimestampDomain,
    /// The camera's count of frames.
    frame_number: u64,
    /// Width in pixels; 320 for motion, which has none.
    width: u32,
    /// Height in pixels; 120 for motion, which has none.
    height: u32,
    /// The frame's pixel format, in librealsense's name.
    #[schema(value_type = String, example = "z16")]
    format: PixelFormat,
    /// The same by another name.
    #[schema(value_type = String, example = "z16")]
    pixel_format: PixelFormat,
    /// What the camera was asked for: frames a second.
    #[schema(example = 30)]
    hardware_fps: u32,
    /// What the camera was asked for: width in pixels. Filters may make the picture smaller.
    #[schema(example = 640)]
    hardware_width: u32,
    /// What the camera was asked for: height in pixels.
    #[schema(example = 480)]
    hardware_height: u32,
    /// The camera's metadata of the frame, by librealsense's names.
    #[schema(value_type = BTreeMap<String, i64>)]
    metadata: BTreeMap<&'static str, i64>,
    /// The same by another name.
    #[schema(value_type = BTreeMap<String, i64>)]
    frame_metadata: BTreeMap<&'static str, i64>,
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
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct Motion {
    /// On the x axis.
    x: f32,
    /// On the y axis.
    y: f32,
    /// On the z axis.
    z: f32,
}

impl MetadataUpdate {
    /// The newest frames of what a device streams.
    pub(super) fn of(handle: &Handle, device: &DeviceId, running: &[StreamConfig]) -> Self {
        let metadata_streams = running
            .iter()
            .map(|config| {
                let frame = handle.latest_frame(device, config.stream);
                let newest = frame.map_or(NewestFrame::NoneYet, |frame| {
                    NewestFrame::Frame(Box::new(StreamMetadata::of(&frame, config.profile)))
                });
                (config.stream, newest)
            })
            .collect();
        Self {
            device_id: device.clone(),
            is_streaming: !running.is_empty(),
            timestamp_server: unix_seconds(SystemTime::now()),
            metadata_streams,
        }
    }

    /// The same with a cloud, if there is a depth frame that it belongs to.
    pub(super) fn with_cloud(&self, cloud: PointCloud) -> Self {
        let mut update = self.clone();
        if let Some(NewestFrame::Frame(depth)) = update.metadata_streams.get_mut(&StreamType::Depth) {
            depth.point_cloud = Some(cloud);
        }
        update
    }

    /// The frame numbers it was made of: an update with the same ones says nothing new.
    pub(super) fn frame_numbers(&self) -> Vec<(StreamType, u64)> {
        let known = self.metadata_streams.values().filter_map(|newest| match newest {
            NewestFrame::Frame(frame) => Some(frame),
            NewestFrame::NoneYet => None,
        });
        known.map(|frame| (frame.stream_type, frame.frame_number)).collect()
    }
}

impl StreamMetadata {
    fn of(frame: &Frame, asked: Profile) -> Self {
        let size = |width, height| {
            if frame.stream.is_video() { (width, height) } else { (MOTION_SIZE.width, MOTION_SIZE.height) }
        };
        let (width, height) = size(frame.width, frame.height);
        let (hardware_width, hardware_height) = size(asked.width, asked.height);
        let metadata: BTreeMap<_, _> =
            frame.metadata.iter().filter_map(|(key, value)| Some((key.name()?, *value))).collect();
        Self {
            stream_type: frame.stream,
            timestamp: frame.timestamp_ms,
            timestamp_domain: frame.timestamp_domain,
            clock_domain: frame.timestamp_domain,
            frame_number: frame.number,
            width,
            height,
            format: frame.format,
            pixel_format: frame.format,
            hardware_fps: asked.framerate,
            hardware_width,
            hardware_height,
            frame_metadata: metadata.clone(),
            metadata,
            motion_data: frame.motion().map(|[x, y, z]| Motion { x, y, z }),
            point_cloud: None,
        }
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

    #[test]
    fn metadata_reads_as_the_contract_says() {
        let asked = |width, height, framerate| Profile { width, height, framerate };
        let motion: Vec<u8> = [0.5f32, -9.75, 1.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let accel = frame(StreamType::Accel, PixelFormat::MotionXyz32f, 0, 0, motion);
        let metadata = StreamMetadata::of(&accel, asked(0, 0, 250));
        assert_eq!(
            serde_json::to_value(&metadata).expect("it serialises"),
            serde_json::json!({
                "stream_type": "accel", "timestamp": 1234.5, "timestamp_domain": "global_time", "frame_number": 7,
                "clock_domain": "global_time", "width": 320, "height": 120, "hardware_width": 320, "hardware_height": 120,
                "hardware_fps": 250, "format": "motion_xyz32f", "pixel_format": "motion_xyz32f",
                "metadata": {"actual_exposure": 8500}, "frame_metadata": {"actual_exposure": 8500},
                "motion_data": {"x": 0.5, "y": -9.75, "z": 1.0}
            })
        );
        let depth = frame(StreamType::Depth, PixelFormat::Z16, 1, 1, vec![0, 0]);
        let json = serde_json::to_value(StreamMetadata::of(&depth, asked(640, 480, 30))).expect("plain data");
        assert!(json.get("point_cloud").is_none() && json.get("motion_data").is_none());
        let (width, hardware) = (json["width"].clone(), json["hardware_width"].clone());
        assert_eq!(
            (width, hardware),
            (1.into(), 640.into()),
            "a decimated picture is smaller than what the camera sends"
        );
    }
}
