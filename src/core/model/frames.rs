//! What goes with frames: calibration, the clock of timestamps, metadata, and the state of a recording being played.

use serde::Serialize;
use utoipa::ToSchema;

use super::{DeviceId, Profile, StreamType};

/// How a lens bends the picture, in librealsense's names (`rs2_distortion`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Distortion {
    /// Not at all: the picture is rectified.
    #[default]
    None,
    /// Brown-Conrady with tangential terms applied to radially distorted points.
    ModifiedBrownConrady,
    /// Brown-Conrady that undistorts instead of distorts.
    InverseBrownConrady,
    /// F-Theta fish-eye.
    Ftheta,
    /// Brown-Conrady as OpenCV has it.
    BrownConrady,
    /// Kannala-Brandt with four coefficients.
    KannalaBrandt4,
}

/// Intrinsics in pixels, with librealsense's pixel-centre convention (`rs2_intrinsics`).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, ToSchema)]
pub struct Intrinsics {
    /// Image width in pixels.
    pub width: u32,
    /// Image height in pixels.
    pub height: u32,
    /// Focal length, x, in pixels.
    pub fx: f32,
    /// Focal length, y, in pixels.
    pub fy: f32,
    /// Principal point, x, in pixels.
    pub ppx: f32,
    /// Principal point, y, in pixels.
    pub ppy: f32,
    /// The lens's distortion.
    pub distortion: Distortion,
    /// The distortion's coefficients: k1, k2, p1, p2, k3 for Brown-Conrady, k1 to k4 for Kannala-Brandt, theta for F-Theta.
    pub coefficients: [f32; 5],
}

/// A rigid transform from one stream's coordinates to another's (`rs2_extrinsics`): `to = rotation * from + translation`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Extrinsics {
    /// Column-major 3x3 rotation.
    pub rotation: [f32; 9],
    /// Translation in metres.
    pub translation: [f32; 3],
}

/// The geometry of a device's running video streams.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Calibration {
    /// Device.
    pub device_id: DeviceId,
    /// Metres per unit of Z16.
    #[schema(example = 0.001)]
    pub depth_units: f64,
    /// Every video stream that runs, in a fixed order: colour first.
    pub streams: Vec<StreamCalibration>,
}

/// One running stream's geometry.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StreamCalibration {
    /// Stream.
    #[schema(value_type = String, example = "depth")]
    pub stream_type: StreamType,
    /// Size and rate it runs at.
    pub profile: Profile,
    /// Intrinsics at this size; `None` where the device does not tell.
    pub intrinsics: Option<Intrinsics>,
    /// From this stream's coordinates to those of the first in the list; `None` for that one itself.
    pub to_first: Option<Extrinsics>,
}

/// The clock that a frame's timestamp is of (`rs2_timestamp_domain`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimestampDomain {
    /// The camera's own clock.
    HardwareClock,
    /// The host's clock when the frame arrived.
    #[default]
    SystemTime,
    /// The camera's clock, mapped to the host's.
    GlobalTime,
}

/// A kind of frame metadata: the number of librealsense's `rs2_frame_metadata_value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MetadataKey(pub u8);

impl MetadataKey {
    /// Time of exposure in microseconds.
    pub const ACTUAL_EXPOSURE: Self = Self(3);
    /// Analogue gain.
    pub const GAIN_LEVEL: Self = Self(4);
    /// Milliseconds since the epoch when the frame reached the host.
    pub const TIME_OF_ARRIVAL: Self = Self(7);
    /// Frames per second in thousandths.
    pub const ACTUAL_FPS: Self = Self(10);

    /// librealsense's names (rs_frame.h of 2.56), in the enum's order.
    const NAMES: [&str; 43] = [
        "frame_counter",
        "frame_timestamp",
        "sensor_timestamp",
        "actual_exposure",
        "gain_level",
        "auto_exposure",
        "white_balance",
        "time_of_arrival",
        "temperature",
        "backend_timestamp",
        "actual_fps",
        "frame_laser_power",
        "frame_laser_power_mode",
        "exposure_priority",
        "exposure_roi_left",
        "exposure_roi_right",
        "exposure_roi_top",
        "exposure_roi_bottom",
        "brightness",
        "contrast",
        "saturation",
        "sharpness",
        "auto_white_balance_temperature",
        "backlight_compensation",
        "hue",
        "gamma",
        "manual_white_balance",
        "power_line_frequency",
        "low_light_compensation",
        "frame_emitter_mode",
        "frame_led_power",
        "raw_frame_size",
        "gpio_input_data",
        "sequence_name",
        "sequence_id",
        "sequence_size",
        "trigger",
        "preset",
        "input_width",
        "input_height",
        "sub_preset_info",
        "calib_info",
        "crc",
    ];

    /// The name, `None` for one that a newer library added.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.get(usize::from(self.0)).copied()
    }
}

/// The state of a recording that plays.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PlaybackStatus {
    /// The recording's file name, without its folder.
    pub file: String,
    /// Length in seconds.
    pub duration: f64,
    /// Seconds from the beginning.
    pub position: f64,
    /// Whether it is paused.
    pub is_paused: bool,
    /// Multiple of real time.
    pub speed: f64,
    /// Whether it starts again at its end.
    pub repeat: bool,
}
