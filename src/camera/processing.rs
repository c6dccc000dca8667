//! Depth processing of one open device: the settings as options of its depth sensor, and the stage between the camera's
//! sink and the hub. Owns one named thread while anything is switched on, fed by a slot that keeps the newest frame only, so
//! the camera's callback never waits; while all is off, frames pass by untouched. Never touches a stream but depth.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tracing::{debug, error, warn};

use super::{Camera, Frame, FrameSink};
use crate::{
    core::{
        options::on_step,
        picture::depth::{DepthCalibration, DepthSettings, Picture, Stage},
        wishes::{profile, sensor_steps::BySensor},
    },
    error::{Error, Result},
    model::{DeviceId, OptionInfo, PixelFormat, Profile, SensorInfo, StreamType},
    sync::{Mutex, Slot, Taken, join_until, lock},
};

/// The option of a stereo camera's depth sensor that tells the distance of its imagers in millimetres.
const BASELINE: &str = "stereo_baseline";
/// The size that depth is aligned to when neither colour nor depth ever ran.
const USUAL: Profile = Profile { width: 640, height: 480, framerate: 30 };
/// How long the thread waits for a frame before it looks again: it is woken by a frame and by the end, so any time will do.
const WAIT: Duration = Duration::from_secs(60);
/// Longest wait for the frame under way: it takes some 10 ms, in a debug build on a busy machine ten times that.
const FLUSH: Duration = Duration::from_secs(2);

/// A device's settings. They live as long as the device is known, so that they survive a replug.
pub(super) type SharedSettings = Arc<Mutex<DepthSettings>>;

/// The processing of one open device. Dropping it ends its thread; frames then pass by untouched.
pub(super) struct Processing {
    device: DeviceId,
    settings: SharedSettings,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    sensors: Vec<SensorInfo>,
    depth_sensor: Option<usize>,
    /// What colour last ran at: depth keeps that size when colour stops.
    last_color: Option<Profile>,
}

struct Shared {
    output: FrameSink,
    /// Where depth frames wait for the thread, while there is one.
    waiting: Mutex<Option<Arc<Slot<Frame>>>>,
    /// What the next frame is processed with.
    setup: Mutex<(DepthSettings, DepthCalibration)>,
}

impl Processing {
    /// For a device that is about to be opened; `output` is where all its frames go in the end.
    pub(super) fn new(device: DeviceId, settings: SharedSettings, output: FrameSink) -> Self {
        let shared = Arc::new(Shared { output, waiting: Mutex::default(), setup: Mutex::default() });
        Self { device, settings, shared, thread: None, sensors: Vec::new(), depth_sensor: None, last_color: None }
    }

    /// Where the camera's frames go in.
    pub(super) fn input(&self) -> FrameSink {
        let shared = self.shared.clone();
        Arc::new(move |frame: Frame| {
            let depth = frame.stream == StreamType::Depth && frame.format == PixelFormat::Z16;
            // Both locks are only ever held for a few instructions.
            match depth.then(|| lock(&shared.waiting).clone()).flatten() {
                Some(slot) => drop(slot.put(frame)),
                None => (shared.output)(frame),
            }
        })
    }

    /// Adds the options to the sensor that offers depth.
    pub(super) fn describe(&mut self, sensors: &mut [SensorInfo]) {
        self.sensors = sensors.to_vec();
        let depth = sensors.iter_mut().find(|sensor| offers(sensor, StreamType::Depth));
        self.depth_sensor = depth.as_ref().map(|sensor| sensor.index);
        if let Some(depth) = depth {
            depth.options.extend(lock(&self.settings).all());
        }
    }

    /// An option as the device described it when it was opened, with another value.
    ///
    /// # Errors
    /// NotFound for one that it did not describe.
    pub(super) fn described(&self, sensor: usize, option: &str, value: f64) -> Result<OptionInfo> {
        let known = self.sensors.iter().find(|info| info.index == sensor);
        let known = known.and_then(|info| info.options.iter().find(|known| known.option_id == option));
        let known = known.ok_or_else(|| Error::not_found(format!("This sensor has no option '{option}'.")))?;
        let (min, max) = (known.min_value.unwrap_or(value), known.max_value.unwrap_or(value));
        let current_value = on_step(min, max, known.step.unwrap_or(0.0), value).unwrap_or(value);
        Ok(OptionInfo { current_value, ..known.clone() })
    }

    /// The values of these options, by id; nothing for another sensor.
    pub(super) fn option_values(&self, sensor: usize) -> Vec<(String, f64)> {
        if self.depth_sensor != Some(sensor) {
            return Vec::new();
        }
        let settings = *lock(&self.settings);
        settings.all().map(|option| (option.option_id, option.current_value)).collect()
    }

    /// One of these options; `None` if it is not one of this sensor's.
    pub(super) fn option(&self, sensor: usize, option: &str) -> Option<OptionInfo> {
        (self.depth_sensor == Some(sensor)).then(|| lock(&self.settings).info(option)).flatten()
    }

    /// Sets one of these options, live; `None` if it is not one of this sensor's.
    pub(super) fn set_option(
        &mut self,
        sensor: usize,
        option: &str,
        value: f64,
        camera: &mut dyn Camera,
        running: &BySensor,
    ) -> Option<Result<()>> {
        self.option(sensor, option)?;
        let changed = self.change(option, value);
        if changed.is_ok() {
            self.follow(camera, running);
        }
        Some(changed)
    }

