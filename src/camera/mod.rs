//! Cameras: the two traits that every backend implements, and the frame that it delivers. `hub` carries frames to their
//! subscribers, `manager` owns the device threads. Nothing here knows GStreamer or HTTP.

mod device;
pub mod events;
pub mod hub;
pub mod manager;
mod processing;
pub mod realsense;
pub mod recorder;
pub mod recording;
pub mod sim;

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    error::{Error, Result},
    model::{
        Attachment, DeviceId, DeviceInfo, Extrinsics, Intrinsics, MetadataKey, OptionInfo, PixelFormat, PlaybackStatus,
        SensorInfo, StreamType, TimestampDomain,
    },
};

pub use crate::model::StreamConfig;

/// What a backend tells the manager by itself, after [`Backend::attached`] says so. Sent from any thread; the receiver never
/// blocks it. The manager takes it as a reason to look: what counts is what `attached` says then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendEvent {
    /// A device came, or came back.
    Added(DeviceId),
    /// A device went. An open [`Camera`] of it delivers no more frames and fails every call with `Unavailable`.
    Removed(DeviceId),
}

/// Where a backend sends its events.
pub type BackendEvents = Arc<dyn Fn(BackendEvent) + Send + Sync>;

/// Where an open camera delivers its frames: called on the backend's threads, returns at once, never blocks.
pub type FrameSink = Arc<dyn Fn(Frame) + Send + Sync>;

/// A device that a backend has now.
#[derive(Debug, Clone)]
pub struct Attached {
    /// Since when: another number is another device, whatever its id.
    pub attachment: Attachment,
    /// What it is. `is_streaming` is left false; the manager fills it in.
    pub info: DeviceInfo,
}

/// A source of devices: the simulator, the SDK.
pub trait Backend: Send + Sync {
    /// "sim" or "realsense".
    fn name(&self) -> &'static str;

    /// The SDK's version, where the backend has one.
    fn sdk_version(&self) -> Option<String>;

    /// Sets who is told of devices coming and going. Called once, before anything else.
    fn set_events(&self, events: BackendEvents);

    /// The devices that are present now, each with its attachment. Answered from a table, without talking to devices.
    fn attached(&self) -> Vec<Attached>;

    /// What the devices are that are present now.
    fn devices(&self) -> Vec<DeviceInfo> {
        self.attached().into_iter().map(|attached| attached.info).collect()
    }

    /// Looks at what is there now, for changes that were missed. May talk to devices, so not for every listing.
    fn refresh(&self) {}

    /// Plays a recording as a device of this backend.
    ///
    /// # Errors
    /// NotFound for a file that is not there, Invalid for one that is no recording or cut short, or a backend that plays none.
    fn open_recording(&self, file: &Path) -> Result<DeviceId> {
        let _ = file;
        Err(Error::invalid("This backend plays no recordings."))
    }

    /// Ends playing a recording; its device goes.
    ///
    /// # Errors
    /// NotFound for an unknown device, Invalid for one that is no recording.
    fn close_recording(&self, device: &DeviceId) -> Result<()> {
        let _ = device;
        Err(Error::invalid("This backend plays no recordings."))
    }

    /// Opens a device. May take long (a real one up to 15 s); called on the device's own thread.
    ///
    /// # Errors
    /// NotFound for an unknown device, Unavailable when it is unplugged, busy or fails.
    fn open(&self, device: &DeviceId, frames: FrameSink) -> Result<Box<dyn Camera>>;

    /// Makes a simulated device misbehave.
    ///
    /// # Errors
    /// NotFound unless this backend simulates `device`.
    fn inject_fault(&self, device: &DeviceId, fault: SimFault) -> Result<()> {
        let _ = fault;
        Err(Error::not_found(format!(
            "Device {device} is not a simulated camera. Only a simulated camera takes faults."
        )))
    }
}

/// A fault that a simulated camera can be told to have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SimFault {
    /// Pulls the cable: the device vanishes from the list.
    Unplug,
    /// Plugs it in again.
    Replug,
    /// Frames stop coming while the device stays open.
    Stall,
    /// Drops this share of frames, 0 to 1.
    Drop(f64),
    /// Starting any sensor fails.
    FailStart,
    /// Frames arrive with a size that does not fit their profile.
    GarbageSize,
    /// Ends stall, drop, fail to start and garbage.
    Clear,
}

/// One open device. Every call comes from the device's own thread and may block it.
pub trait Camera: Send {
    /// Its sensors with profiles and options as they are now.
    ///
    /// # Errors
    /// Unavailable when the device is gone.
    fn sensors(&mut self) -> Result<Vec<SensorInfo>>;

    /// Starts exactly these streams on a stopped sensor; frames come to the sink until `stop`.
    ///
    /// # Errors
    /// Invalid when the sensor does not offer a profile, Unavailable when it cannot start now. Nothing runs after an error.
    fn start(&mut self, sensor: usize, streams: &[StreamConfig]) -> Result<()>;

    /// Stops a sensor; no frame of it is delivered after this returns. Stopping a stopped sensor does nothing.
    fn stop(&mut self, sensor: usize);

    /// Sets an option of a sensor, live, to the step that is nearest to the value.
    ///
    /// # Errors
    /// NotFound for an unknown sensor or option, Invalid when out of range or read-only.
    fn set_option(&mut self, sensor: usize, option: &str, value: f64) -> Result<()>;

