//! What a recording is made with: a description of the device, and a writer that takes its frames. The SDK's library gives
//! the real one; nothing here touches a file.

use std::path::Path;

use super::{Frame, StreamConfig};
use crate::{
    error::Result,
    model::{DeviceInfo, Extrinsics, Intrinsics, OptionInfo},
};

/// Everything about a device that its recording must tell.
#[derive(Debug, Clone)]
pub struct RecordedDevice {
    /// Names, serial number, firmware.
    pub info: DeviceInfo,
    /// The sensors with recorded streams.
    pub sensors: Vec<RecordedSensor>,
}

/// One sensor of a recorded device.
#[derive(Debug, Clone)]
pub struct RecordedSensor {
    /// "Stereo Module", "RGB Camera", "Motion Module".
    pub name: String,
    /// Metres per unit of Z16, for a sensor with depth.
    pub depth_units: Option<f32>,
    /// Its options with their values when the recording began.
    pub options: Vec<OptionInfo>,
    /// Its recorded streams.
    pub streams: Vec<RecordedStream>,
}

/// One recorded stream.
#[derive(Debug, Clone)]
pub struct RecordedStream {
    /// Format, size and rate.
    pub config: StreamConfig,
    /// Intrinsics of an image stream.
    pub intrinsics: Option<Intrinsics>,
    /// From this stream's coordinates to those of the first recorded stream; `None` for that one itself.
    pub to_first: Option<Extrinsics>,
}

/// Makes recorders: the SDK's library.
pub trait RecorderFactory: Send + Sync {
    /// The extension of the files it writes, "bag" or "db3".
    fn extension(&self) -> &'static str;

    /// Bytes that a recorder may still write after its last frame was given to it. They are kept free for each recording,
    /// because a full disk then must not end the program.
    fn reserve_bytes(&self) -> u64 {
        0
    }

    /// Opens a new file. Blocks on the disk: call it from a thread that may wait.
    ///
    /// # Errors
    /// Unavailable when the file cannot be made, Invalid for a device that cannot be recorded.
    fn create(&self, file: &Path, device: &RecordedDevice) -> Result<Box<dyn Recorder>>;
}

/// One recording being written. Used from one thread, which may block.
pub trait Recorder: Send {
    /// Appends a frame. One of a stream that is not recorded is ignored.
    ///
    /// # Errors
    /// Unavailable when the file cannot be written.
    fn write(&mut self, frame: &Frame) -> Result<()>;

    /// Writes what is left and closes the file, so that it can be played.
    ///
    /// # Errors
    /// Unavailable when the file could not be completed.
    fn finish(self: Box<Self>) -> Result<()>;
}
