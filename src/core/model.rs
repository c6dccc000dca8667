//! The field's nouns, parsed once at the edge, and how they read on the wire.
//! Owns no behaviour beyond parsing and printing; knows neither GStreamer nor the SDK nor HTTP.

mod frames;
mod pipelines;
mod sessions;

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use frames::{
    Calibration, Distortion, Extrinsics, Intrinsics, MetadataKey, PlaybackStatus, StreamCalibration, TimestampDomain,
};
pub use pipelines::{
    ElementInfo, Fault, Graph, GraphElement, GraphKind, GraphLink, GraphMeter, GraphPipeline, GraphQueue, PipelineInfo,
    PipelineState, PipelineUse, PropertyInfo,
};

pub use sessions::{IceCandidate, SessionEnd, SessionId, SessionState};

use crate::error::Error;

/// A device's identity: its serial number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "844212070924")]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// Any string names a device; whether it exists is the camera manager's to say.
    pub fn new(serial: impl AsRef<str>) -> Self {
        Self(Arc::from(serial.as_ref()))
    }

    /// The serial number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One stay of a device on its bus, from being attached to being detached. A device that was pulled out and plugged in again
/// has the same [`DeviceId`] and a greater attachment: what is told of an earlier one counts no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment(u64);

impl Attachment {
    /// A number greater than every one given out before in this process. Whoever notices that a device is there takes it in
    /// the same turn as the entry in its table, so that numbers of a device rise in the order of the facts.
    pub fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        Self(COUNT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A stream of a device, in the names of the wire contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamType {
    /// The colour image.
    Color,
    /// Depth, colourised on the server.
    Depth,
    /// An infrared image; 1 is the left imager, 2 the right.
    Infrared(u8),
    /// Angular velocity in rad/s; carried as metadata, never as video.
    Gyro,
    /// Acceleration in m/s²; carried as metadata, never as video.
    Accel,
}

impl StreamType {
    /// The stream types that can be watched as video, in the order they are listed to people.
    pub const VIDEO: [StreamType; 4] = [Self::Color, Self::Depth, Self::Infrared(1), Self::Infrared(2)];

    /// Every stream that a device can have, in the order they are shown.
    pub const ALL: [StreamType; 6] =
        [Self::Color, Self::Depth, Self::Infrared(1), Self::Infrared(2), Self::Gyro, Self::Accel];

    /// Its place in [`StreamType::ALL`], for tables with a row for each stream.
    pub const fn index(self) -> usize {
        match self {
            Self::Color => 0,
            Self::Depth => 1,
            Self::Infrared(1) => 2,
            Self::Infrared(_) => 3,
            Self::Gyro => 4,
            Self::Accel => 5,
        }
    }

    /// Whether the stream can be sent as video.
    pub fn is_video(self) -> bool {
        !matches!(self, Self::Gyro | Self::Accel)
    }

    /// The pipeline file's family: `color`, `depth` or `infrared`.
    pub fn family(self) -> &'static str {
        match self {
            Self::Color => "color",
            Self::Depth => "depth",
            Self::Infrared(_) => "infrared",
            Self::Gyro => "gyro",
            Self::Accel => "accel",
        }
    }

    /// Parses a stream type that can be watched as video.
    ///
    /// # Errors
    /// Invalid, listing the valid names.
    pub fn parse_video(text: &str) -> Result<Self, Error> {
        let parsed = text.parse::<Self>()?;
        if parsed.is_video() { Ok(parsed) } else { Err(invalid_stream_type(text)) }
    }
}

impl fmt::Display for StreamType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Color => f.write_str("color"),
            Self::Depth => f.write_str("depth"),
            Self::Infrared(n) => write!(f, "infrared-{n}"),
            Self::Gyro => f.write_str("gyro"),
            Self::Accel => f.write_str("accel"),
        }
    }
}

impl FromStr for StreamType {
    type Err = Error;

