//! A thin safe wrapper over librealsense's C library, loaded at run time. Owns every call into the SDK and every handle it
//! gives out; knows nothing of cameras as the server sees them (`camera::realsense` does).
//!
//! How it stays safe:
//! - The library is never unloaded, so its functions live as long as the process.
//! - Every handle is an `Owned`: deleted exactly once, by the function that the SDK names for it.
//! - A frame is released when the last reader lets go of it.
//! - The SDK gets no pointer of ours for its callbacks but the number of an entry in a table: a callback that comes after its
//!   sensor or context is gone finds no entry and does nothing.

#![allow(unsafe_code, reason = "the C library's door; each block says why it is sound")]

mod callbacks;
mod context;
mod device;
mod ffi;
mod frame;
mod info;
mod library;
mod list;
mod options;
mod profile;
mod sensor;
mod software;

use std::ptr::NonNull;

pub use context::{Changes, Context};
pub use device::{Device, PlaybackState};
pub use frame::SdkFrame;
pub use info::CameraInfo;
pub use library::{LoadError, OLDEST, Sdk, Version};
pub use list::DeviceList;
pub use options::{OptionId, OptionRange};
pub use profile::StreamProfile;
pub use sensor::Sensor;
pub use software::{SoftwareDevice, SoftwareFrame, SoftwareSensor, SoftwareStream};

use ffi::Api;

/// What the SDK says went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({function})")]
pub struct SdkError {
    /// The SDK's own words.
    pub message: String,
    /// The function that failed.
    pub function: String,
}

/// What a call into the SDK gives.
pub type Result<T> = std::result::Result<T, SdkError>;

/// A handle of the SDK, deleted when dropped.
struct Owned<T> {
    raw: NonNull<T>,
    api: &'static Api,
    delete: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// Takes over a handle that the SDK just gave; `what` names it for the error when it gave none.
    fn new(api: &'static Api, raw: *mut T, delete: unsafe extern "C" fn(*mut T), what: &str) -> Result<Self> {
        let raw = NonNull::new(raw)
            .ok_or_else(|| SdkError { message: "librealsense gave nothing".into(), function: what.into() })?;
        Ok(Self { raw, api, delete })
    }

    fn raw(&self) -> *mut T {
        self.raw.as_ptr()
    }
}

// SAFETY: the SDK's handles are reference-counted C++ objects with no tie to a thread; its API is documented to be
// thread-safe ("librealsense2 is thread-safe", doc/api_arch.md), so they may move to, and be used from, any thread.
unsafe impl<T> Send for Owned<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Owned<T> {}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: `raw` came from the SDK with this function as its deleter, and is deleted here only.
        unsafe { (self.delete)(self.raw.as_ptr()) }
    }
}
