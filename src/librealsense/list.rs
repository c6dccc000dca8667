//! A list of devices, as the SDK gives it.

use realsense_sys as sys;

use super::{Device, Owned, Result};

/// A list of devices, which also keeps added software devices in their context.
pub struct DeviceList {
    raw: Owned<sys::rs2_device_list>,
}

impl DeviceList {
    pub(super) fn from_owned(raw: Owned<sys::rs2_device_list>) -> Self {
        Self { raw }
    }

    /// How many there are.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn len(&self) -> Result<usize> {
        let api = self.raw.api;
        // SAFETY: the list is alive.
        let count = api.call(|error| unsafe { (api.rs2_get_device_count)(self.raw.raw(), error) })?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Whether there is none.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Whether `device` is in it.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn contains(&self, device: &Device) -> Result<bool> {
        let api = self.raw.api;
        // SAFETY: both are alive.
        api.call(|error| unsafe { (api.rs2_device_list_contains)(self.raw.raw(), device.raw(), error) != 0 })
    }

    /// The device at a place of the list. For real hardware this talks to the device and takes a while.
    ///
    /// # Errors
    /// What the SDK says: it may have gone since.
    pub fn device(&self, index: usize) -> Result<Device> {
        let api = self.raw.api;
        let index = i32::try_from(index).unwrap_or(i32::MAX);
        // SAFETY: the list is alive, and the SDK checks the index.
        let raw = api.call(|error| unsafe { (api.rs2_create_device)(self.raw.raw(), index, error) })?;
        Device::from_raw(api, raw, "rs2_create_device")
    }
}
