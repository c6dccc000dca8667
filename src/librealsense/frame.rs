//! A frame of the SDK: its pixels where they lie, released when the last reader lets go.

use realsense_sys as sys;

use super::{Owned, Result, ffi::Api, profile};
use crate::model::{MetadataKey, PixelFormat, SensorProfile, TimestampDomain};

/// Numbers of frame metadata that are asked for. Newer libraries have a few more, which nobody here knows the name of.
const METADATA: u8 = sys::rs2_frame_metadata_value_RS2_FRAME_METADATA_COUNT as u8;

/// A frame.
pub struct SdkFrame {
    raw: Owned<sys::rs2_frame>,
    what: Option<SensorProfile>,
    data: *const u8,
    len: usize,
}

// SAFETY: a frame's pixels do not change once it was delivered, and they live until it is released.
unsafe impl Send for SdkFrame {}
// SAFETY: as above.
unsafe impl Sync for SdkFrame {}

impl AsRef<[u8]> for SdkFrame {
    fn as_ref(&self) -> &[u8] {
        if self.data.is_null() {
            return &[];
        }
        // SAFETY: the SDK keeps `len` bytes at `data` until the frame is released, which is when this is dropped.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl SdkFrame {
    /// Takes a frame over from a callback.
    ///
    /// # Safety
    /// `raw` is a frame that the caller owns, and that nobody else will release.
    pub(super) unsafe fn from_raw(api: &'static Api, raw: *mut sys::rs2_frame) -> Result<Self> {
        let owned = Owned::new(api, raw, api.rs2_release_frame, "frame callback")?;
        // SAFETY: the frame is alive. Kept frames do not count against the SDK's queue of 16, so a few slow readers do not make
        // the sensor drop frames. Its pool has room for 128: code that wants to hold more must copy.
        unsafe { (api.rs2_keep_frame)(raw) };
        // SAFETY: the frame is alive; its profile lives as long as its sensor's.
        let stream = api.call(|error| unsafe { (api.rs2_get_frame_stream_profile)(raw, error) })?;
        let what = profile::describe(api, stream)?;
        // SAFETY: the frame is alive.
        let data = api.call(|error| unsafe { (api.rs2_get_frame_data)(raw, error) })?;
        let mut frame = Self { raw: owned, what, data: data.cast(), len: 0 };
        frame.len = frame.size()?;
        Ok(frame)
    }

    /// Bytes of pixels that are really there. Rows are counted, and no more than the SDK says it holds: a damaged recording can
    /// tell of more rows than it has. For a software device's frames the SDK says 0; those are as long as their giver said.
    fn size(&self) -> Result<usize> {
        if self.data.is_null() {
            return Ok(0);
        }
        let (api, raw) = (self.raw.api, self.raw.raw());
        // SAFETY: the frame is alive.
        let held = api.call(|error| unsafe { (api.rs2_get_frame_data_size)(raw, error) })?;
        let extension = sys::rs2_extension_RS2_EXTENSION_VIDEO_FRAME;
        // SAFETY: as above.
        let is_video = api.call(|error| unsafe { (api.rs2_is_frame_extendable_to)(raw, extension, error) })? != 0;
        let counted = if is_video {
            // SAFETY: as above, and it is a video frame.
            let (stride, height) = api.call(|error| unsafe {
                ((api.rs2_get_frame_stride_in_bytes)(raw, error), (api.rs2_get_frame_height)(raw, error))
            })?;
            let positive = |value: i32| usize::try_from(value).unwrap_or(0);
            positive(stride).saturating_mul(positive(height))
        } else if self.what.is_some_and(|what| what.format == PixelFormat::MotionXyz32f) {
            12
        } else {
            0
        };
        Ok(match usize::try_from(held) {
            Ok(held) if held > 0 => counted.min(held),
            _ => counted,
        })
    }

    /// Stream, format, size and rate of its profile; `None` for a stream that the server does not know.
    pub fn what(&self) -> Option<SensorProfile> {
        self.what
    }

    /// Width and height in pixels, which a recording's or filter's frame may have different from its profile.
    pub fn size_in_pixels(&self) -> Option<(u32, u32)> {
        self.what.filter(|what| what.stream.is_video())?;
        let (api, raw) = (self.raw.api, self.raw.raw());
        // SAFETY: the frame is alive and, by its stream, a video frame; the SDK refuses otherwise.
        let size = api
            .call(|error| unsafe { ((api.rs2_get_frame_width)(raw, error), (api.rs2_get_frame_height)(raw, error)) });
        let (width, height) = size.ok()?;
        Some((u32::try_from(width).ok()?, u32::try_from(height).ok()?))
    }

    /// Bytes from one row to the next.
    pub fn stride(&self) -> Option<usize> {
        let (api, raw) = (self.raw.api, self.raw.raw());
        // SAFETY: the frame is alive.
        let stride = api.call(|error| unsafe { (api.rs2_get_frame_stride_in_bytes)(raw, error) });
        stride.ok().and_then(|stride| usize::try_from(stride).ok())
    }

    /// The device's frame counter.
    pub fn number(&self) -> u64 {
        let (api, raw) = (self.raw.api, self.raw.raw());
        // SAFETY: the frame is alive.
        api.call(|error| unsafe { (api.rs2_get_frame_number)(raw, error) }).unwrap_or(0)
    }

    /// Timestamp in milliseconds, and its clock.
    pub fn timestamp(&self) -> (f64, TimestampDomain) {
        let (api, raw) = (self.raw.api, self.raw.raw());
        // SAFETY: the frame is alive.
        let (timestamp, domain) = api
            .call(|error| unsafe {
                ((api.rs2_get_frame_timestamp)(raw, error), (api.rs2_get_frame_timestamp_domain)(raw, error))
            })
            .unwrap_or((0.0, sys::rs2_timestamp_domain_RS2_TIMESTAMP_DOMAIN_SYSTEM_TIME));
        let domain = match domain {
            sys::rs2_timestamp_domain_RS2_TIMESTAMP_DOMAIN_HARDWARE_CLOCK => TimestampDomain::HardwareClock,
            sys::rs2_timestamp_domain_RS2_TIMESTAMP_DOMAIN_GLOBAL_TIME => TimestampDomain::GlobalTime,
            _ => TimestampDomain::SystemTime,
        };
        (timestamp, domain)
    }

    /// Everything the camera said about it.
    pub fn metadata(&self) -> Vec<(MetadataKey, i64)> {
        let (api, raw) = (self.raw.api, self.raw.raw());
        let value = |key: u8| {
            // SAFETY: the frame is alive; the SDK refuses keys that it does not know.
            api.call(|error| unsafe {
                let has = (api.rs2_supports_frame_metadata)(raw, key.into(), error) != 0;
                (has && (*error).is_null()).then(|| (api.rs2_get_frame_metadata)(raw, key.into(), error))
            })
        };
        (0..METADATA).filter_map(|key| Some((MetadataKey(key), value(key).ok().flatten()?))).collect()
    }

    /// Metres per unit, for a depth frame.
    pub fn depth_units(&self) -> Option<f32> {
        let (api, raw) = (self.raw.api, self.raw.raw());
        // SAFETY: the frame is alive; the SDK refuses for other frames.
        api.call(|error| unsafe { (api.rs2_depth_frame_get_units)(raw, error) }).ok().filter(|units| *units > 0.0)
    }
}