    fn change(&self, option: &str, value: f64) -> Result<()> {
        let mut settings = lock(&self.settings);
        let mut changed = *settings;
        changed.set(option, value)?;
        let color = self.sensors.iter().any(|sensor| offers(sensor, StreamType::Color));
        if changed.aligns_to_color() && !settings.aligns_to_color() && !color {
            return Err(Error::invalid(format!(
                "Device {} has no color stream, so there is nothing to align depth to.",
                self.device
            )));
        }
        *settings = changed;
        Ok(())
    }

    /// Takes up what is set and what runs now: starts or ends the thread, and looks up the calibration. To be called once
    /// the device is open, and whenever streams were started or stopped.
    pub(super) fn follow(&mut self, camera: &mut dyn Camera, running: &BySensor) {
        let color = running.values().flatten().find(|config| config.stream == StreamType::Color);
        self.last_color = color.map(|config| config.profile).or(self.last_color);
        let settings = *lock(&self.settings);
        if !settings.is_active() || self.depth_sensor.is_none() {
            return self.end();
        }
        let calibration = self.calibration(&settings, camera, running);
        *lock(&self.shared.setup) = (settings, calibration);
        if self.thread.is_none() {
            self.begin();
        }
    }

    fn calibration(&self, settings: &DepthSettings, camera: &mut dyn Camera, running: &BySensor) -> DepthCalibration {
        let smooths = settings.spatial().is_some() || settings.temporal().is_some();
        let baseline = self.depth_sensor.filter(|_| smooths).and_then(|sensor| camera.option(sensor, BASELINE).ok());
        let baseline_m = baseline.map(|option| (option.current_value / 1000.0) as f32);
        let color = settings.aligns_to_color().then(|| {
            let depth = running.values().flatten().find(|config| config.stream == StreamType::Depth);
            let wanted = self.last_color.or(depth.map(|config| config.profile)).unwrap_or(USUAL);
            let size = match self.last_color {
                Some(size) => size,
                None => profile::choose_default(&self.sensors, StreamType::Color, wanted).ok()?.1.profile,
            };
            let intrinsics = camera.intrinsics(StreamType::Color, size.width, size.height)?;
            Some((intrinsics, camera.extrinsics(StreamType::Depth, StreamType::Color)?))
        });
        if color == Some(None) {
            warn!(device = %self.device, "depth is not aligned: the device tells no calibration of colour");
        }
        DepthCalibration { baseline_m, color: color.flatten() }
    }

    fn begin(&mut self) {
        let slot = Arc::new(Slot::default());
        *lock(&self.shared.waiting) = Some(slot.clone());
        let (shared, device) = (self.shared.clone(), self.device.clone());
        let run = move || {
            debug!(%device, "depth processing starts");
            shared.run(&slot, &device);
            debug!(%device, "depth processing ends");
        };
        match std::thread::Builder::new().name(format!("depth-{}", self.device)).spawn(run) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => {
                *lock(&self.shared.waiting) = None;
                error!(device = %self.device, %error, "no thread for depth processing; depth stays as it is");
            }
        }
    }

    /// Ends the thread before frames pass by it, so that none overtakes another; a frame that comes meanwhile is lost.
    fn end(&mut self) {
        self.end_thread();
        *lock(&self.shared.waiting) = None;
    }

    fn end_thread(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if let Some(slot) = lock(&self.shared.waiting).clone() {
            slot.close();
        }
        // Bounded, so that a frame that never ends cannot hold the device's thread.
        join_until(thread, Instant::now() + FLUSH);
    }

    /// Forgets what is under way and what the filters remember. Once it returns, no earlier frame goes out any more. To be
    /// called when depth was stopped.
    pub(super) fn flush(&mut self, sensor: usize) {
        if self.thread.is_some() && self.depth_sensor == Some(sensor) {
            self.end_thread();
            self.begin();
        }
    }
}

impl Drop for Processing {
    fn drop(&mut self) {
        self.end();
    }
}

fn offers(sensor: &SensorInfo, stream: StreamType) -> bool {
    sensor.profiles.iter().any(|profile| profile.stream == stream)
}

impl Shared {
    /// The thread: one frame after the other until the slot is closed.
    fn run(&self, slot: &Slot<Frame>, device: &DeviceId) {
        let mut stage = Stage::default();
        loop {
            let frame = match slot.take(WAIT) {
                Taken::Value(frame) => frame,
                Taken::Timeout => continue,
                Taken::Closed => return,
            };
            let (settings, calibration) = *lock(&self.setup);
            let done = catch_unwind(AssertUnwindSafe(|| process(&mut stage, &settings, &calibration, &frame)));
            let frame = done.unwrap_or_else(|_| {
                error!(%device, ?frame, "depth processing failed inside; the frame goes out as it came");
                stage = Stage::default();
                frame
            });
            (self.output)(frame);
        }
    }
}

fn process(stage: &mut Stage, settings: &DepthSettings, calibration: &DepthCalibration, frame: &Frame) -> Frame {
    let Frame { width, height, intrinsics, depth_units, .. } = *frame;
    let picture = Picture { z16: frame.bytes(), width, height, intrinsics, depth_units };
    let processed = stage.run(settings, calibration, &picture);
    Frame {
        width: processed.width,
        height: processed.height,
        data: Arc::new(processed.z16),
        intrinsics: processed.intrinsics,
        ..frame.clone()
    }
}

#[cfg(test)]
#[path = "processing_tests.rs"]
mod tests;
