//! Chooses among the profiles a device really offers. A wish that cannot be met is refused with the nearest that can.

use crate::{
    error::{Error, Kind, Result},
    model::{PixelFormat, Profile, SensorInfo, StreamConfig, StreamType},
    peer::h264::Level,
};

/// Formats in the order the media side likes them: the ones that need least conversion before the encoder first.
const PREFERENCE: [PixelFormat; 7] = [
    PixelFormat::I420,
    PixelFormat::Yuyv,
    PixelFormat::Rgb8,
    PixelFormat::Bgr8,
    PixelFormat::Y8,
    PixelFormat::Z16,
    PixelFormat::MotionXyz32f,
];

/// Finds the sensor and the best format for a stream at exactly this size and rate.
///
/// # Errors
/// Invalid: the device has no such stream, or not at this profile (the nearest one is named).
pub fn choose(sensors: &[SensorInfo], stream: StreamType, wanted: Profile) -> Result<(usize, StreamConfig)> {
    let rank = |format: PixelFormat| PREFERENCE.iter().position(|known| *known == format);
    let exact = offered(sensors, stream)
        .filter(|(_, config)| config.profile == wanted)
        .min_by_key(|(_, config)| rank(config.format));
    if let Some(found) = exact {
        return Ok(found);
    }
    match nearest(sensors, stream, wanted) {
        Some(near) => {
            Err(Error::invalid(format!("{stream} is not offered at {wanted}; the nearest it offers is {near}.")))
        }
        None => Err(Error::invalid(format!("This device has no {stream} stream. {}", instead(sensors)))),
    }
}

/// The configured default if the device offers it, else the nearest it does offer.
///
/// # Errors
/// Invalid: the device has no such stream.
pub fn choose_default(sensors: &[SensorInfo], stream: StreamType, default: Profile) -> Result<(usize, StreamConfig)> {
    let profile = nearest(sensors, stream, default).unwrap_or(default);
    choose(sensors, stream, profile)
}

/// What asks most of a decoder of all that a stream may become while a session lasts: by H.264's levels, then by pixels a second.
/// Depth may be aligned to colour, and has colour's size then.
pub fn largest(sensors: &[SensorInfo], stream: StreamType) -> Option<Profile> {
    let own: Vec<Profile> = offered(sensors, stream).map(|(_, config)| config.profile).collect();
    let framerate = own.iter().map(|profile| profile.framerate).max()?;
    let color = offered(sensors, StreamType::Color).filter(|_| stream == StreamType::Depth);
    let aligned = color.map(|(_, config)| Profile { framerate, ..config.profile });
    let rate = |size: &Profile| u64::from(size.width) * u64::from(size.height) * u64::from(size.framerate);
    aligned.chain(own.iter().copied()).max_by_key(|size| (Level::of(*size), rate(size)))
}

/// Checks an explicit start's config against what the named sensor offers.
///
/// # Errors
/// Invalid, naming what the sensor offers instead.
pub fn check(sensors: &[SensorInfo], sensor: usize, config: &StreamConfig) -> Result<()> {
    let Some(info) = sensors.iter().find(|info| info.index == sensor) else {
        return Err(Error::not_found(format!("The device has no sensor {sensor}.")));
    };
    let of_stream: Vec<_> = info.profiles.iter().filter(|profile| profile.stream == config.stream).collect();
    if of_stream.is_empty() {
        return Err(Error::invalid(format!(
            "Sensor {sensor} ({}) has no {} stream. {}",
            info.name,
            config.stream,
            instead(std::slice::from_ref(info))
        )));
    }
    if !of_stream.iter().any(|profile| profile.format == config.format) {
        let mut formats: Vec<_> = of_stream.iter().map(|profile| profile.format.to_string()).collect();
        formats.sort_unstable();
        formats.dedup();
        return Err(Error::invalid(format!(
            "{} is not offered as {}; it is offered as {}.",
            config.stream,
            config.format,
            formats.join(", ")
        )));
    }
    if of_stream.iter().any(|profile| profile.format == config.format && profile.profile == config.profile) {
        return Ok(());
    }
    let same_format: Vec<_> =
        of_stream.iter().filter(|profile| profile.format == config.format).map(|profile| profile.profile).collect();
    let near = same_format.into_iter().min_by_key(|profile| distance(*profile, config.profile));
    Err(Error::invalid(format!(
        "{} is not offered at {}; the nearest it offers is {}.",
        config.stream,
        config.profile,
        near.map_or_else(|| "unknown".to_owned(), |near| near.to_string())
    )))
}

