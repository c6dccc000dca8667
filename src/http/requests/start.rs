//! Bodies of explicit starts, of a device and of one of its sensors.

use serde::Deserialize;
use utoipa::ToSchema;

use super::{super::types::COMBINED_MOTION, WantedProfile, find_sensor, list, sensor_index, whole};
use crate::{
    camera::StreamConfig,
    error::{Error, Result},
    model::{DeviceId, PixelFormat, Profile, SensorInfo, StreamType},
    session::api::StartRequest,
};

/// Starts streams explicitly.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"configs": [{
    "sensor_id": "844212070924-sensor-0", "stream_type": "depth", "format": "z16",
    "resolution": {"width": 640, "height": 480}, "framerate": 30, "enable": true
}]}))]
pub struct StartBody {
    /// The streams.
    pub configs: Vec<StartConfig>,
    /// `color` switches the depth sensor's option `align_to` on. `depth`, `none`, null or absent leaves it as it is. A stop
    /// does not switch it off.
    #[serde(default)]
    #[schema(example = "color")]
    pub align_to: Option<String>,
    /// True switches the depth sensor's options `spatial_filter` and `temporal_filter` on. False, null or absent leaves them
    /// as they are. A stop does not switch them off.
    #[serde(default)]
    pub apply_filters: Option<bool>,
    /// Ignored. Older clients send it. A stream that runs with the same parameters is always used.
    #[serde(default)]
    pub reuse_cache: Option<bool>,
}

/// One stream of an explicit start.
#[derive(Debug, Deserialize, ToSchema)]
pub struct StartConfig {
    /// `{device_id}-sensor-{n}`.
    pub sensor_id: String,
    /// Stream type; motion streams (`gyro`, `accel`) too.
    pub stream_type: String,
    /// Pixel format in librealsense's name, in any case.
    pub format: String,
    /// Size; ignored for motion streams.
    pub resolution: WantedResolution,
    /// Frames per second.
    #[serde(deserialize_with = "whole")]
    pub framerate: i64,
    /// False leaves this entry out.
    #[serde(default)]
    pub enable: Option<bool>,
}

/// A wanted size.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
pub struct WantedResolution {
    /// Width in pixels.
    #[serde(deserialize_with = "whole")]
    pub width: i64,
    /// Height in pixels.
    #[serde(deserialize_with = "whole")]
    pub height: i64,
}

impl StartBody {
    /// Checks everything of the enabled configs but whether the sensors offer it.
    ///
    /// # Errors
    /// NotFound for a sensor that the device does not have, Invalid listing what is offered.
    pub(crate) fn parse(self, device: &DeviceId, sensors: &[SensorInfo]) -> Result<StartRequest> {
        let mut configs: Vec<(usize, StreamConfig)> = Vec::new();
        for config in self.configs.iter().filter(|config| config.enable.unwrap_or(true)) {
            let parsed = config.parse(device, sensors)?;
            match configs.iter().find(|(_, other)| other.stream == parsed.1.stream) {
                Some(other) if *other == parsed => {}
                Some(_) => {
                    return Err(Error::invalid(format!(
                        "The stream {} is asked for twice with different parameters.",
                        parsed.1.stream
                    )));
                }
                None => configs.push(parsed),
            }
        }
        if configs.is_empty() {
            return Err(Error::invalid("'configs' holds no enabled stream: name at least one."));
        }
        Ok(StartRequest { device: device.clone(), sensor: None, configs })
    }

    /// The depth sensor's options that this start switches on, with the sensor's index.
    ///
    /// # Errors
    /// Invalid for an unknown `align_to`, listing the valid ones, or when the device has no depth stream to process.
    pub(in super::super) fn depth_options(&self, sensors: &[SensorInfo]) -> Result<Vec<(usize, &'static str)>> {
        let mut options = Vec::new();
        match self.align_to.as_deref().map(|name| name.trim().to_ascii_lowercase()).as_deref() {
            Some("color") => options.push("align_to"),
            None | Some("depth" | "none" | "") => {}
            Some(other) => {
                let shown: String = other.chars().take(40).collect();
                return Err(Error::invalid(format!("Invalid align_to '{shown}'. Valid: color, depth, none.")));
            }
        }
        if self.apply_filters == Some(true) {
            options.extend(["spatial_filter", "temporal_filter"]);
        }
        let has = |sensor: &SensorInfo, id: &str| sensor.options.iter().any(|option| option.option_id == id);
        let place = |id| match sensors.iter().find(|sensor| has(sensor, id)) {
            Some(sensor) => Ok((sensor.index, id)),
            None => Err(Error::invalid("This device has no depth stream, so there is nothing to align or filter.")),
        };
        let color = sensors.iter().any(|sensor| sensor.profiles.iter().any(|p| p.stream == StreamType::Color));
        if options.contains(&"align_to") && !color {
            return Err(Error::invalid("This device has no color stream, so there is nothing to align depth to."));
        }
        options.into_iter().map(place).collect()
    }
}

