//! The options of the simulated D435I's sensors: ranges as librealsense 2.5x reports them for a D435I, and what their
//! values make of the pictures. Owns the values; the painters only see the looks made here.
//!
//! As in librealsense (`auto_disabling_control`), setting exposure or gain by hand turns auto exposure off, and setting
//! the white balance turns its automatic off. Only options that this simulator honours are offered.

use super::{
    depth::{DEPTH_UNITS_M, DepthLook},
    optics::BASELINE_M,
    picture::{ColorLook, InfraredLook},
};
use crate::{
    core::options::OptionSpec,
    error::{Error, Result},
    model::{MetadataKey, OptionInfo, StreamType, TimestampDomain},
};

struct Spec {
    option: OptionSpec,
    /// The automatic that setting this by hand turns off.
    automatic: Option<&'static str>,
}

const BASIC: &str = "Basic Controls";
const STEREO: &str = "Stereo and Emitter";
const DEVICE: &str = "Device";

const fn spec(id: &'static str, name: &'static str, category: &'static str, range: [f64; 4]) -> Spec {
    Spec { option: OptionSpec::new(id, name, category, range), automatic: None }
}

impl Spec {
    const fn about(mut self, description: &'static str) -> Self {
        self.option.description = description;
        self
    }
    const fn units(mut self, units: &'static str) -> Self {
        self.option.units = Some(units);
        self
    }
    const fn values(mut self, values: &'static [&'static str]) -> Self {
        self.option.values = values;
        self
    }
    const fn read_only(mut self) -> Self {
        self.option.read_only = true;
        self
    }
    const fn turns_off(mut self, automatic: &'static str) -> Self {
        self.automatic = Some(automatic);
        self
    }
}

const AE: &str = "enable_auto_exposure";
const AWB: &str = "enable_auto_white_balance";

const GLOBAL_TIME: Spec = spec("global_time_enabled", "Global Time Enabled", DEVICE, [0.0, 1.0, 1.0, 1.0])
    .about("Timestamps in the host's time; off: milliseconds since the device was plugged in");

static STEREO_MODULE: &[Spec] = &[
    spec("exposure", "Exposure", BASIC, [1.0, 165_000.0, 1.0, 8500.0])
        .about("Exposure of the infrared imagers; setting it turns auto exposure off")
        .units("microseconds")
        .turns_off(AE),
    spec("gain", "Gain", BASIC, [16.0, 248.0, 1.0, 16.0])
        .about("Gain of the infrared imagers; setting it turns auto exposure off")
        .turns_off(AE),
    spec(AE, "Enable Auto Exposure", BASIC, [0.0, 1.0, 1.0, 1.0]).about("Sets exposure and gain by itself"),
    spec("visual_preset", "Visual Preset", STEREO, [0.0, 5.0, 1.0, 1.0])
        .about("How sure the stereo matcher must be: accuracy gives fewer points, density more")
        .values(&["Custom", "Default", "Hand", "High Accuracy", "High Density", "Medium Density"]),
    spec("emitter_enabled", "Emitter Enabled", STEREO, [0.0, 2.0, 1.0, 1.0])
        .about("The infrared projector; without its dots depth has holes on plain surfaces")
        .values(&["Off", "Laser", "Laser Auto"]),
    spec("laser_power", "Laser Power", STEREO, [0.0, 360.0, 30.0, 150.0])
        .about("Power of the infrared projector while it is on")
        .units("milliwatts"),
    spec("depth_units", "Depth Units", STEREO, [0.001, 0.001, 0.0, 0.001])
        .about("Metres per unit of Z16 frames")
        .units("meters")
        .read_only(),
    spec("stereo_baseline", "Stereo Baseline", STEREO, [50.0, 50.0, 0.0, 50.0])
        .about("Distance between the infrared imagers")
        .units("millimeters")
        .read_only(),
    spec("asic_temperature", "Asic Temperature", DEVICE, [-40.0, 125.0, 0.0, 38.0])
        .about("Temperature of the vision processor")
        .units("celsius")
        .read_only(),
    GLOBAL_TIME,
];

