//! A sensor: its profiles, and its streaming.

use std::sync::Arc;

use realsense_sys as sys;

use super::{
    CameraInfo, OptionId, Owned, Result, SdkFrame, StreamProfile,
    callbacks::{self, FrameFn, Registration},
    ffi::{Api, text},
};
use crate::sync::{Mutex, lock};

/// A sensor of a device. Dropping it stops and closes it.
pub struct Sensor {
    raw: Owned<sys::rs2_sensor>,
    streaming: Mutex<Option<Streaming>>,
}

struct Streaming {
    /// Out of the table before the sensor is closed.
    _frames: Registration,
    /// What was opened is kept until the sensor is closed.
    _profiles: Box<dyn Send + Sync>,
}

impl Sensor {
    pub(super) fn from_raw(api: &'static Api, raw: *mut sys::rs2_sensor, what: &str) -> Result<Self> {
        Ok(Self { raw: Owned::new(api, raw, api.rs2_delete_sensor, what)?, streaming: Mutex::default() })
    }

    pub(super) fn api(&self) -> &'static Api {
        self.raw.api
    }

    pub(super) fn raw(&self) -> *mut sys::rs2_sensor {
        self.raw.raw()
    }

    /// The sensor as a container of options, which it is by inheritance (`rs2_sensor : rs2_options`).
    pub(super) fn as_options(&self) -> *const sys::rs2_options {
        self.raw().cast()
    }

    /// Its name.
    pub fn name(&self) -> Option<String> {
        let (api, info) = (self.api(), CameraInfo::Name.raw());
        // SAFETY: the sensor is alive; the string it gives lives as long as the sensor and is copied at once.
        api.call(|error| unsafe {
            if (api.rs2_supports_sensor_info)(self.raw(), info, error) == 0 || !(*error).is_null() {
                return None;
            }
            Some(text((api.rs2_get_sensor_info)(self.raw(), info, error)))
        })
        .ok()
        .flatten()
    }

    /// The profiles that it offers and this server can use.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn profiles(&self) -> Result<Vec<StreamProfile>> {
        StreamProfile::of_list(self.api(), self.list()?)
    }

    fn list(&self) -> Result<Owned<sys::rs2_stream_profile_list>> {
        let api = self.api();
        // SAFETY: the sensor is alive.
        let list = api.call(|error| unsafe { (api.rs2_get_stream_profiles)(self.raw(), error) })?;
        Owned::new(api, list, api.rs2_delete_stream_profiles_list, "rs2_get_stream_profiles")
    }

    /// Metres per unit of Z16, for a sensor with depth.
    pub fn depth_units(&self) -> Option<f32> {
        // Asked first, because the SDK logs every refusal as an error.
        if !self.has_option(OptionId::DEPTH_UNITS) {
            return None;
        }
        let api = self.api();
        // SAFETY: the sensor is alive; the SDK refuses for one without depth.
        api.call(|error| unsafe { (api.rs2_get_depth_scale)(self.raw(), error) }).ok().filter(|units| *units > 0.0)
    }

    /// Opens these profiles and delivers their frames to `on_frame`, on threads of the SDK's, until [`Self::stop`].
    ///
    /// # Errors
    /// What the SDK says. Nothing is open then.
    pub fn start(&self, profiles: &[StreamProfile], on_frame: impl Fn(SdkFrame) + Send + Sync + 'static) -> Result<()> {
        let raw = profiles.iter().map(StreamProfile::raw).collect();
        self.open_and_start(raw, Box::new(profiles.to_vec()), Arc::new(on_frame))
    }

    /// As [`Self::start`], with every stream that it has, those that this server cannot use, too. Only a recording can do all at
    /// once. A sensor without a stream stays stopped.
    ///
    /// # Errors
    /// What the SDK says. Nothing is open then.
    pub fn start_all(&self, on_frame: impl Fn(SdkFrame) + Send + Sync + 'static) -> Result<()> {
        let list = self.list()?;
        let raw = StreamProfile::one_of_each_stream(self.api(), &list)?;
        if raw.is_empty() {
            return Ok(());
        }
        self.open_and_start(raw, Box::new(list), Arc::new(on_frame))
    }

    fn open_and_start(
        &self,
        mut profiles: Vec<*const sys::rs2_stream_profile>,
        owner: Box<dyn Send + Sync>,
        on_frame: FrameFn,
    ) -> Result<()> {
        self.stop();
        let api = self.api();
        let count = i32::try_from(profiles.len()).unwrap_or(i32::MAX);
        // SAFETY: sensor and profiles are alive; the list has `count` entries.
        api.call(|error| unsafe { (api.rs2_open_multiple)(self.raw(), profiles.as_mut_ptr(), count, error) })?;
        let frames = Registration::frames(on_frame);
        let user = frames.user();
        // SAFETY: the callback is a function of this program; `user` is a number that is never followed.
        let started = api.call(|error| unsafe { (api.rs2_start)(self.raw(), Some(callbacks::on_frame), user, error) });
        if let Err(error) = started {
            // SAFETY: the sensor is alive and open.
            api.attempt(|error| unsafe { (api.rs2_close)(self.raw(), error) });
            return Err(error);
        }
        *lock(&self.streaming) = Some(Streaming { _frames: frames, _profiles: owner });
        Ok(())
    }

    /// Stops and closes it. No frame is delivered after this returns, save one that is being delivered already. Stopping a
    /// stopped sensor does nothing.
    pub fn stop(&self) {
        let Some(streaming) = lock(&self.streaming).take() else { return };
        let api = self.api();
        // SAFETY: the sensor is alive. Of a device that is gone, the SDK refuses both, which leaves nothing behind.
        api.attempt(|error| unsafe { (api.rs2_stop)(self.raw(), error) });
        // SAFETY: as above.
        api.attempt(|error| unsafe { (api.rs2_close)(self.raw(), error) });
        drop(streaming);
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        self.stop();
    }
}
