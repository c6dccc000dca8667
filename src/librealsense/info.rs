//! What a device can say about itself.

use realsense_sys as sys;

/// What a device can say about itself (`rs2_camera_info`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CameraInfo {
    /// Product name.
    Name,
    /// Serial number.
    SerialNumber,
    /// Running firmware.
    FirmwareVersion,
    /// The firmware that this version of the SDK recommends.
    RecommendedFirmwareVersion,
    /// Where it is plugged in.
    PhysicalPort,
    /// USB product id in hex.
    ProductId,
    /// "3.2", "2.1" and so on.
    UsbType,
    /// Whether its advanced mode is on, "YES" or "NO".
    AdvancedMode,
    /// "D400" and so on.
    ProductLine,
}

impl CameraInfo {
    pub(super) fn raw(self) -> sys::rs2_camera_info {
        match self {
            Self::Name => sys::rs2_camera_info_RS2_CAMERA_INFO_NAME,
            Self::SerialNumber => sys::rs2_camera_info_RS2_CAMERA_INFO_SERIAL_NUMBER,
            Self::FirmwareVersion => sys::rs2_camera_info_RS2_CAMERA_INFO_FIRMWARE_VERSION,
            Self::RecommendedFirmwareVersion => sys::rs2_camera_info_RS2_CAMERA_INFO_RECOMMENDED_FIRMWARE_VERSION,
            Self::PhysicalPort => sys::rs2_camera_info_RS2_CAMERA_INFO_PHYSICAL_PORT,
            Self::ProductId => sys::rs2_camera_info_RS2_CAMERA_INFO_PRODUCT_ID,
            Self::UsbType => sys::rs2_camera_info_RS2_CAMERA_INFO_USB_TYPE_DESCRIPTOR,
            Self::AdvancedMode => sys::rs2_camera_info_RS2_CAMERA_INFO_ADVANCED_MODE,
            Self::ProductLine => sys::rs2_camera_info_RS2_CAMERA_INFO_PRODUCT_LINE,
        }
    }
}