    /// Accepts the contract's names in any case, `_` for `-`, and plain `infrared` for `infrared-1`.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.trim().to_ascii_lowercase().replace('_', "-").as_str() {
            "color" => Ok(Self::Color),
            "depth" => Ok(Self::Depth),
            "infrared" | "infrared-1" => Ok(Self::Infrared(1)),
            "infrared-2" => Ok(Self::Infrared(2)),
            "gyro" => Ok(Self::Gyro),
            "accel" => Ok(Self::Accel),
            _ => Err(invalid_stream_type(text)),
        }
    }
}

fn invalid_stream_type(text: &str) -> Error {
    let shown: String = text.chars().take(40).collect();
    // What servers of the same contract sent as video.
    if shown.to_ascii_lowercase().replace(['-', '_', ' '], "") == "pointcloud" {
        return Error::invalid(format!(
            "'{shown}' is no video stream here. Valid stream types: color, depth, infrared-1, infrared-2. For points, watch \
             'depth', and either activate them with POST /api/devices/{{device_id}}/point_cloud/activate and take them from \
             the event metadata_update, or fetch GET /api/webrtc/pointcloud-data/{{device_id}}, or ask in the offer for \
             \"data_channels\": [\"pointcloud-data\"]."
        ));
    }
    Error::invalid(format!("Invalid stream type '{shown}'. Valid stream types: color, depth, infrared-1, infrared-2."))
}

impl Serialize for StreamType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One stream of one device.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// The device.
    pub device: DeviceId,
    /// Which of its streams.
    pub stream: StreamType,
}

impl StreamKey {
    /// Names a stream of a device.
    pub fn new(device: DeviceId, stream: StreamType) -> Self {
        Self { device, stream }
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device, self.stream)
    }
}

/// Size and rate of a video stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Profile {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second.
    pub framerate: u32,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{} at {} fps", self.width, self.height, self.framerate)
    }
}

/// How a frame's bytes are laid out, in librealsense's names (`rs2_format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PixelFormat {
    /// 8-bit red, green, blue.
    Rgb8,
    /// 8-bit blue, green, red.
    Bgr8,
    /// 4:2:2, Y0 U Y1 V.
    Yuyv,
    /// Planar 4:2:0: a Y plane, then U and V at half size. The simulator's native colour (librealsense has no such name).
    I420,
    /// 8-bit luminance.
    Y8,
    /// 16-bit little-endian depth, in depth units.
    Z16,
    /// Three little-endian f32: a motion sample.
    MotionXyz32f,
}

impl PixelFormat {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Rgb8, "rgb8"),
        (Self::Bgr8, "bgr8"),
        (Self::Yuyv, "yuyv"),
        (Self::I420, "i420"),
        (Self::Y8, "y8"),
        (Self::Z16, "z16"),
        (Self::MotionXyz32f, "motion_xyz32f"),
    ];

    /// Bytes of one tightly packed frame of this format.
    pub fn frame_size(self, width: u32, height: u32) -> usize {
        let pixels = width as usize * height as usize;
        match self {
            Self::Rgb8 | Self::Bgr8 => pixels * 3,
            Self::Yuyv | Self::Z16 => pixels * 2,
            Self::I420 => pixels + 2 * (width.div_ceil(2) as usize * height.div_ceil(2) as usize),
            Self::Y8 => pixels,
            Self::MotionXyz32f => 12,
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(format, _)| format == self).map_or("?", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for PixelFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wanted = text.trim().to_ascii_lowercase();
        Self::ALL.iter().find(|(_, name)| *name == wanted).map(|(format, _)| *format).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|(_, name)| *name).collect();
            let shown: String = text.chars().take(40).collect();
            Error::invalid(format!("Unknown format '{shown}'. Known formats: {}.", names.join(", ")))
        })
    }
}

impl Serialize for PixelFormat {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A video codec that a stream can be encoded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Codec {
    /// H.264, constrained baseline.
    H264,
    /// VP8.
    VP8,
    /// VP9, profile 0.
    VP9,
}

impl Codec {
    /// Every codec the server can send; `pipelines.codecs` says which it offers.
    pub const ALL: [Codec; 3] = [Codec::H264, Codec::VP8, Codec::VP9];