    /// The value of every option of a sensor that can be read now, by id; nothing for an unknown sensor.
    fn option_values(&mut self, sensor: usize) -> Vec<(String, f64)> {
        let mut sensors = self.sensors().unwrap_or_default();
        let found = sensors.iter_mut().find(|info| info.index == sensor);
        let options = found.map(|info| std::mem::take(&mut info.options)).unwrap_or_default();
        options.into_iter().map(|option| (option.option_id, option.current_value)).collect()
    }

    /// Reads one option.
    ///
    /// # Errors
    /// NotFound for an unknown sensor or option.
    fn option(&mut self, sensor: usize, option: &str) -> Result<OptionInfo>;

    /// Metres per depth unit of Z16 frames.
    fn depth_units(&mut self) -> f32;

    /// Intrinsics of a video stream at this size.
    fn intrinsics(&mut self, stream: StreamType, width: u32, height: u32) -> Option<Intrinsics>;

    /// The transform between two streams' coordinates.
    fn extrinsics(&mut self, from: StreamType, to: StreamType) -> Option<Extrinsics>;

    /// Resets the hardware: the device goes and comes back by itself.
    ///
    /// # Errors
    /// Unavailable when the device is gone.
    fn hw_reset(&mut self) -> Result<()>;

    /// Called a few times a second while something streams, for what has to be looked after.
    fn tick(&mut self) {}

    /// Whether the silence of a stream is meant: then it is not taken for stalled.
    fn is_silent_by_intent(&mut self) -> bool {
        self.is_paused()
    }

    /// Whether it is a recording that is paused or at its end.
    fn is_paused(&mut self) -> bool {
        false
    }

    /// What a recording that is played back does now, after carrying out `command`.
    ///
    /// # Errors
    /// NotFound for a live device, Invalid for a position or speed that cannot be.
    fn playback(&mut self, command: Option<PlaybackCommand>) -> Result<PlaybackStatus> {
        let _ = command;
        Err(not_a_recording())
    }

    /// Loads a preset: the JSON text that the RealSense Viewer saves for a camera's advanced mode.
    ///
    /// # Errors
    /// Invalid for text that is no preset, or a device without advanced mode; Unavailable when the device is gone.
    fn load_preset(&mut self, json: &str) -> Result<()> {
        let _ = json;
        Err(no_advanced_mode())
    }

    /// The present settings as a preset's JSON text.
    ///
    /// # Errors
    /// Invalid for a device without advanced mode, Unavailable when it is gone.
    fn preset(&mut self) -> Result<String> {
        Err(no_advanced_mode())
    }
}

pub(crate) fn not_a_recording() -> Error {
    Error::not_found("This is a live camera, not a recording: there is nothing to pause, seek or repeat.")
}

pub(crate) fn no_advanced_mode() -> Error {
    Error::invalid("This device has no advanced mode, so it has no presets. Set its options instead.")
}

/// What a played-back recording can be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PlaybackCommand {
    /// Holds the picture.
    Pause,
    /// Goes on.
    Resume,
    /// Goes to this time from the recording's beginning.
    Seek(Duration),
    /// Plays at this multiple of real time.
    Speed(f64),
    /// Whether it begins again at its end.
    Repeat(bool),
}

/// One frame as the camera delivered it.
#[derive(Clone)]
pub struct Frame {
    /// Stream it belongs to.
    pub stream: StreamType,
    /// Layout of `data`.
    pub format: PixelFormat,
    /// Width in pixels; 0 for motion samples.
    pub width: u32,
    /// Height in pixels; 0 for motion samples.
    pub height: u32,
    /// Tightly packed pixels (or three f32 for motion); shared, never copied on the way.
    pub data: Arc<dyn AsRef<[u8]> + Send + Sync>,
    /// The device's frame counter.
    pub number: u64,
    /// The device's timestamp in milliseconds (librealsense's unit).
    pub timestamp_ms: f64,
    /// Which clock `timestamp_ms` is of.
    pub timestamp_domain: TimestampDomain,
    /// What the camera said about this frame (exposure, gain, …), by key.
    pub metadata: Vec<(MetadataKey, i64)>,
    /// When the frame was captured, as far as the host can tell.
    pub captured_at: std::time::Instant,
    /// Metres per depth unit for Z16 frames, else 0.
    pub depth_units: f32,
    /// Intrinsics for image frames.
    pub intrinsics: Option<Intrinsics>,
}

impl Frame {
    /// The frame's bytes.
    pub fn bytes(&self) -> &[u8] {
        (*self.data).as_ref()
    }

    /// Whether `data` has exactly the size that format, width and height call for.
    pub fn size_fits(&self) -> bool {
        self.bytes().len() == self.format.frame_size(self.width, self.height)
    }

    /// The three components of a motion sample (gyro: rad/s, accel: m/s²).
    pub fn motion(&self) -> Option<[f32; 3]> {
        if self.format != PixelFormat::MotionXyz32f {
            return None;
        }
        let bytes = self.bytes();
        let mut out = [0.0; 3];
        for (value, chunk) in out.iter_mut().zip(bytes.chunks_exact(4)) {
            *value = f32::from_le_bytes(chunk.try_into().ok()?);
        }
        (bytes.len() == 12).then_some(out)
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({} #{} {}x{} {})", self.stream, self.number, self.width, self.height, self.format)
    }
}
