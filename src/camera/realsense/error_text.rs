//! The SDK's errors in words for the client that asked.

use crate::{error::Error, librealsense::SdkError, model::DeviceId};

/// An error of the SDK in words for the client that asked.
pub(super) fn unavailable(device: &DeviceId, doing: &str, error: &SdkError) -> Error {
    let message = error.message.trim_end_matches('.');
    let busy = ["busy", "set power state", "RS2_USB_STATUS_ACCESS", "Failed to open", "failed to open"];
    let hint = if busy.iter().any(|words| error.message.contains(words)) {
        " Another program may be using the camera, or its permissions are missing (scripts/install_udev_rules.sh)."
    } else {
        ""
    };
    Error::unavailable(format!("Device {device} could not {doing}: {message}.{hint}"))
}
