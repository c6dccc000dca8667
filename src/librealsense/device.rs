//! A device: what it says about itself, its sensors, and for a recording its playback.

use std::{path::Path, time::Duration};

use realsense_sys as sys;

use super::{
    Owned, Result, Sensor,
    ffi::{Api, c_string, text},
    info::CameraInfo,
};

/// What a recording does (`rs2_playback_status`). Right after a start the SDK still says stopped; the first frame tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaybackState {
    /// It plays.
    Playing,
    /// It is held.
    Paused,
    /// It is at its end, or no sensor was started.
    Stopped,
}

/// A device.
pub struct Device {
    raw: Owned<sys::rs2_device>,
}

impl Device {
    pub(super) fn from_raw(api: &'static Api, raw: *mut sys::rs2_device, what: &str) -> Result<Self> {
        Ok(Self { raw: Owned::new(api, raw, api.rs2_delete_device, what)? })
    }

    pub(super) fn raw(&self) -> *mut sys::rs2_device {
        self.raw.raw()
    }

    pub(super) fn api(&self) -> &'static Api {
        self.raw.api
    }

    /// What it says about itself; `None` for what it does not know.
    pub fn info(&self, info: CameraInfo) -> Option<String> {
        let api = self.api();
        // SAFETY: the device is alive; the string it gives lives as long as the device and is copied at once.
        api.call(|error| unsafe {
            if (api.rs2_supports_device_info)(self.raw(), info.raw(), error) == 0 || !(*error).is_null() {
                return None;
            }
            Some(text((api.rs2_get_device_info)(self.raw(), info.raw(), error)))
        })
        .ok()
        .flatten()
        .filter(|text| !text.is_empty())
    }

    fn is(&self, extension: sys::rs2_extension) -> bool {
        let api = self.api();
        // SAFETY: the device is alive.
        let is = api.call(|error| unsafe { (api.rs2_is_device_extendable_to)(self.raw(), extension, error) });
        is.is_ok_and(|is| is != 0)
    }

    /// Whether it is a recording being played.
    pub fn is_playback(&self) -> bool {
        self.is(sys::rs2_extension_RS2_EXTENSION_PLAYBACK)
    }

    /// Whether it takes presets.
    pub fn has_advanced_mode(&self) -> bool {
        self.is(sys::rs2_extension_RS2_EXTENSION_ADVANCED_MODE)
    }

    /// Its sensors, in the device's order.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn sensors(&self) -> Result<Vec<Sensor>> {
        let api = self.api();
        // SAFETY: the device is alive.
        let list = api.call(|error| unsafe { (api.rs2_query_sensors)(self.raw(), error) })?;
        let list = Owned::new(api, list, api.rs2_delete_sensor_list, "rs2_query_sensors")?;
        // SAFETY: the list is alive.
        let count = api.call(|error| unsafe { (api.rs2_get_sensors_count)(list.raw(), error) })?;
        (0..count)
            .map(|index| {
                // SAFETY: the list is alive and has that many.
                let raw = api.call(|error| unsafe { (api.rs2_create_sensor)(list.raw(), index, error) })?;
                Sensor::from_raw(api, raw, "rs2_create_sensor")
            })
            .collect()
    }

    /// Resets the hardware: it goes and comes back.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn hardware_reset(&self) -> Result<()> {
        let api = self.api();
        // SAFETY: the device is alive.
        api.call(|error| unsafe { (api.rs2_hardware_reset)(self.raw(), error) })
    }

    /// Loads a preset's JSON text.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn load_json(&self, json: &str) -> Result<()> {
        let api = self.api();
        let size = u32::try_from(json.len()).unwrap_or(u32::MAX);
        // SAFETY: the text lives during the call, and `size` bytes of it are there.
        api.call(|error| unsafe { (api.rs2_load_json)(self.raw(), json.as_ptr().cast(), size, error) })
    }

    /// The present settings as a preset's JSON text.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn to_json(&self) -> Result<String> {
        let api = self.api();
        // SAFETY: the device is alive; the buffer is read while it lives and deleted once.
        api.call(|error| unsafe {
            let buffer = (api.rs2_serialize_json)(self.raw(), error);
            if buffer.is_null() {
                return String::new();
            }
            let size = usize::try_from((api.rs2_get_raw_data_size)(buffer, error)).unwrap_or(0);
            let data = (api.rs2_get_raw_data)(buffer, error);
            let bytes = if data.is_null() { &[][..] } else { std::slice::from_raw_parts(data, size) };
            let text = String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
            (api.rs2_delete_raw_data)(buffer);
            text
        })
    }

    /// Wraps it so that what its sensors deliver is written to a new file; the wrapper's sensors must be used.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn record_to(&self, file: &Path) -> Result<Device> {
        let api = self.api();
        let file = c_string(&file.to_string_lossy())?;
        // SAFETY: the device is alive and the name lives during the call.
        let raw = api.call(|error| unsafe { (api.rs2_create_record_device)(self.raw(), file.as_ptr(), error) })?;
        Self::from_raw(api, raw, "rs2_create_record_device")
    }

    /// A recording's length.
    ///
    /// # Errors
    /// What the SDK says: it is no recording.
    pub fn playback_duration(&self) -> Result<Duration> {
        let api = self.api();
        // SAFETY: the device is alive.
        api.call(|error| unsafe { (api.rs2_playback_get_duration)(self.raw(), error) }).map(Duration::from_nanos)
    }

    /// Time since a recording's beginning.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn playback_position(&self) -> Result<Duration> {
        let api = self.api();
        // SAFETY: the device is alive.
        api.call(|error| unsafe { (api.rs2_playback_get_position)(self.raw(), error) }).map(Duration::from_nanos)
    }

    /// Goes to a time of a recording.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn playback_seek(&self, position: Duration) -> Result<()> {
        let api = self.api();
        let nanos = i64::try_from(position.as_nanos()).unwrap_or(i64::MAX);
        // SAFETY: the device is alive.
        api.call(|error| unsafe { (api.rs2_playback_seek)(self.raw(), nanos, error) })
    }

    /// Holds a recording.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn playback_pause(&self) -> Result<()> {
        let api = self.api();
        // SAFETY: the device is alive.
        api.call(|error| unsafe { (api.rs2_playback_device_pause)(self.raw(), error) })
    }

    /// Lets a recording go on.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn playback_resume(&self) -> Result<()> {
        let api = self.api();
        // SAFETY: the device is alive.
        api.call(|error| unsafe { (api.rs2_playback_device_resume)(self.raw(), error) })
    }

    /// Whether a recording plays by its own clock, or as fast as frames are taken.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn playback_real_time(&self, real_time: bool) -> Result<()> {
        let api = self.api();
        // SAFETY: the device is alive.
        api.call(|error| unsafe { (api.rs2_playback_device_set_real_time)(self.raw(), real_time.into(), error) })
    }

    /// Plays a recording at a multiple of real time.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn playback_speed(&self, speed: f32) -> Result<()> {
        let api = self.api();
        // SAFETY: the device is alive.
        api.call(|error| unsafe { (api.rs2_playback_device_set_playback_speed)(self.raw(), speed, error) })
    }

    /// What a recording does.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn playback_state(&self) -> Result<PlaybackState> {
        let api = self.api();
        // SAFETY: the device is alive.
        let state = api.call(|error| unsafe { (api.rs2_playback_device_get_current_status)(self.raw(), error) })?;
        Ok(match state {
            sys::rs2_playback_status_RS2_PLAYBACK_STATUS_PLAYING => PlaybackState::Playing,
            sys::rs2_playback_status_RS2_PLAYBACK_STATUS_PAUSED => PlaybackState::Paused,
            _ => PlaybackState::Stopped,
        })
    }
}
