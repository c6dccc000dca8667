//! What the simulated D435I's sensors offer, as a D435I on USB 3 lists it, and the check of what is asked for.
//! 256x144 at 90 and 300 fps and the infrared calibration formats are left out; I420 is the simulator's own.

use std::collections::BTreeSet;

use crate::{
    camera::StreamConfig,
    error::{Error, Result},
    model::{PixelFormat, Profile, SensorProfile, StreamType},
};

/// The sensors' names, by index.
pub(crate) const SENSORS: [&str; 3] = ["Stereo Module", "RGB Camera", "Motion Module"];

const STEREO_SIZES: [(u32, u32, &[u32]); 6] = [
    (424, 240, &[6, 15, 30, 60, 90]),
    (480, 270, &[6, 15, 30, 60, 90]),
    (640, 360, &[6, 15, 30, 60, 90]),
    (640, 480, &[6, 15, 30, 60, 90]),
    (848, 480, &[6, 15, 30, 60, 90]),
    (1280, 720, &[6, 15, 30]),
];

const COLOR_SIZES: [(u32, u32, &[u32]); 9] = [
    (320, 180, &[6, 15, 30, 60]),
    (320, 240, &[6, 15, 30, 60]),
    (424, 240, &[6, 15, 30, 60]),
    (640, 360, &[6, 15, 30, 60]),
    (640, 480, &[6, 15, 30, 60]),
    (848, 480, &[6, 15, 30, 60]),
    (960, 540, &[6, 15, 30, 60]),
    (1280, 720, &[6, 15, 30]),
    (1920, 1080, &[6, 15, 30]),
];

const COLOR_FORMATS: [PixelFormat; 4] = [PixelFormat::Rgb8, PixelFormat::Bgr8, PixelFormat::Yuyv, PixelFormat::I420];

/// Everything a sensor offers.
pub(crate) fn of_sensor(sensor: usize) -> Vec<SensorProfile> {
    let mut all = Vec::new();
    let mut add = |stream, format, sizes: &[(u32, u32, &[u32])]| {
        for &(width, height, rates) in sizes {
            for &framerate in rates {
                all.push(SensorProfile { stream, format, profile: Profile { width, height, framerate } });
            }
        }
    };
    match sensor {
        0 => {
            add(StreamType::Depth, PixelFormat::Z16, &STEREO_SIZES);
            add(StreamType::Infrared(1), PixelFormat::Y8, &STEREO_SIZES);
            add(StreamType::Infrared(2), PixelFormat::Y8, &STEREO_SIZES);
        }
        1 => COLOR_FORMATS.into_iter().for_each(|format| add(StreamType::Color, format, &COLOR_SIZES)),
        _ => {
            // The rates of the BMI055 that the D435I was launched with.
            add(StreamType::Gyro, PixelFormat::MotionXyz32f, &[(0, 0, &[200, 400])]);
            add(StreamType::Accel, PixelFormat::MotionXyz32f, &[(0, 0, &[63, 250])]);
        }
    }
    all
}

/// Checks that a sensor can run these streams together.
///
/// Unlike the real device, depth and infrared may differ in size and rate.
///
/// # Errors
/// Invalid, naming the nearest profile offered.
pub(crate) fn check(sensor: usize, streams: &[StreamConfig]) -> Result<()> {
    let offered = of_sensor(sensor);
    if streams.is_empty() {
        return Err(Error::invalid("No stream was asked for."));
    }
    let mut seen = BTreeSet::new();
    for config in streams {
        if !seen.insert(config.stream) {
            return Err(Error::invalid(format!("Stream {} was asked for twice.", config.stream)));
        }
        let same =
            |o: &&SensorProfile| o.stream == config.stream && o.format == config.format && o.profile == config.profile;
        if offered.iter().any(|o| same(&o)) {
            continue;
        }
        let distance = |o: &SensorProfile| {
            let (a, b) = (o.profile, config.profile);
            let size = a.width.abs_diff(b.width) + a.height.abs_diff(b.height);
            (o.format != config.format, size, a.framerate.abs_diff(b.framerate))
        };
        let nearest = offered.iter().filter(|o| o.stream == config.stream).min_by_key(|o| distance(o));
        return Err(Error::invalid(match nearest {
            Some(nearest) => format!(
                "{} has no {} {}. The nearest it offers is {} {}.",
                config.stream, config.format, config.profile, nearest.format, nearest.profile
            ),
            None => format!("{} has no stream {}.", SENSORS[sensor], config.stream),
        }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(stream: StreamType, format: PixelFormat, width: u32, height: u32, framerate: u32) -> StreamConfig {
        StreamConfig { stream, format, profile: Profile { width, height, framerate } }
    }

    #[test]
    fn everything_offered_is_accepted() {
        for sensor in 0..3 {
            for o in of_sensor(sensor) {
                check(sensor, &[StreamConfig { stream: o.stream, format: o.format, profile: o.profile }]).unwrap();
            }
        }
    }

    #[test]
    fn what_is_not_offered_names_the_nearest() {
        let ask = |sensor, c: StreamConfig| check(sensor, &[c]).unwrap_err().to_string();
        let text = ask(0, config(StreamType::Depth, PixelFormat::Z16, 640, 482, 25));
        assert!(text.contains("z16 640x480 at 30 fps"), "{text}");
        let text = ask(0, config(StreamType::Depth, PixelFormat::Z16, 1280, 720, 90));
        assert!(text.contains("1280x720 at 30 fps"), "{text}");
        let text = ask(1, config(StreamType::Color, PixelFormat::Y8, 640, 480, 30));
        assert!(text.contains("640x480 at 30 fps"), "{text}");
        let text = ask(1, config(StreamType::Depth, PixelFormat::Z16, 640, 480, 30));
        assert!(text.contains("RGB Camera has no stream depth"), "{text}");
        let twice = config(StreamType::Depth, PixelFormat::Z16, 640, 480, 30);
        assert!(check(0, &[twice, twice]).is_err() && check(0, &[]).is_err());
    }
}
