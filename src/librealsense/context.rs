//! A context: the SDK's list of devices, and word of its changes.

use std::{cell::Cell, path::Path, sync::Arc};

use realsense_sys as sys;

use super::{
    Device, Owned, Result, Sdk, SoftwareDevice,
    callbacks::{self, Registration},
    ffi::{Api, c_path, c_string},
    list::DeviceList,
};
use crate::sync::{Mutex, MutexGuard, lock};

/// A context. Dropping it ends word of its changes.
pub struct Context {
    raw: Owned<sys::rs2_context>,
    changes: Mutex<Option<Registration>>,
    /// Held for calls that read or change the context's own list of recordings and software devices: the SDK keeps it in a
    /// map without a lock (2.56 and 2.59). Its callback runs inside of them and must not come back here.
    listing: Mutex<()>,
}

thread_local! {
    /// Set while this thread opens a recording: the SDK reports it as an added device, from within the call and before it
    /// was read. Who opens it knows.
    static OPENING: Cell<bool> = const { Cell::new(false) };
}

/// What came and what went, as the SDK told it.
pub struct Changes {
    /// Devices that went. They can only be asked whether a known device is among them.
    pub removed: DeviceList,
    /// Devices that came.
    pub added: DeviceList,
}

impl Context {
    /// A context with the SDK's JSON settings; "{}" for its defaults.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn new(sdk: Sdk, settings: &str) -> Result<Self> {
        let api = sdk.api;
        let settings = c_string(settings)?;
        // SAFETY: the version number is the library's own, so it fits; the settings live during the call.
        let raw = api.call(|error| unsafe {
            let version = (api.rs2_get_api_version)(std::ptr::null_mut());
            (api.rs2_create_context_ex)(version, settings.as_ptr(), error)
        })?;
        let raw = Owned::new(api, raw, api.rs2_delete_context, "rs2_create_context_ex")?;
        Ok(Self { raw, changes: Mutex::default(), listing: Mutex::default() })
    }

    fn api(&self) -> &'static Api {
        self.raw.api
    }

    fn listing(&self) -> MutexGuard<'_, ()> {
        lock(&self.listing)
    }

    /// Sets who is told of devices coming and going, on a thread of the SDK's. The last one set counts. Opening a recording
    /// is not told. The callback must not call the context.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn on_changes(&self, callback: impl Fn(Changes) + Send + Sync + 'static) -> Result<()> {
        let api = self.api();
        let callback = Arc::new(move |removed, added| {
            if !OPENING.get() {
                let (removed, added) = (DeviceList::from_owned(removed), DeviceList::from_owned(added));
                callback(Changes { removed, added });
            }
        });
        let registration = Registration::changes(callback);
        let user = registration.user();
        // SAFETY: the callback is a function of this program; `user` is a number that is never followed.
        api.call(|error| unsafe {
            (api.rs2_set_devices_changed_callback)(self.raw.raw(), Some(callbacks::on_change), user, error);
        })?;
        *lock(&self.changes) = Some(registration);
        Ok(())
    }

    /// The devices that are present.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn devices(&self) -> Result<DeviceList> {
        let api = self.api();
        let _one = self.listing();
        // SAFETY: the context is alive.
        let raw = api.call(|error| unsafe { (api.rs2_query_devices)(self.raw.raw(), error) })?;
        Owned::new(api, raw, api.rs2_delete_device_list, "rs2_query_devices").map(DeviceList::from_owned)
    }

    /// Opens a recording as a device.
    ///
    /// # Errors
    /// What the SDK says: no such file, not a recording, cut short.
    pub fn add_recording(&self, file: &Path) -> Result<Device> {
        let api = self.api();
        let file = c_path(file)?;
        let _one = self.listing();
        OPENING.set(true);
        // SAFETY: the context is alive and the file's name lives during the call.
        let raw = api.call(|error| unsafe { (api.rs2_context_add_device)(self.raw.raw(), file.as_ptr(), error) });
        OPENING.set(false);
        let raw = raw?;
        Device::from_raw(api, raw, "rs2_context_add_device")
    }

    /// Takes a recording out of the context's list.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn remove_recording(&self, file: &Path) -> Result<()> {
        let api = self.api();
        let file = c_path(file)?;
        let _one = self.listing();
        // SAFETY: as above.
        api.call(|error| unsafe { (api.rs2_context_remove_device)(self.raw.raw(), file.as_ptr(), error) })
    }

    /// Adds a software device. The context does not keep it: it is there while somebody holds a handle or list of it.
    ///
    /// # Errors
    /// What the SDK says: it is in the context already.
    pub fn add_software_device(&self, device: &SoftwareDevice) -> Result<()> {
        let api = self.api();
        let _one = self.listing();
        // SAFETY: both are alive.
        api.call(|error| unsafe {
            (api.rs2_context_add_software_device)(self.raw.raw(), device.as_device().raw(), error);
        })
    }
}
