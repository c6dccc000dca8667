//! Software devices: the SDK's own cameras without hardware, fed by a program. They exercise the real library in tests, and
//! write recordings.

use std::{ffi::c_void, panic::catch_unwind, sync::Arc};

use realsense_sys as sys;

use super::{
    CameraInfo, Device, OptionId, OptionRange, Result, Sdk, SdkError, Sensor, StreamProfile,
    ffi::{c_string, rs2_motion_stream, rs2_software_motion_frame, rs2_software_video_frame, rs2_video_stream},
    profile::{raw_format, raw_intrinsics, raw_stream},
};
use crate::{
    model::{Intrinsics, MetadataKey, PixelFormat, SensorProfile, TimestampDomain},
    sync::{Mutex, lock},
};

/// A software device.
pub struct SoftwareDevice {
    device: Device,
    giving: Giving,
}

/// Held while a frame is given to any sensor of a device. The SDK keeps a table of extrinsics per software device that it
/// changes with every frame and does not lock: two sensors fed from two threads broke the heap within minutes (2.56.5).
/// Metadata, too, stays for later frames once set, so setting it and giving the frame must not be interleaved.
type Giving = Arc<Mutex<()>>;

/// A sensor of a software device.
pub struct SoftwareSensor {
    sensor: Arc<Sensor>,
    giving: Giving,
}

/// A stream that a software sensor offers.
#[derive(Debug, Clone, Copy)]
pub struct SoftwareStream {
    /// What it delivers.
    pub what: SensorProfile,
    /// Calibration of an image stream.
    pub intrinsics: Option<Intrinsics>,
    /// The SDK's number for the stream: the same for all profiles of one stream.
    pub unique_id: i32,
}

/// A frame for a software sensor.
pub struct SoftwareFrame<'a> {
    /// The profile it is of.
    pub profile: &'a StreamProfile,
    /// Pixels or a motion sample; kept until the SDK and its readers are done with it, never copied.
    pub data: Arc<dyn AsRef<[u8]> + Send + Sync>,
    /// The device's frame counter.
    pub number: u64,
    /// Milliseconds.
    pub timestamp_ms: f64,
    /// The clock of the timestamp.
    pub domain: TimestampDomain,
    /// Metres per unit, for depth.
    pub depth_units: f32,
    /// What the camera says about it.
    pub metadata: &'a [(MetadataKey, i64)],
}

impl SoftwareDevice {
    /// A device without sensors.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn new(sdk: Sdk) -> Result<Self> {
        let api = sdk.api;
        // SAFETY: takes only a place for an error.
        let raw = api.call(|error| unsafe { (api.rs2_create_software_device)(error) })?;
        Ok(Self { device: Device::from_raw(api, raw, "rs2_create_software_device")?, giving: Giving::default() })
    }

    /// It as any device.
    pub fn as_device(&self) -> &Device {
        &self.device
    }

    /// Sets what it says about itself.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn set_info(&self, info: CameraInfo, value: &str) -> Result<()> {
        let value = c_string(value)?;
        let api = self.api();
        // SAFETY: the device is alive; the text is copied by the SDK.
        api.call(|error| unsafe {
            (api.rs2_software_device_register_info)(self.device.raw(), info.raw(), value.as_ptr(), error);
        })
    }

    fn api(&self) -> &'static super::ffi::Api {
        self.device.api()
    }

    /// Adds a sensor.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn add_sensor(&self, name: &str) -> Result<SoftwareSensor> {
        let name = c_string(name)?;
        let api = self.api();
        // SAFETY: the device is alive; the name is copied by the SDK.
        let raw =
            api.call(|error| unsafe { (api.rs2_software_device_add_sensor)(self.device.raw(), name.as_ptr(), error) })?;
        let sensor = Sensor::from_raw(api, raw, "rs2_software_device_add_sensor")?;
        Ok(SoftwareSensor { sensor: Arc::new(sensor), giving: self.giving.clone() })
    }
}

/// What the SDK gets with a frame and gives back to `release`.
type Data = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Called by the SDK when the last reader let go of a frame that was given to a software sensor.
unsafe extern "C" fn release(pixels: *mut c_void) {
    // A panic must not unwind into C++.
    let _ = catch_unwind(|| {
        let entry = lock(&GIVEN).remove(pixels.addr());
        // Freed outside the lock.
        drop(entry);
    });
}

/// The data of frames that the SDK holds, by the address of their pixels: the SDK's deleter is told nothing else.
static GIVEN: Mutex<Given> = Mutex::new(Given(std::collections::BTreeMap::new()));

struct Given(std::collections::BTreeMap<usize, Vec<Data>>);

impl Given {
    fn keep(&mut self, address: usize, data: Data) {
        self.0.entry(address).or_default().push(data);
    }

    fn remove(&mut self, address: usize) -> Option<Data> {
        let all = self.0.get_mut(&address)?;
        let one = all.pop();
        if all.is_empty() {
            self.0.remove(&address);
        }
        one
    }
}

impl SoftwareSensor {
    /// It as any sensor.
    pub fn as_sensor(&self) -> &Sensor {
        &self.sensor
    }