impl StartConfig {
    fn parse(&self, device: &DeviceId, sensors: &[SensorInfo]) -> Result<(usize, StreamConfig)> {
        let sensor = find_sensor(device, &self.sensor_id, sensors)?;
        let stream: StreamType = self.stream_type.parse()?;
        let format = self.format(stream, sensor)?;
        let profile = if stream.is_video() {
            let WantedResolution { width, height } = self.resolution;
            WantedProfile { width, height, framerate: self.framerate }.parse(&self.stream_type)?
        } else {
            // A motion sample has no size, whatever the client's form filled in.
            let rate = u32::try_from(self.framerate).ok().filter(|rate| (1..=MAX_MOTION_RATE).contains(rate));
            let framerate = rate.ok_or_else(|| {
                Error::invalid(format!(
                    "The framerate {} of '{stream}' is out of range: it goes from 1 to {MAX_MOTION_RATE}.",
                    self.framerate
                ))
            })?;
            Profile { width: 0, height: 0, framerate }
        };
        // Whether the sensor offers it is checked where it is also known how the camera is connected.
        Ok((sensor.index, StreamConfig { stream, format, profile }))
    }

    /// The format meant; a motion sample has two names.
    fn format(&self, stream: StreamType, sensor: &SensorInfo) -> Result<PixelFormat> {
        let name = self.format.trim();
        if !stream.is_video() && name.eq_ignore_ascii_case(COMBINED_MOTION) {
            return Ok(PixelFormat::MotionXyz32f);
        }
        name.parse().map_err(|unknown: Error| {
            let offered = list(sensor.profiles.iter().filter(|p| p.stream == stream).map(|p| p.format));
            if offered.is_empty() {
                return unknown;
            }
            let shown: String = name.chars().take(40).collect();
            Error::invalid(format!("{stream} is not offered as '{shown}'; it is offered as {offered}."))
        })
    }
}

/// Highest rate that any of these cameras' motion sensors has, in samples a second, with room to spare: 400 of the D435I's gyro.
const MAX_MOTION_RATE: u32 = 1000;

/// Starts one sensor. What to start stands in `configs`, in `config` or in `profiles`; together they are one list.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"configs": [{
    "stream_type": "depth", "format": "z16", "resolution": {"width": 640, "height": 480}, "framerate": 30
}]}))]
pub struct SensorStartBody {
    /// The streams.
    #[serde(default)]
    pub configs: Option<Vec<SensorStartConfig>>,
    /// One stream.
    #[serde(default)]
    pub config: Option<SensorStartConfig>,
    /// The streams as newer clients write them.
    #[serde(default)]
    pub profiles: Option<Vec<SensorStartProfile>>,
}

/// One stream of a sensor's start.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SensorStartConfig {
    /// Stream type; motion streams (`gyro`, `accel`) too.
    #[schema(example = "depth")]
    pub stream_type: String,
    /// Pixel format in librealsense's name, in any case.
    #[schema(example = "z16")]
    pub format: String,
    /// Size; ignored for motion streams.
    pub resolution: WantedResolution,
    /// Frames per second.
    #[serde(deserialize_with = "whole")]
    #[schema(example = 30)]
    pub framerate: i64,
    /// False leaves this entry out.
    #[serde(default)]
    pub enable: Option<bool>,
}

/// One stream of a sensor's start, as newer clients write it.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SensorStartProfile {
    /// Stream type; `infrared` with its `stream_index`, or with the index in its name.
    #[schema(example = "infrared")]
    pub stream_type: String,
    /// Which of the infrared streams: 1 or 2. Counts for nothing else.
    #[serde(default)]
    pub stream_index: Option<i64>,
    /// Pixel format in librealsense's name, in any case.
    #[schema(example = "y8")]
    pub format: String,
    /// Width in pixels; ignored for motion streams.
    #[serde(deserialize_with = "whole")]
    #[schema(example = 640)]
    pub width: i64,
    /// Height in pixels; ignored for motion streams.
    #[serde(deserialize_with = "whole")]
    #[schema(example = 480)]
    pub height: i64,
    /// Frames per second.
    #[serde(alias = "framerate", deserialize_with = "whole")]
    #[schema(example = 30)]
    pub fps: i64,
    /// Ignored. Clients send it back as they read it.
    #[serde(default)]
    pub default: Option<bool>,
}