static RGB_CAMERA: &[Spec] = &[
    spec("exposure", "Exposure", BASIC, [1.0, 10_000.0, 1.0, 156.0])
        .about("Exposure of the colour imager; setting it turns auto exposure off")
        .units("100 microseconds")
        .turns_off(AE),
    spec("gain", "Gain", BASIC, [0.0, 128.0, 1.0, 64.0])
        .about("Gain of the colour imager; setting it turns auto exposure off")
        .turns_off(AE),
    spec(AE, "Enable Auto Exposure", BASIC, [0.0, 1.0, 1.0, 1.0]).about("Sets exposure and gain by itself"),
    spec("brightness", "Brightness", BASIC, [-64.0, 64.0, 1.0, 0.0]).about("Lifts or lowers the whole picture"),
    spec("contrast", "Contrast", BASIC, [0.0, 100.0, 1.0, 50.0]).about("Difference between light and dark"),
    spec("gamma", "Gamma", BASIC, [100.0, 500.0, 1.0, 300.0]).about("Brightness of the middle tones"),
    spec("hue", "Hue", BASIC, [-180.0, 180.0, 1.0, 0.0]).about("Turns all colours").units("degrees"),
    spec("saturation", "Saturation", BASIC, [0.0, 100.0, 1.0, 64.0]).about("Strength of colours; 0 is grey"),
    spec("white_balance", "White Balance", BASIC, [2800.0, 6500.0, 10.0, 4600.0])
        .about("Colour temperature that looks white; setting it turns the automatic off. The room's lamp has 4600 K")
        .units("kelvin")
        .turns_off(AWB),
    spec(AWB, "Enable Auto White Balance", BASIC, [0.0, 1.0, 1.0, 1.0]).about("Finds the colour temperature by itself"),
    spec("backlight_compensation", "Backlight Compensation", BASIC, [0.0, 1.0, 1.0, 0.0])
        .about("Makes auto exposure favour the dark parts"),
    GLOBAL_TIME,
];

static MOTION_MODULE: &[Spec] = &[
    spec("enable_motion_correction", "Enable Motion Correction", BASIC, [0.0, 1.0, 1.0, 1.0])
        .about("Takes the sensor's own bias and scale error out of the samples"),
    GLOBAL_TIME,
];

/// One sensor's options and their values.
#[derive(Clone)]
pub(crate) struct Options {
    specs: &'static [Spec],
    values: Vec<f64>,
}

impl Options {
    /// The options of sensor 0, 1 or 2 at their defaults.
    pub(crate) fn of_sensor(sensor: usize) -> Self {
        let specs = [STEREO_MODULE, RGB_CAMERA, MOTION_MODULE][sensor];
        Self { specs, values: specs.iter().map(|s| s.option.default).collect() }
    }

    /// Every option with its present value; `seconds` of device time drive what the device measures.
    pub(crate) fn all(&self, seconds: f64) -> Vec<OptionInfo> {
        (0..self.specs.len()).map(|at| self.info_at(at, seconds)).collect()
    }

    /// One option with its present value.
    pub(crate) fn info(&self, id: &str, seconds: f64) -> Result<OptionInfo> {
        Ok(self.info_at(self.find(id)?, seconds))
    }

    /// Sets one option.
    pub(crate) fn set(&mut self, id: &str, value: f64) -> Result<()> {
        let at = self.find(id)?;
        let spec = &self.specs[at];
        self.values[at] = spec.option.accept(value)?;
        if let Some(automatic) = spec.automatic {
            let at = self.find(automatic).expect("the table names an automatic of the same sensor");
            self.values[at] = 0.0;
        }
        Ok(())
    }

    fn find(&self, id: &str) -> Result<usize> {
        self.specs.iter().position(|s| s.option.id == id).ok_or_else(|| {
            let shown: String = id.chars().take(40).collect();
            let known: Vec<_> = self.specs.iter().map(|s| s.option.id).collect();
            Error::not_found(format!("Unknown option '{shown}'. This sensor has: {}.", known.join(", ")))
        })
    }

    fn info_at(&self, at: usize, seconds: f64) -> OptionInfo {
        let spec = &self.specs[at];
        let automatic_on = spec.automatic.is_some_and(|id| self.value(id) != 0.0);
        let current_value = match spec.option.id {
            // Warms up from 32 °C to 38 °C with a time constant of five minutes.
            "asic_temperature" => (38.0 - 6.0 * (-seconds / 300.0).exp()).round(),
            // What the automatic found: the room's light never changes.
            _ if automatic_on => spec.option.default,
            _ => self.values[at],
        };
        spec.option.info(current_value)
    }

    /// A value of an option that this sensor's table has.
    fn value(&self, id: &str) -> f64 {
        self.specs.iter().position(|s| s.option.id == id).map_or(0.0, |at| self.values[at])
    }

    /// Whether timestamps are in the host's time.
    pub(crate) fn global_time(&self) -> bool {
        self.value("global_time_enabled") != 0.0
    }

    /// The clock of the timestamps.
    pub(crate) fn timestamp_domain(&self) -> TimestampDomain {
        if self.global_time() { TimestampDomain::GlobalTime } else { TimestampDomain::HardwareClock }
    }