    fn api(&self) -> &'static super::ffi::Api {
        self.sensor.api()
    }

    /// Adds a stream that it offers.
    ///
    /// # Errors
    /// What the SDK says, or that it has no such format.
    pub fn add_stream(&self, stream: &SoftwareStream) -> Result<StreamProfile> {
        let what = stream.what;
        let fmt = raw_format(what.format).ok_or_else(|| SdkError {
            message: format!("librealsense has no format {}", what.format),
            function: "rs2_software_sensor_add_video_stream".into(),
        })?;
        let (type_, index) = raw_stream(what.stream);
        let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        let fps = number(what.profile.framerate);
        let api = self.api();
        let raw = if what.stream.is_video() {
            let (width, height) = (number(what.profile.width), number(what.profile.height));
            let blank = Intrinsics { width: what.profile.width, height: what.profile.height, ..Intrinsics::default() };
            let stream = rs2_video_stream {
                type_,
                index,
                uid: stream.unique_id,
                width,
                height,
                fps,
                bpp: bytes_per_pixel(what.format),
                fmt,
                intrinsics: raw_intrinsics(&stream.intrinsics.unwrap_or(blank)),
            };
            // SAFETY: the sensor is alive; the parameters are copied by the SDK.
            api.call(|error| unsafe { (api.rs2_software_sensor_add_video_stream)(self.sensor.raw(), stream, error) })?
        } else {
            let intrinsics = sys::rs2_motion_device_intrinsic {
                data: [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
                noise_variances: [0.0; 3],
                bias_variances: [0.0; 3],
            };
            let stream = rs2_motion_stream { type_, index, uid: stream.unique_id, fps, fmt, intrinsics };
            // SAFETY: as above.
            api.call(|error| unsafe { (api.rs2_software_sensor_add_motion_stream)(self.sensor.raw(), stream, error) })?
        };
        Ok(StreamProfile::owned_by(api, raw, self.sensor.clone(), what))
    }

    /// Adds an option.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn add_option(&self, option: OptionId, range: OptionRange, writable: bool) -> Result<()> {
        let api = self.api();
        let OptionRange { min, max, step, default } = range;
        // SAFETY: the sensor is alive.
        api.call(|error| unsafe {
            let add = api.rs2_software_sensor_add_option;
            add(self.sensor.raw(), option.0, min, max, step, default, writable.into(), error);
        })
    }

    /// Sets the value of an option that others can only read.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn update_option(&self, option: OptionId, value: f32) -> Result<()> {
        let api = self.api();
        // SAFETY: the sensor is alive.
        api.call(|error| unsafe {
            (api.rs2_software_sensor_update_read_only_option)(self.sensor.raw(), option.0, value, error);
        })
    }

    /// Delivers a frame, if the sensor streams. Its reader's callback runs before this returns.
    ///
    /// # Errors
    /// What the SDK says, or that the frame is too short to be read row by row.
    pub fn give(&self, frame: &SoftwareFrame<'_>) -> Result<()> {
        let api = self.api();
        let what = frame.profile.what();
        let bytes = (*frame.data).as_ref();
        let pixels = bytes.as_ptr().cast_mut().cast::<c_void>();
        let number = i32::try_from(frame.number & 0x7fff_ffff).unwrap_or(0);
        let domain = match frame.domain {
            TimestampDomain::HardwareClock => sys::rs2_timestamp_domain_RS2_TIMESTAMP_DOMAIN_HARDWARE_CLOCK,
            TimestampDomain::SystemTime => sys::rs2_timestamp_domain_RS2_TIMESTAMP_DOMAIN_SYSTEM_TIME,
            TimestampDomain::GlobalTime => sys::rs2_timestamp_domain_RS2_TIMESTAMP_DOMAIN_GLOBAL_TIME,
        };
        let height = usize::try_from(what.profile.height).unwrap_or(0);
        // Rows are as long as the data has room for: a reader must never look past its end.
        let stride = if what.stream.is_video() { bytes.len().checked_div(height).unwrap_or(0) } else { 0 };
        let stride = i32::try_from(stride).unwrap_or(0);
        let needed = if what.stream.is_video() { 1 } else { 12 };
        if bytes.len() < needed {
            return Err(SdkError { message: "the frame has too few bytes".into(), function: "give".into() });
        }
        let _one = lock(&self.giving);
        for (key, value) in frame.metadata {
            // SAFETY: the sensor is alive.
            api.call(|error| unsafe {
                (api.rs2_software_sensor_set_metadata)(self.sensor.raw(), key.0.into(), *value, error);
            })?;
        }
        lock(&GIVEN).keep(pixels.addr(), frame.data.clone());
        // SAFETY: the pixels live in `GIVEN` until the SDK calls `release`, which it does exactly once, also when the sensor
        // does not stream or the call fails; they are never written to.
        api.call(|error| unsafe {
            if what.stream.is_video() {
                let raw = rs2_software_video_frame {
                    pixels,
                    deleter: Some(release),
                    stride,
                    bpp: bytes_per_pixel(what.format),
                    timestamp: frame.timestamp_ms,
                    domain,
                    frame_number: number,
                    profile: frame.profile.raw(),
                    depth_units: frame.depth_units,
                };
                (api.rs2_software_sensor_on_video_frame)(self.sensor.raw(), raw, error);
            } else {
                let raw = rs2_software_motion_frame {
                    data: pixels,
                    deleter: Some(release),
                    timestamp: frame.timestamp_ms,
                    domain,
                    frame_number: number,
                    profile: frame.profile.raw(),
                };
                (api.rs2_software_sensor_on_motion_frame)(self.sensor.raw(), raw, error);
            }
        })
    }
}

fn bytes_per_pixel(format: PixelFormat) -> i32 {
    match format {
        PixelFormat::Rgb8 | PixelFormat::Bgr8 => 3,
        PixelFormat::Yuyv | PixelFormat::Z16 => 2,
        PixelFormat::I420 | PixelFormat::Y8 => 1,
        PixelFormat::MotionXyz32f => 12,
    }
}