/// Adds to a refusal why a camera at a slow port offers less than its data sheet says.
pub fn with_usb_hint(error: Error, usb_type: Option<&str>) -> Error {
    // librealsense's `usb_type_descriptor`: "2.0", "2.1", "3.2" …
    match usb_type {
        Some(usb) if usb.starts_with('2') && error.kind() == Kind::Invalid => Error::invalid(format!(
            "{} The camera is connected over USB {usb}, which offers fewer sizes and rates: use a USB 3 port and cable for \
             more.",
            error.public()
        )),
        _ => error,
    }
}

/// What there is instead of a stream that there is not, as a sentence.
fn instead(sensors: &[SensorInfo]) -> String {
    let names: Vec<_> = streams(sensors).iter().map(ToString::to_string).collect();
    if names.is_empty() {
        // Of a recording, say, whose pictures are all of formats that the server does not know.
        return "It has none that this server can show: colour as RGB8, BGR8 or YUYV, depth as Z16, infrared as Y8."
            .into();
    }
    format!("It has: {}.", names.join(", "))
}

/// The sensor that offers a stream.
pub fn sensor_of(sensors: &[SensorInfo], stream: StreamType) -> Option<usize> {
    offered(sensors, stream).next().map(|(sensor, _)| sensor)
}

/// The stream types a device offers.
pub fn streams(sensors: &[SensorInfo]) -> Vec<StreamType> {
    let mut all: Vec<_> =
        sensors.iter().flat_map(|sensor| sensor.profiles.iter().map(|profile| profile.stream)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn offered(sensors: &[SensorInfo], stream: StreamType) -> impl Iterator<Item = (usize, StreamConfig)> + '_ {
    sensors.iter().flat_map(move |sensor| {
        sensor.profiles.iter().filter(move |profile| profile.stream == stream).map(move |profile| {
            (sensor.index, StreamConfig { stream, format: profile.format, profile: profile.profile })
        })
    })
}

fn nearest(sensors: &[SensorInfo], stream: StreamType, wanted: Profile) -> Option<Profile> {
    offered(sensors, stream).map(|(_, config)| config.profile).min_by_key(|profile| distance(*profile, wanted))
}

/// How far two profiles are apart: first by size (in pixels along each side), then by rate.
fn distance(a: Profile, b: Profile) -> (u32, u32) {
    (a.width.abs_diff(b.width) + a.height.abs_diff(b.height), a.framerate.abs_diff(b.framerate))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::SensorProfile;

    pub(crate) fn vga(framerate: u32) -> Profile {
        Profile { width: 640, height: 480, framerate }
    }

    pub(crate) fn sensors() -> Vec<SensorInfo> {
        let profile = |stream, format, framerate| SensorProfile { stream, format, profile: vga(framerate) };
        vec![
            SensorInfo {
                index: 0,
                name: "Stereo Module".into(),
                profiles: vec![
                    profile(StreamType::Depth, PixelFormat::Z16, 30),
                    profile(StreamType::Infrared(1), PixelFormat::Y8, 30),
                    profile(StreamType::Infrared(2), PixelFormat::Y8, 30),
                ],
                options: vec![],
            },
            SensorInfo {
                index: 1,
                name: "RGB Camera".into(),
                profiles: vec![
                    profile(StreamType::Color, PixelFormat::Rgb8, 30),
                    profile(StreamType::Color, PixelFormat::Yuyv, 30),
                    profile(StreamType::Color, PixelFormat::Rgb8, 15),
                ],
                options: vec![],
            },
        ]
    }

    #[test]
    fn the_cheapest_format_wins() {
        let (sensor, config) = choose(&sensors(), StreamType::Color, vga(30)).unwrap();
        assert_eq!((sensor, config.format), (1, PixelFormat::Yuyv));
    }

    #[test]
    fn the_largest_is_what_asks_most_of_a_decoder() {
        let mut sensors = sensors();
        assert_eq!(largest(&sensors, StreamType::Color), Some(vga(30)));
        assert_eq!(largest(&sensors, StreamType::Gyro), None);
        let full_hd = Profile { width: 1920, height: 1080, framerate: 15 };
        let wide = Profile { width: 848, height: 480, framerate: 90 };
        let profile = |stream, format, profile| SensorProfile { stream, format, profile };
        sensors[1].profiles.push(profile(StreamType::Color, PixelFormat::Yuyv, full_hd));
        sensors[0].profiles.push(profile(StreamType::Infrared(1), PixelFormat::Y8, wide));
        assert_eq!(largest(&sensors, StreamType::Color), Some(full_hd));
        assert_eq!(largest(&sensors, StreamType::Infrared(1)), Some(wide));
        assert_eq!(largest(&sensors, StreamType::Infrared(2)), Some(vga(30)));
        // Aligned to colour, at its own rate.
        assert_eq!(largest(&sensors, StreamType::Depth), Some(Profile { framerate: 30, ..full_hd }));
    }

    #[test]
    fn a_refusal_names_the_nearest() {
        let error = choose(&sensors(), StreamType::Color, vga(20)).unwrap_err();
        assert!(error.public().contains("640x480 at 15 fps"), "{error}");
        assert_eq!(choose_default(&sensors(), StreamType::Color, vga(28)).unwrap().1.profile, vga(30));
        let none = choose(&[], StreamType::Color, vga(30)).unwrap_err();
        assert!(
            none.public().starts_with("This device has no color stream. It has none that this server can show"),
            "{none}"
        );
        let error = choose(&sensors()[..1], StreamType::Color, vga(30)).unwrap_err();
        assert!(error.public().contains("depth, infrared-1, infrared-2"), "{error}");
    }

    #[test]
    fn a_refusal_over_usb_2_says_so() {
        let refused = || choose(&sensors(), StreamType::Color, vga(60)).unwrap_err();
        let hinted = with_usb_hint(refused(), Some("2.1"));
        assert!(hinted.public().starts_with(refused().public()), "{hinted}");
        assert!(hinted.public().contains("USB 2.1") && hinted.public().contains("USB 3 port"), "{hinted}");
        for usb in [Some("3.2"), None] {
            assert_eq!(with_usb_hint(refused(), usb).public(), refused().public());
        }
        let busy = with_usb_hint(Error::unavailable("busy"), Some("2.1"));
        assert_eq!(busy.public(), "busy");
    }

    #[test]
    fn an_explicit_start_must_match_exactly() {
        let good = StreamConfig { stream: StreamType::Color, format: PixelFormat::Rgb8, profile: vga(15) };
        assert!(check(&sensors(), 1, &good).is_ok());
        let wrong_format = StreamConfig { format: PixelFormat::Z16, ..good };
        assert!(check(&sensors(), 1, &wrong_format).unwrap_err().public().contains("rgb8, yuyv"));
        let wrong_rate = StreamConfig { profile: vga(60), ..good };
        assert!(check(&sensors(), 1, &wrong_rate).unwrap_err().public().contains("at 30 fps"));
        assert!(check(&sensors(), 0, &good).unwrap_err().public().contains("Stereo Module"));
        assert!(check(&sensors(), 7, &good).is_err());
    }
}
