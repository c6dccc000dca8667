//! What explicit starts and stops answer.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;
use utoipa::ToSchema;

use super::sensors::{MOTION_SIZE, Resolution, sensor_id};
use crate::{
    logging::time::rfc3339,
    model::{DeviceId, Profile, StreamConfig, StreamType},
    session::api::{RunningStream, SensorStatus, Started, Stopped, StreamStatus},
};

/// What a device streams after an explicit start.
#[derive(Debug, Serialize, ToSchema)]
pub struct StartedBody {
    /// What runs.
    #[serde(flatten)]
    pub status: StreamStatus,
    /// Always empty. Older clients require it.
    #[schema(value_type = Object, example = json!({}))]
    pub timings: BTreeMap<String, f64>,
    /// Whether everything that the start names ran already.
    pub config_reused: bool,
    /// What was started, as one text: equal for equal starts.
    #[schema(example = "depth z16 640x480@30")]
    pub config_signature: String,
}

impl StartedBody {
    pub(in super::super) fn new(started: Started, configs: &[(usize, StreamConfig)]) -> Self {
        let mut configs: Vec<_> = configs.iter().map(|(_, config)| *config).collect();
        configs.sort_unstable();
        let mut signature = String::new();
        for StreamConfig { stream, format, profile: Profile { width, height, framerate } } in configs {
            let comma = if signature.is_empty() { "" } else { ", " };
            // Writing into a string does not fail.
            let _ = write!(signature, "{comma}{stream} {format} {width}x{height}@{framerate}");
        }
        Self {
            status: started.status,
            timings: BTreeMap::new(),
            config_reused: started.reused,
            config_signature: signature,
        }
    }
}

/// What an explicit stop left. `is_streaming` and the rest tell of what others than viewers hold: a recording, say. That viewers
/// hold the device's streams is told by `stopping` and `held_by`; `stream/status` tells all that runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoppedBody {
    /// What others than viewers hold.
    #[serde(flatten)]
    pub status: StreamStatus,
    /// How many viewers hold each stream, which runs on for them. Those without a viewer are left out.
    #[schema(value_type = BTreeMap<String, usize>, example = json!({"depth": 2}))]
    pub held_by: BTreeMap<StreamType, usize>,
}

impl From<Stopped> for StoppedBody {
    fn from(stopped: Stopped) -> Self {
        Self { status: stopped.status, held_by: stopped.held_by }
    }
}

/// What one sensor streams.
#[derive(Debug, Serialize, ToSchema)]
pub struct SensorStreamStatus {
    /// `{device_id}-sensor-{n}`.
    #[schema(example = "844212070924-sensor-0")]
    pub sensor_id: String,
    /// Its name.
    #[schema(example = "Stereo Module")]
    pub name: String,
    /// Whether any of its streams runs.
    pub is_streaming: bool,
    /// The first stream that runs.
    #[schema(value_type = Option<String>, example = "depth")]
    pub stream_type: Option<StreamType>,
    /// Its size.
    pub resolution: Option<Resolution>,
    /// Its frames per second.
    #[schema(example = 30)]
    pub framerate: Option<u32>,
    /// Its pixel format, in librealsense's name.
    #[schema(example = "z16")]
    pub format: Option<String>,
    /// All streams that run.
    #[schema(value_type = Vec<String>, example = json!(["depth"]))]
    pub stream_types: Vec<StreamType>,
    /// The same with what they run at.
    pub streams: Vec<SensorStream>,
    /// Why the device cannot be used, or a stream of the sensor is interrupted.
    pub error: Option<String>,
    /// When the first of them started, as ISO 8601.
    #[schema(example = "2026-11-22T20:17:44.123456Z")]
    pub started_at: Option<String>,
}

/// One running stream of a sensor.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SensorStream {
    /// Stream type.
    #[schema(value_type = String, example = "depth")]
    pub stream_type: StreamType,
    /// Pixel format, in librealsense's name.
    #[schema(example = "z16")]
    pub format: String,
    /// Size; 320x120 for motion streams, which have none.
    pub resolution: Resolution,
    /// Frames per second.
    #[schema(example = 30)]
    pub framerate: u32,
}