    /// The RTP encoding name (`a=rtpmap`), which is also the MIME subtype.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::VP8 => "VP8",
            Self::VP9 => "VP9",
        }
    }

    /// What a pipeline of this name makes: the part after its last dot, as in `color.h264`.
    pub fn of_pipeline(name: &str) -> Option<Self> {
        let (_, codec) = name.rsplit_once('.').filter(|(base, _)| !base.is_empty())?;
        Self::ALL.into_iter().find(|known| known.name().to_ascii_lowercase() == codec)
    }

    /// Reads `video/H264`, `H264`, `video/VP8; …` in any case; `None` for a codec this server does not send.
    pub fn from_mime(text: &str) -> Option<Self> {
        let name = text.split(';').next()?.trim();
        let name = name.rsplit('/').next()?;
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A device as the API shows it. `None` where the SDK does not know.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DeviceInfo {
    /// The device's id (its serial number).
    pub device_id: DeviceId,
    /// Product name, for example "Intel RealSense D435I".
    pub name: String,
    /// Serial number.
    pub serial_number: String,
    /// Running firmware.
    pub firmware_version: Option<String>,
    /// The firmware the SDK recommends, where it does.
    pub recommended_firmware_version: Option<String>,
    /// "up_to_date" or "outdated" where the SDK recommends a firmware, else "unknown".
    #[schema(example = "unknown")]
    pub firmware_status: Option<String>,
    /// Whether a firmware image for it is available.
    pub firmware_file_available: Option<bool>,
    /// USB path or the simulator's slot.
    pub physical_port: Option<String>,
    /// "3.2", "2.1" and so on.
    pub usb_type: Option<String>,
    /// USB product id in hex.
    pub product_id: Option<String>,
    /// The names of its sensors.
    pub sensors: Vec<String>,
    /// Whether any stream runs.
    pub is_streaming: bool,
    /// Whether it is a recording, which can be paused and so on.
    pub playback: bool,
    /// Whether presets can be read and loaded (the camera's advanced mode).
    pub presets: bool,
    /// Whether its streams can be recorded. The manager fills it in; a backend leaves it false.
    pub can_record: bool,
    /// Why it cannot be used. Only of recordings in the configuration that cannot be played.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One profile a sensor offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SensorProfile {
    /// Stream.
    pub stream: StreamType,
    /// Pixel format.
    pub format: PixelFormat,
    /// Size and rate. Motion streams have size 0x0.
    pub profile: Profile,
}

/// One stream to start on a sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamConfig {
    /// Stream.
    pub stream: StreamType,
    /// Pixel format.
    pub format: PixelFormat,
    /// Size and rate; 0x0 for motion streams.
    pub profile: Profile,
}

/// A sensor with everything it offers.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorInfo {
    /// Its place in the device: 0, 1, 2…
    pub index: usize,
    /// "Stereo Module", "RGB Camera", "Motion Module".
    pub name: String,
    /// Every profile offered.
    pub profiles: Vec<SensorProfile>,
    /// Every option, with its present value.
    pub options: Vec<OptionInfo>,
}

/// A sensor's option with its range and present value.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OptionInfo {
    /// librealsense's name, lower case with underscores ("exposure", "enable_auto_exposure").
    pub option_id: String,
    /// The name for people ("Exposure").
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// Present value.
    pub current_value: f64,
    /// Value after a reset.
    pub default_value: f64,
    /// Least value.
    pub min_value: Option<f64>,
    /// Greatest value.
    pub max_value: Option<f64>,
    /// Step between values.
    pub step: Option<f64>,
    /// Unit of the value.
    pub units: Option<String>,
    /// Whether it can only be read.
    pub read_only: bool,
    /// A group for display ("Basic Controls", "Post-Processing", …).
    pub category: String,
    /// Of post-processing: the filter that it belongs to.
    #[schema(example = "Spatial Filter")]
    pub filter_name: Option<String>,
    /// Names of discrete values, by value. None for an option that is only off or on.
    pub value_descriptions: Option<std::collections::BTreeMap<String, String>>,
}

/// The server's health.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// "2.xx.y" or "none".
    pub sdk_version: String,
    /// Why the server is degraded; `None` when it is well.
    pub degraded: Option<String>,
    /// Devices that can be used now.
    pub cameras: usize,
}
