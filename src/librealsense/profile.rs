//! A stream profile: one stream a sensor can deliver, and its calibration.

use std::{collections::BTreeMap, sync::Arc};

use realsense_sys as sys;

use super::{Owned, Result, ffi::Api};
use crate::{
    model::{Distortion, Extrinsics, Intrinsics, PixelFormat, Profile, SensorProfile, StreamType},
    sync::{Mutex, lock},
};

/// A stream profile. Keeps what it belongs to alive.
#[derive(Clone)]
pub struct StreamProfile {
    raw: *const sys::rs2_stream_profile,
    api: &'static Api,
    /// The list or sensor that owns the profile.
    _owner: Arc<dyn Send + Sync>,
    what: SensorProfile,
}

// SAFETY: the profile is read-only for its life and owned by `_owner`, which may move between threads itself.
unsafe impl Send for StreamProfile {}
// SAFETY: as above.
unsafe impl Sync for StreamProfile {}

impl StreamProfile {
    /// The profiles of a sensor's list that this server can use, each once.
    pub(super) fn of_list(api: &'static Api, list: Owned<sys::rs2_stream_profile_list>) -> Result<Vec<Self>> {
        let raw = Self::all_raw(api, &list)?;
        let owner: Arc<dyn Send + Sync> = Arc::new(list);
        let mut profiles: Vec<Self> = Vec::new();
        for profile in raw {
            if let Some(what) = describe(api, profile)?
                && !profiles.iter().any(|known| known.what == what)
            {
                profiles.push(Self { raw: profile, api, _owner: owner.clone(), what });
            }
        }
        Ok(profiles)
    }

    /// Every profile of a list, which owns them.
    pub(super) fn all_raw(
        api: &'static Api,
        list: &Owned<sys::rs2_stream_profile_list>,
    ) -> Result<Vec<*const sys::rs2_stream_profile>> {
        let raw = list.raw();
        // SAFETY: the list is alive.
        let count = api.call(|error| unsafe { (api.rs2_get_stream_profiles_count)(raw, error) })?;
        // SAFETY: the list is alive and has that many; it owns the profile.
        let profile = |index| api.call(|error| unsafe { (api.rs2_get_stream_profile)(raw, index, error) });
        (0..count).map(profile).collect()
    }

    /// One profile of each stream of a recording's sensor: given several, the SDK reads every frame as often (one query of the
    /// file for each). The last, which is the one that it then tells of the frames.
    pub(super) fn one_of_each_stream(
        api: &'static Api,
        list: &Owned<sys::rs2_stream_profile_list>,
    ) -> Result<Vec<*const sys::rs2_stream_profile>> {
        let mut found = BTreeMap::new();
        for raw in Self::all_raw(api, list)? {
            let Data { stream, index, .. } = data(api, raw)?;
            found.insert((stream, index), raw);
        }
        Ok(found.into_values().collect())
    }

    /// A profile that something else owns.
    pub(super) fn owned_by(
        api: &'static Api,
        raw: *const sys::rs2_stream_profile,
        owner: Arc<dyn Send + Sync>,
        what: SensorProfile,
    ) -> Self {
        Self { raw, api, _owner: owner, what }
    }

    pub(super) fn raw(&self) -> *const sys::rs2_stream_profile {
        self.raw
    }

    /// Stream, format, size and rate.
    pub fn what(&self) -> SensorProfile {
        self.what
    }

    /// Its intrinsics, for an image stream whose calibration is known.
    pub fn intrinsics(&self) -> Option<Intrinsics> {
        self.what.stream.is_video().then_some(())?;
        let api = self.api;
        let mut raw = no_intrinsics();
        // SAFETY: the profile is alive and is a video profile; `raw` is for the call to fill.
        api.call(|error| unsafe { (api.rs2_get_video_stream_intrinsics)(self.raw, &raw mut raw, error) }).ok()?;
        // Without a focal length nothing can be reckoned: a recording may hold none.
        (raw.fx > 0.0 && raw.fy > 0.0).then_some(())?;
        Some(Intrinsics {
            width: u32::try_from(raw.width).ok()?,
            height: u32::try_from(raw.height).ok()?,
            fx: raw.fx,
            fy: raw.fy,
            ppx: raw.ppx,
            ppy: raw.ppy,
            distortion: distortion(raw.model),
            coefficients: raw.coeffs,
        })
    }

