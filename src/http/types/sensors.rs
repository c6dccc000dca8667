//! Sensors with what they offer, options, firmware: the JSON types, and how the model becomes them.

use std::collections::BTreeSet;

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{DeviceId, DeviceInfo, OptionInfo, SensorInfo, StreamType};

/// The size that clients of the camera's vendor expect of a motion stream, which has none.
pub(in super::super) const MOTION_SIZE: Resolution = Resolution { width: 320, height: 120 };

/// A size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Resolution {
    /// Width in pixels.
    #[schema(example = 640)]
    pub width: u32,
    /// Height in pixels.
    #[schema(example = 480)]
    pub height: u32,
}

/// What a sensor offers for one stream type.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct SupportedStreamProfile {
    /// Stream type.
    #[schema(value_type = String, example = "depth")]
    pub stream_type: StreamType,
    /// Sizes as [width, height], largest first. Motion streams have none, and list 320x120 for clients that expect one.
    #[schema(example = json!([[1280, 720], [640, 480]]))]
    pub resolutions: Vec<[u32; 2]>,
    /// Frames (or samples) per second, ascending.
    #[schema(example = json!([6, 15, 30, 60]))]
    pub fps: Vec<u32>,
    /// Pixel formats, in librealsense's names; `combined_motion` is another name for `motion_xyz32f`.
    #[schema(example = json!(["z16"]))]
    pub formats: Vec<String>,
}

/// A sensor of a device.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct SensorBody {
    /// `{device_id}-sensor-{n}`.
    #[schema(example = "844212070924-sensor-0")]
    pub sensor_id: String,
    /// Its name.
    #[schema(example = "Stereo Module")]
    pub name: String,
    /// The same as the name, because librealsense has no other kind.
    #[serde(rename = "type")]
    #[schema(example = "Stereo Module")]
    pub kind: String,
    /// What it can stream.
    pub supported_stream_profiles: Vec<SupportedStreamProfile>,
    /// Its options with their present values.
    pub options: Vec<OptionInfo>,
}

impl SensorBody {
    pub(in super::super) fn new(device: &DeviceId, sensor: SensorInfo) -> Self {
        let mut streams: Vec<StreamType> = Vec::new();
        for profile in &sensor.profiles {
            if !streams.contains(&profile.stream) {
                streams.push(profile.stream);
            }
        }
        let supported_stream_profiles = streams
            .into_iter()
            .map(|stream_type| {
                let of_stream = || sensor.profiles.iter().filter(move |profile| profile.stream == stream_type);
                let sizes: BTreeSet<_> = of_stream()
                    .map(|p| (p.profile.width, p.profile.height))
                    .filter(|(width, height)| *width > 0 && *height > 0)
                    .collect();
                let fps: BTreeSet<_> = of_stream().map(|p| p.profile.framerate).collect();
                let formats: BTreeSet<_> = of_stream().map(|p| p.format).collect();
                let mut resolutions: Vec<_> = sizes.into_iter().rev().map(|(width, height)| [width, height]).collect();
                let mut formats: Vec<_> = formats.into_iter().map(|format| format.to_string()).collect();
                if !stream_type.is_video() {
                    resolutions.push([MOTION_SIZE.width, MOTION_SIZE.height]);
                    formats.insert(0, COMBINED_MOTION.into());
                }
                SupportedStreamProfile { stream_type, resolutions, fps: fps.into_iter().collect(), formats }
            })
            .collect();
        Self {
            sensor_id: sensor_id(device, sensor.index),
            kind: sensor.name.clone(),
            name: sensor.name,
            supported_stream_profiles,
            options: sensor.options,
        }
    }
}

/// A device's firmware.
#[derive(Debug, Serialize, ToSchema)]
pub struct FirmwareStatus {
    /// Device.
    pub device_id: DeviceId,
    /// What runs on it.
    #[schema(example = "5.16.0.1")]
    pub current: Option<String>,
    /// What the SDK recommends, where it does.
    pub recommended: Option<String>,
    /// "up_to_date" or "outdated" where the SDK recommends a firmware, else "unknown".
    #[schema(example = "unknown")]
    pub status: String,
    /// Always false: this server has no firmware to offer.
    pub file_available: bool,
}

impl From<DeviceInfo> for FirmwareStatus {
    fn from(info: DeviceInfo) -> Self {
        Self {
            device_id: info.device_id,
            current: info.firmware_version,
            recommended: info.recommended_firmware_version,
            status: info.firmware_status.unwrap_or_else(|| "unknown".into()),
            file_available: info.firmware_file_available.unwrap_or(false),
        }
    }
}

/// The answer to a request that had nothing to do.
#[derive(Debug, Serialize, ToSchema)]
pub struct Noop {
    /// Always "noop".
    #[schema(example = "noop")]
    pub status: &'static str,
}

/// What clients of the vendor's call a motion sample.
pub(in super::super) const COMBINED_MOTION: &str = "combined_motion";

/// The id of a device's n-th sensor.
pub(in super::super) fn sensor_id(device: &DeviceId, index: usize) -> String {
    format!("{device}-sensor-{index}")
}

/// An option that was set, as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub struct OptionSet {
    /// The option.
    #[serde(flatten)]
    pub option: OptionInfo,
    /// Always true.
    #[schema(example = true)]
    pub success: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PixelFormat, Profile, SensorProfile};

    #[test]
    fn profiles_are_grouped_by_stream_type() {
        let profile = |stream, format, width, height, framerate| SensorProfile {
            stream,
            format,
            profile: Profile { width, height, framerate },
        };
        let sensor = SensorInfo {
            index: 1,
            name: "Stereo Module".into(),
            profiles: vec![
                profile(StreamType::Depth, PixelFormat::Z16, 640, 480, 30),
                profile(StreamType::Depth, PixelFormat::Z16, 1280, 720, 15),
                profile(StreamType::Infrared(1), PixelFormat::Y8, 640, 480, 30),
                profile(StreamType::Gyro, PixelFormat::MotionXyz32f, 0, 0, 200),
            ],
            options: vec![],
        };
        let body = SensorBody::new(&DeviceId::new("123"), sensor);
        assert_eq!(body.sensor_id, "123-sensor-1");
        assert_eq!(body.supported_stream_profiles.len(), 3);
        let depth = &body.supported_stream_profiles[0];
        assert_eq!(depth.resolutions, [[1280, 720], [640, 480]]);
        assert_eq!(depth.fps, [15, 30]);
        assert_eq!(depth.formats, ["z16"]);
        let gyro = &body.supported_stream_profiles[2];
        assert_eq!(gyro.resolutions, [[320, 120]], "viewers drop a profile without a size");
        assert_eq!(gyro.formats, ["combined_motion", "motion_xyz32f"]);
    }
}