impl SensorStartBody {
    /// Checks everything of the enabled entries but whether the sensor offers it.
    ///
    /// # Errors
    /// NotFound for a sensor that the device does not have, Invalid when nothing is named, listing what is offered.
    pub(in super::super) fn parse(
        self,
        device: &DeviceId,
        sensor_id: &str,
        sensors: &[SensorInfo],
    ) -> Result<StartRequest> {
        let sensor = sensor_index(device, sensor_id)?;
        find_sensor(device, sensor_id, sensors)?;
        let configs = self.configs.into_iter().flatten().chain(self.config);
        let profiles = self.profiles.into_iter().flatten().map(SensorStartConfig::from);
        let configs: Vec<_> = configs.chain(profiles).map(|config| config.of(sensor_id)).collect();
        if configs.is_empty() {
            return Err(Error::invalid(
                "Nothing to start is named: give 'config', 'configs' or 'profiles' with at least one stream.",
            ));
        }
        let body = StartBody { configs, align_to: None, apply_filters: None, reuse_cache: None };
        Ok(StartRequest { sensor: Some(sensor), ..body.parse(device, sensors)? })
    }
}

impl SensorStartConfig {
    fn of(self, sensor_id: &str) -> StartConfig {
        let Self { stream_type, format, resolution, framerate, enable } = self;
        StartConfig { sensor_id: sensor_id.to_owned(), stream_type, format, resolution, framerate, enable }
    }
}

impl From<SensorStartProfile> for SensorStartConfig {
    fn from(profile: SensorStartProfile) -> Self {
        let SensorStartProfile { stream_type, stream_index, format, width, height, fps, default: _ } = profile;
        let named = stream_type.trim().eq_ignore_ascii_case("infrared");
        let stream_type = match stream_index.filter(|index| named && *index != 0) {
            Some(index) => format!("infrared-{index}"),
            None => stream_type,
        };
        Self { stream_type, format, resolution: WantedResolution { width, height }, framerate: fps, enable: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SensorProfile;

    const VGA: Profile = Profile { width: 640, height: 480, framerate: 30 };

    fn sensors() -> Vec<SensorInfo> {
        let profiles = vec![SensorProfile { stream: StreamType::Depth, format: PixelFormat::Z16, profile: VGA }];
        vec![SensorInfo { index: 0, name: "Stereo Module".into(), profiles, options: vec![] }]
    }

    fn parse(body: serde_json::Value) -> Result<Vec<(usize, StreamConfig)>> {
        let body: SensorStartBody = serde_json::from_value(body).expect("the right shape");
        Ok(body.parse(&DeviceId::new("1"), "1-sensor-0", &sensors())?.configs)
    }

    fn config(stream: StreamType, format: PixelFormat) -> (usize, StreamConfig) {
        (0, StreamConfig { stream, format, profile: VGA })
    }

    #[test]
    fn one_list_is_made_of_what_clients_of_every_age_write() {
        let size = serde_json::json!({"width": 640, "height": 480.0});
        let depth = serde_json::json!({"stream_type": "depth", "format": "Z16", "resolution": size, "framerate": 30});
        let left = |kind: &str, index: serde_json::Value| {
            serde_json::json!({"stream_type": kind, "stream_index": index, "format": "Y8", "width": 640, "height": 480,
                               "fps": 30, "default": true})
        };
        let expected = config(StreamType::Depth, PixelFormat::Z16);
        for body in [
            serde_json::json!({"config": depth}),
            serde_json::json!({"configs": [depth]}),
            serde_json::json!({"config": depth, "configs": [depth], "profiles": null}),
        ] {
            assert_eq!(parse(body).expect("good"), [expected]);
        }
        let both = serde_json::json!({"config": depth, "profiles": [left("infrared", 2.into())]});
        assert_eq!(parse(both).expect("good"), [expected, config(StreamType::Infrared(2), PixelFormat::Y8)]);
        for (kind, index, stream) in [
            ("infrared", 1.into(), StreamType::Infrared(1)),
            ("Infrared", 0.into(), StreamType::Infrared(1)),
            ("infrared", serde_json::Value::Null, StreamType::Infrared(1)),
            ("infrared-2", 0.into(), StreamType::Infrared(2)),
        ] {
            let parsed = parse(serde_json::json!({"profiles": [left(kind, index)]})).expect("good");
            assert_eq!(parsed, [config(stream, PixelFormat::Y8)]);
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for body in [
            serde_json::json!({}),
            serde_json::json!({"configs": []}),
            serde_json::json!({"config": null, "configs": null, "profiles": []}),
        ] {
            let error = parse(body).expect_err("nothing is named");
            assert!(error.public().contains("'config', 'configs' or 'profiles'"), "{error}");
        }
        let many = serde_json::json!({"profiles": [{"stream_type": "infrared", "stream_index": 7, "format": "y8",
                                                   "width": 640, "height": 480, "fps": 30}]});
        assert!(parse(many).expect_err("no such stream").public().contains("infrared-7"));
    }

    #[test]
    fn a_sensor_of_another_device_is_not_known() {
        for id in ["1-sensor-9", "2-sensor-0", "sensor-0", "batch"] {
            let error = SensorStartBody::default().parse(&DeviceId::new("1"), id, &sensors()).expect_err(id);
            assert_eq!(error.kind(), crate::error::Kind::NotFound, "{id}");
        }
    }
}