    /// The transform to another stream's coordinates, where the SDK knows it.
    pub fn extrinsics_to(&self, other: &Self) -> Option<Extrinsics> {
        let api = self.api;
        let mut raw = sys::rs2_extrinsics { rotation: [0.0; 9], translation: [0.0; 3] };
        // SAFETY: both profiles are alive; `raw` is for the call to fill.
        api.call(|error| unsafe { (api.rs2_get_extrinsics)(self.raw, other.raw, &raw mut raw, error) }).ok()?;
        Some(Extrinsics { rotation: raw.rotation, translation: raw.translation })
    }

    /// Tells the SDK the transform to another stream's coordinates.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn register_extrinsics(&self, other: &Self, to: &Extrinsics) -> Result<()> {
        let api = self.api;
        // The SDK adds to one list of the whole process without a lock: two threads at once broke the heap (2.56.5).
        static REGISTERING: Mutex<()> = Mutex::new(());
        let _one = lock(&REGISTERING);
        let raw = sys::rs2_extrinsics { rotation: to.rotation, translation: to.translation };
        // SAFETY: both profiles are alive.
        api.call(|error| unsafe { (api.rs2_register_extrinsics)(self.raw, other.raw, raw, error) })
    }
}

fn no_intrinsics() -> sys::rs2_intrinsics {
    sys::rs2_intrinsics { width: 0, height: 0, ppx: 0.0, ppy: 0.0, fx: 0.0, fy: 0.0, model: 0, coeffs: [0.0; 5] }
}

/// What the SDK says of a profile, in its own numbers.
struct Data {
    stream: sys::rs2_stream,
    format: sys::rs2_format,
    index: i32,
    rate: i32,
}

fn data(api: &'static Api, raw: *const sys::rs2_stream_profile) -> Result<Data> {
    let mut data = Data { stream: 0, format: 0, index: 0, rate: 0 };
    let mut id = 0;
    // SAFETY: the profile is alive; every pointer is to a local for the call to fill.
    api.call(|error| unsafe {
        let (stream, format) = (&raw mut data.stream, &raw mut data.format);
        (api.rs2_get_stream_profile_data)(
            raw,
            stream,
            format,
            &raw mut data.index,
            &raw mut id,
            &raw mut data.rate,
            error,
        );
    })?;
    Ok(data)
}

/// What a profile is; `None` for streams and formats that the server does not know, newer ones included.
pub(super) fn describe(api: &'static Api, raw: *const sys::rs2_stream_profile) -> Result<Option<SensorProfile>> {
    let Data { stream, format, index, rate } = data(api, raw)?;
    let (mut width, mut height) = (0, 0);
    let (Some(stream), Some(format)) = (stream_type(stream, index), pixel_format(format)) else { return Ok(None) };
    let fits = match stream {
        StreamType::Depth => format == PixelFormat::Z16,
        StreamType::Infrared(_) => format == PixelFormat::Y8,
        StreamType::Gyro | StreamType::Accel => format == PixelFormat::MotionXyz32f,
        StreamType::Color => matches!(format, PixelFormat::Rgb8 | PixelFormat::Bgr8 | PixelFormat::Yuyv),
    };
    if !fits {
        return Ok(None);
    }
    if stream.is_video() {
        // SAFETY: the profile is alive, and one of such a stream is a video profile; both pointers are to locals for the call to fill.
        api.call(|error| unsafe {
            (api.rs2_get_video_stream_resolution)(raw, &raw mut width, &raw mut height, error);
        })?;
    }
    Ok(usable(stream, (width, height), rate).map(|profile| SensorProfile { stream, format, profile }))
}

/// Frames a second of pictures and samples a second of motion where the SDK does not say: it tells 0 for recordings made by
/// ROS 2 (2.59). Whoever asks for a stream must name a rate, and encoders reckon with one; nothing is paced by it.
const USUAL_FPS: u32 = 30;
const USUAL_MOTION_HZ: u32 = 200;

/// Size and rate as the SDK tells them; `None` for pictures without a size, of which none can be shown.
fn usable(stream: StreamType, (width, height): (i32, i32), rate: i32) -> Option<Profile> {
    let number = |value: i32| u32::try_from(value).unwrap_or(0);
    let (width, height) = (number(width), number(height));
    if stream.is_video() && (width == 0 || height == 0) {
        return None;
    }
    let usual = if stream.is_video() { USUAL_FPS } else { USUAL_MOTION_HZ };
    let framerate = if rate > 0 { number(rate) } else { usual };
    Some(Profile { width, height, framerate })
}