    /// What the camera says about a frame of an image stream. Colour exposure counts in 100 µs, as a UVC camera's does.
    pub(crate) fn frame_metadata(
        &self,
        stream: StreamType,
        framerate: u32,
        arrived_ms: i64,
    ) -> Vec<(MetadataKey, i64)> {
        let exposure_us = match stream {
            StreamType::Color => self.value("exposure") * 100.0,
            StreamType::Depth | StreamType::Infrared(_) => self.value("exposure"),
            StreamType::Gyro | StreamType::Accel => return vec![(MetadataKey::TIME_OF_ARRIVAL, arrived_ms)],
        };
        vec![
            (MetadataKey::ACTUAL_EXPOSURE, exposure_us as i64),
            (MetadataKey::GAIN_LEVEL, self.value("gain") as i64),
            (MetadataKey::TIME_OF_ARRIVAL, arrived_ms),
            (MetadataKey::ACTUAL_FPS, i64::from(framerate) * 1000),
        ]
    }

    /// Whether motion samples are free of bias.
    pub(crate) fn motion_correction(&self) -> bool {
        self.value("enable_motion_correction") != 0.0
    }

    fn laser(&self) -> f32 {
        if self.value("emitter_enabled") == 0.0 { 0.0 } else { (self.value("laser_power") / 360.0) as f32 }
    }

    fn stereo_exposure(&self) -> f32 {
        if self.value(AE) != 0.0 {
            return 1.0;
        }
        (self.value("exposure") / 8500.0 * self.value("gain") / 16.0) as f32
    }

    /// How infrared looks now.
    pub(crate) fn infrared_look(&self) -> InfraredLook {
        InfraredLook { exposure: self.stereo_exposure(), laser: self.laser() }
    }

    /// How depth looks now.
    pub(crate) fn depth_look(&self) -> DepthLook {
        let caution = match self.value("visual_preset") as u32 {
            2 => 0.8,
            3 => 2.4,
            4 => 0.35,
            5 => 0.7,
            _ => 1.0,
        };
        let exposure = self.stereo_exposure();
        DepthLook { laser: self.laser(), caution, contrast: (exposure / 0.15).min(4.0 / exposure).min(1.0) }
    }

    /// How colour looks now.
    pub(crate) fn color_look(&self) -> ColorLook {
        let exposure = if self.value(AE) != 0.0 {
            if self.value("backlight_compensation") != 0.0 { 1.35 } else { 1.0 }
        } else {
            // 32 steps of gain double the light.
            self.value("exposure") / 156.0 * ((self.value("gain") - 64.0) / 32.0).exp2()
        };
        let white = if self.value(AWB) != 0.0 {
            [1.0; 3]
        } else {
            // A lower setting than the lamp's temperature takes the light for bluer than it wants to see: cold picture.
            let warmth = ((self.value("white_balance") / 4600.0) as f32).powf(0.9);
            [warmth, 1.0, 1.0 / warmth]
        };
        ColorLook {
            exposure: exposure as f32,
            white,
            // The default of 300 stands for the usual 1/2.2.
            gamma: (300.0 / self.value("gamma") / 2.2) as f32,
            brightness: (self.value("brightness") / 255.0) as f32,
            contrast: (self.value("contrast") / 50.0) as f32,
            saturation: (self.value("saturation") / 64.0) as f32,
            hue: self.value("hue").to_radians() as f32,
        }
    }
}

const _: () = assert!(DEPTH_UNITS_M == 0.001 && BASELINE_M == 0.05, "the option table repeats both");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn every_default_is_a_value_that_can_be_set() {
        for sensor in 0..3 {
            for info in Options::of_sensor(sensor).all(0.0) {
                let set = Options::of_sensor(sensor).set(&info.option_id, info.default_value);
                assert_eq!(set.is_ok(), !info.read_only, "{}", info.option_id);
                assert!((info.min_value.unwrap()..=info.max_value.unwrap()).contains(&info.current_value));
                assert!(!info.description.unwrap().is_empty());
            }
        }
    }

    #[test]
    fn bad_values_are_refused_with_the_range() {
        let mut options = Options::of_sensor(0);
        for (id, value) in [("laser_power", 361.0), ("laser_power", -1.0), ("gain", f64::NAN)] {
            let error = options.set(id, value).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.public().contains(" to ") && error.public().contains(id), "{error}");
        }
        assert_eq!(options.set("depth_units", 0.001).unwrap_err().kind(), Kind::Invalid);
        assert_eq!(options.set("hue", 0.0).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(options.info("laser_power", 0.0).unwrap().current_value, 150.0);
        options.set("laser_power", 31.0).unwrap();
        assert_eq!(options.info("laser_power", 0.0).unwrap().current_value, 30.0, "the nearest step");
    }

    #[test]
    fn setting_exposure_turns_the_automatic_off_and_the_automatic_resets_it() {
        let mut options = Options::of_sensor(1);
        options.set("exposure", 40.0).unwrap();
        assert_eq!(options.info(AE, 0.0).unwrap().current_value, 0.0);
        assert!(options.color_look().exposure < 0.3);
        options.set(AE, 1.0).unwrap();
        assert_eq!(options.info("exposure", 0.0).unwrap().current_value, 156.0);
        assert_eq!(options.color_look().exposure, 1.0);
    }
}