impl From<&RunningStream> for SensorStream {
    fn from(running: &RunningStream) -> Self {
        let StreamConfig { stream, format, profile: Profile { width, height, framerate } } = running.config;
        let resolution = if stream.is_video() { Resolution { width, height } } else { MOTION_SIZE };
        Self { stream_type: stream, format: format.to_string(), resolution, framerate }
    }
}

impl SensorStreamStatus {
    pub(in super::super) fn new(device: &DeviceId, status: SensorStatus) -> Self {
        let streams: Vec<SensorStream> = status.streams.iter().map(SensorStream::from).collect();
        let first = streams.first();
        Self {
            sensor_id: sensor_id(device, status.sensor),
            name: status.name,
            is_streaming: !streams.is_empty(),
            stream_type: first.map(|stream| stream.stream_type),
            resolution: first.map(|stream| stream.resolution),
            framerate: first.map(|stream| stream.framerate),
            format: first.map(|stream| stream.format.clone()),
            stream_types: streams.iter().map(|stream| stream.stream_type).collect(),
            error: status.trouble.map(|trouble| trouble.public().to_owned()),
            started_at: status.streams.iter().map(|stream| stream.started_at).min().map(rfc3339),
            streams,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::model::PixelFormat;

    fn running(stream: StreamType, format: PixelFormat, width: u32, since: u64) -> RunningStream {
        let profile = Profile { width, height: if width == 0 { 0 } else { 480 }, framerate: 30 };
        let config = StreamConfig { stream, format, profile };
        RunningStream { sensor: 0, config, started_at: UNIX_EPOCH + Duration::from_secs(since) }
    }

    #[test]
    fn a_sensors_status_tells_of_its_first_stream_and_of_all() {
        let status = |streams| SensorStatus { sensor: 0, name: "Stereo Module".into(), streams, trouble: None };
        let device = DeviceId::new("1");
        let none = serde_json::to_value(SensorStreamStatus::new(&device, status(vec![]))).expect("plain data");
        assert_eq!(
            none,
            serde_json::json!({"sensor_id": "1-sensor-0", "name": "Stereo Module", "is_streaming": false, "stream_type": null,
                "resolution": null, "framerate": null, "format": null, "stream_types": [], "streams": [], "error": null,
                "started_at": null})
        );
        let streams = vec![
            running(StreamType::Depth, PixelFormat::Z16, 640, 10),
            running(StreamType::Gyro, PixelFormat::MotionXyz32f, 0, 5),
        ];
        let some = serde_json::to_value(SensorStreamStatus::new(&device, status(streams))).expect("plain data");
        assert_eq!(some["stream_type"], "depth");
        assert_eq!(some["resolution"], serde_json::json!({"width": 640, "height": 480}));
        assert_eq!(some["streams"][1]["resolution"], serde_json::json!({"width": 320, "height": 120}));
        assert_eq!(some["stream_types"], serde_json::json!(["depth", "gyro"]));
        assert_eq!(some["started_at"], "1970-01-01T00:00:05.000000Z");
    }

    #[test]
    fn equal_starts_have_one_signature() {
        let config = |stream, format| running(stream, format, 640, 0).config;
        let (depth, left) =
            (config(StreamType::Depth, PixelFormat::Z16), config(StreamType::Infrared(1), PixelFormat::Y8));
        let status = StreamStatus {
            device_id: DeviceId::new("1"),
            is_streaming: true,
            active_streams: vec![],
            framerate: None,
            duration: None,
            stopping: false,
        };
        let body = |configs: &[(usize, StreamConfig)]| {
            let started = Started { status: status.clone(), sensor: None, reused: true };
            serde_json::to_value(StartedBody::new(started, configs)).expect("plain data")
        };
        let json = body(&[(0, left), (0, depth)]);
        assert_eq!(json["config_signature"], "depth z16 640x480@30, infrared-1 y8 640x480@30");
        assert_eq!(json["config_signature"], body(&[(0, depth), (0, left)])["config_signature"]);
        assert_eq!((&json["timings"], &json["config_reused"]), (&serde_json::json!({}), &serde_json::json!(true)));
        assert_eq!(json["device_id"], "1");
    }
}