/// The stream of the SDK's type and index. D400's left imager is infrared 1; a single imager has index 0.
fn stream_type(stream: sys::rs2_stream, index: i32) -> Option<StreamType> {
    match stream {
        sys::rs2_stream_RS2_STREAM_DEPTH => Some(StreamType::Depth),
        sys::rs2_stream_RS2_STREAM_COLOR => Some(StreamType::Color),
        sys::rs2_stream_RS2_STREAM_INFRARED => match index {
            0 | 1 => Some(StreamType::Infrared(1)),
            2 => Some(StreamType::Infrared(2)),
            _ => None,
        },
        sys::rs2_stream_RS2_STREAM_GYRO => Some(StreamType::Gyro),
        sys::rs2_stream_RS2_STREAM_ACCEL => Some(StreamType::Accel),
        _ => None,
    }
}

/// The SDK's type and index of a stream.
pub(super) fn raw_stream(stream: StreamType) -> (sys::rs2_stream, i32) {
    match stream {
        StreamType::Depth => (sys::rs2_stream_RS2_STREAM_DEPTH, 0),
        StreamType::Color => (sys::rs2_stream_RS2_STREAM_COLOR, 0),
        StreamType::Infrared(index) => (sys::rs2_stream_RS2_STREAM_INFRARED, index.into()),
        StreamType::Gyro => (sys::rs2_stream_RS2_STREAM_GYRO, 0),
        StreamType::Accel => (sys::rs2_stream_RS2_STREAM_ACCEL, 0),
    }
}

const FORMATS: [(PixelFormat, sys::rs2_format); 6] = [
    (PixelFormat::Rgb8, sys::rs2_format_RS2_FORMAT_RGB8),
    (PixelFormat::Bgr8, sys::rs2_format_RS2_FORMAT_BGR8),
    (PixelFormat::Yuyv, sys::rs2_format_RS2_FORMAT_YUYV),
    (PixelFormat::Y8, sys::rs2_format_RS2_FORMAT_Y8),
    (PixelFormat::Z16, sys::rs2_format_RS2_FORMAT_Z16),
    (PixelFormat::MotionXyz32f, sys::rs2_format_RS2_FORMAT_MOTION_XYZ32F),
];

fn pixel_format(raw: sys::rs2_format) -> Option<PixelFormat> {
    FORMATS.iter().find(|(_, known)| *known == raw).map(|(format, _)| *format)
}

/// The SDK's name of a format, for those it has.
pub(super) fn raw_format(format: PixelFormat) -> Option<sys::rs2_format> {
    FORMATS.iter().find(|(known, _)| *known == format).map(|(_, raw)| *raw)
}

const DISTORTIONS: [Distortion; 6] = [
    Distortion::None,
    Distortion::ModifiedBrownConrady,
    Distortion::InverseBrownConrady,
    Distortion::Ftheta,
    Distortion::BrownConrady,
    Distortion::KannalaBrandt4,
];

/// A distortion model; one that a newer library added counts as none.
fn distortion(raw: sys::rs2_distortion) -> Distortion {
    usize::try_from(raw).ok().and_then(|raw| DISTORTIONS.get(raw)).copied().unwrap_or_default()
}

/// Intrinsics as the SDK has them.
pub(super) fn raw_intrinsics(intrinsics: &Intrinsics) -> sys::rs2_intrinsics {
    let model = DISTORTIONS.iter().position(|known| *known == intrinsics.distortion).unwrap_or(0);
    sys::rs2_intrinsics {
        width: i32::try_from(intrinsics.width).unwrap_or(i32::MAX),
        height: i32::try_from(intrinsics.height).unwrap_or(i32::MAX),
        ppx: intrinsics.ppx,
        ppy: intrinsics.ppy,
        fx: intrinsics.fx,
        fy: intrinsics.fy,
        model: sys::rs2_distortion::try_from(model).unwrap_or(0),
        coeffs: intrinsics.coefficients,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sdk_does_not_tell_is_not_taken_for_zero() {
        let profile = |width, height, framerate| Some(Profile { width, height, framerate });
        for (stream, size, rate, expected) in [
            (StreamType::Color, (640, 480), 15, profile(640, 480, 15)),
            (StreamType::Color, (640, 480), 0, profile(640, 480, 30)),
            (StreamType::Depth, (640, 480), -1, profile(640, 480, 30)),
            (StreamType::Infrared(1), (0, 480), 30, None),
            (StreamType::Color, (640, -480), 30, None),
            (StreamType::Gyro, (0, 0), 400, profile(0, 0, 400)),
            (StreamType::Accel, (0, 0), 0, profile(0, 0, 200)),
        ] {
            assert_eq!(usable(stream, size, rate), expected, "{stream} {size:?} {rate}");
        }
    }
}
