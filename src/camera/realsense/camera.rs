//! One open device of the SDK: its sensors, started and stopped one by one, so that colour never disturbs depth.

use std::{
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use tracing::{info, warn};

use super::{
    deliver::Delivery,
    device_table::{Kind, Known, Shared},
    error_text::unavailable,
    open_recording::OpenRecording,
    options,
    player::Problem,
};
use crate::{
    camera::{Camera, FrameSink, PlaybackCommand, StreamConfig},
    error::{Error, Result},
    librealsense::{Device, SdkFrame, Sensor, StreamProfile},
    model::{DeviceId, Extrinsics, Intrinsics, OptionInfo, PlaybackStatus, SensorInfo, SensorProfile, StreamType},
};

/// Metres per unit where the device does not say: what every D400 but the D405 has.
const USUAL_DEPTH_UNITS_M: f32 = 0.001;
/// How long a software device stays away when it is reset.
const RESET: Duration = Duration::from_secs(1);

/// An open device.
pub(super) struct RsCamera {
    id: DeviceId,
    device: Arc<Device>,
    kind: Kind,
    sensors: Vec<OpenSensor>,
    sink: FrameSink,
    /// What there is of a recording beside the device.
    recording: Option<OpenRecording>,
    /// Where a reset software device comes back.
    backend: Weak<Shared>,
}

/// A sensor of an open device.
pub(super) struct OpenSensor {
    sensor: Sensor,
    name: String,
    profiles: Vec<StreamProfile>,
    /// What was asked for.
    pub(super) running: Vec<StreamProfile>,
}

impl OpenSensor {
    fn read(sensor: Sensor) -> crate::librealsense::Result<Self> {
        let name = sensor.name().unwrap_or_else(|| "Sensor".into());
        let profiles = sensor.profiles()?;
        Ok(Self { name, profiles, running: Vec::new(), sensor })
    }

    fn delivery(&self, profiles: &[StreamProfile], sink: &FrameSink) -> impl Fn(SdkFrame) + Send + Sync + 'static {
        let units = self.sensor.depth_units().unwrap_or(USUAL_DEPTH_UNITS_M);
        let delivery = Delivery::new(profiles, units, sink.clone());
        move |frame| delivery.deliver(frame)
    }

    fn start(&self, profiles: &[StreamProfile], sink: &FrameSink) -> crate::librealsense::Result<()> {
        self.sensor.start(profiles, self.delivery(profiles, sink))
    }

    /// Delivers everything that there is of a recording.
    pub(super) fn start_all(&self, sink: &FrameSink) -> crate::librealsense::Result<()> {
        self.sensor.start_all(self.delivery(&self.profiles, sink))
    }

    pub(super) fn stop(&self) {
        self.sensor.stop();
    }
}

impl RsCamera {
    pub(super) fn open(
        id: DeviceId,
        known: Known,
        preset: Option<&Path>,
        sink: FrameSink,
        backend: Weak<Shared>,
    ) -> Result<Self> {
        let Known { device, kind, .. } = known;
        let read = device.sensors().and_then(|sensors| sensors.into_iter().map(OpenSensor::read).collect());
        let sensors: Vec<_> = read.map_err(|error| unavailable(&id, "be opened", &error))?;
        if let Kind::Software(feeder) = &kind {
            feeder.open()?;
        }
        let recording = match &kind {
            Kind::Recording(player) => Some(OpenRecording::new(player.clone(), device.clone(), sink.clone())),
            Kind::Live | Kind::Software(_) => None,
        };
        let mut camera = Self { id, device, kind, sensors, sink, recording, backend };
        if let Some(file) = preset {
            camera.load_preset_file(file);
        }
        Ok(camera)
    }

    /// A preset that cannot be loaded must not keep the camera from being used.
    fn load_preset_file(&mut self, file: &Path) {
        let loaded = std::fs::read_to_string(file)
            .map_err(|error| Error::invalid(format!("cannot read {}: {error}", file.display())))
            .and_then(|json| self.load_preset(&json));
        match loaded {
            Ok(()) => info!(device = %self.id, file = %file.display(), "preset loaded"),
            Err(error) => warn!(device = %self.id, error = error.for_log(), "preset not loaded; going on without it"),
        }
    }

    fn sensor(&self, index: usize) -> Result<&OpenSensor> {
        self.sensors.get(index).ok_or_else(|| {
            let last = self.sensors.len().saturating_sub(1);
            Error::not_found(format!("There is no sensor {index}; this device has sensors 0 to {last}."))
        })
    }

    fn profile_of(&self, stream: StreamType) -> Option<&StreamProfile> {
        let running = self.sensors.iter().flat_map(|sensor| &sensor.running);
        let offered = self.sensors.iter().flat_map(|sensor| &sensor.profiles);
        running.chain(offered).find(|profile| profile.what().stream == stream)
    }
}

/// Names what a sensor offers for a stream that was asked for in another way.
fn not_offered(name: &str, profiles: &[StreamProfile], config: &StreamConfig) -> Error {
    let distance = |what: &SensorProfile| {
        let (a, b) = (what.profile, config.profile);
        let size = a.width.abs_diff(b.width) + a.height.abs_diff(b.height);
        (what.format != config.format, size, a.framerate.abs_diff(b.framerate))
    };
    let of_stream = profiles.iter().map(StreamProfile::what).filter(|what| what.stream == config.stream);
    Error::invalid(match of_stream.min_by_key(distance) {
        Some(near) => format!(
            "{name} has no {} {} {}. The nearest it offers is {} {}.",
            config.stream, config.format, config.profile, near.format, near.profile
        ),
        None => format!("{name} has no stream {}.", config.stream),
    })
}

impl Camera for RsCamera {
    fn sensors(&mut self) -> Result<Vec<SensorInfo>> {
        let info = |(index, sensor): (usize, &OpenSensor)| SensorInfo {
            index,
            name: sensor.name.clone(),
            profiles: sensor.profiles.iter().map(StreamProfile::what).collect(),
            options: options::all(&sensor.sensor),
        };
        Ok(self.sensors.iter().enumerate().map(info).collect())
    }

    fn start(&mut self, sensor: usize, streams: &[StreamConfig]) -> Result<()> {
        let open = self.sensor(sensor)?;
        if streams.is_empty() {
            return Err(Error::invalid("No stream was asked for."));
        }
        if !open.running.is_empty() {
            return Err(Error::conflict(format!("{} of device {} runs already.", open.name, self.id)));
        }
        let find = |config: &StreamConfig| {
            let wanted = SensorProfile { stream: config.stream, format: config.format, profile: config.profile };
            let found = open.profiles.iter().find(|profile| profile.what() == wanted);
            found.cloned().ok_or_else(|| not_offered(&open.name, &open.profiles, config))
        };
        let profiles: Vec<_> = streams.iter().map(find).collect::<Result<_>>()?;
        if let Some(recording) = &mut self.recording {
            self.sensors[sensor].running = profiles;
            return recording.comes(&self.sensors).map_err(|error| {
                let open = &mut self.sensors[sensor];
                open.running.clear();
                let what = format!("start {}", open.name);
                recording.left(&self.sensors);
                unavailable(&self.id, &what, &error)
            });
        }
        let open = self.sensor(sensor)?;
        open.start(&profiles, &self.sink)
            .map_err(|error| unavailable(&self.id, &format!("start {}", open.name), &error))?;
        if let Kind::Software(feeder) = &self.kind
            && let Err(error) = feeder.start(sensor, streams)
        {
            open.stop();
            return Err(error);
        }
        self.sensors[sensor].running = profiles;
        Ok(())
    }

    fn stop(&mut self, sensor: usize) {
        let Some(open) = self.sensors.get_mut(sensor) else { return };
        // The feeder first: the SDK refuses frames of a stopped sensor.
        if let Kind::Software(feeder) = &self.kind {
            feeder.stop(sensor);
        }
        if open.running.is_empty() {
            return;
        }
        open.running.clear();
        match &mut self.recording {
            None => open.stop(),
            Some(recording) => recording.left(&self.sensors),
        }
    }

    fn set_option(&mut self, sensor: usize, option: &str, value: f64) -> Result<()> {
        let value = options::set(&self.sensor(sensor)?.sensor, option, value)?;
        if let Kind::Software(feeder) = &self.kind {
            feeder.set_option(sensor, option, value)?;
        }
        Ok(())
    }

    fn option_values(&mut self, sensor: usize) -> Vec<(String, f64)> {
        self.sensor(sensor).map(|open| options::values(&open.sensor)).unwrap_or_default()
    }

    fn option(&mut self, sensor: usize, option: &str) -> Result<OptionInfo> {
        options::get(&self.sensor(sensor)?.sensor, option)
    }

    fn depth_units(&mut self) -> f32 {
        self.sensors.iter().find_map(|sensor| sensor.sensor.depth_units()).unwrap_or(USUAL_DEPTH_UNITS_M)
    }

    fn intrinsics(&mut self, stream: StreamType, width: u32, height: u32) -> Option<Intrinsics> {
        let profiles = self.sensors.iter().flat_map(|sensor| &sensor.profiles);
        let fits = |profile: &&StreamProfile| {
            let what = profile.what();
            what.stream == stream && (what.profile.width, what.profile.height) == (width, height)
        };
        profiles.into_iter().find(fits)?.intrinsics()
    }

    fn extrinsics(&mut self, from: StreamType, to: StreamType) -> Option<Extrinsics> {
        self.profile_of(from)?.extrinsics_to(self.profile_of(to)?)
    }

    fn hw_reset(&mut self) -> Result<()> {
        let Kind::Software(feeder) = &self.kind else {
            if matches!(self.kind, Kind::Recording(_)) {
                return Err(Error::invalid("This is a recording; there is no hardware to reset."));
            }
            return self.device.hardware_reset().map_err(|error| unavailable(&self.id, "be reset", &error));
        };
        let (backend, feeder) = (self.backend.clone(), feeder.clone());
        let away = move || {
            let Some(shared) = backend.upgrade() else { return };
            shared.unplug(&feeder);
            std::thread::sleep(RESET);
            if let Err(error) = shared.replug(&feeder) {
                warn!(error = error.for_log(), "the software device did not come back from its reset");
            }
        };
        let spawned = std::thread::Builder::new().name("rs-reset".into()).spawn(away);
        spawned.map(drop).map_err(|error| Error::internal(format!("no thread for the reset: {error}")))
    }

    fn is_silent_by_intent(&mut self) -> bool {
        self.recording.as_ref().is_some_and(OpenRecording::is_silent_by_intent)
    }

    fn is_paused(&mut self) -> bool {
        self.recording.as_ref().is_some_and(OpenRecording::is_held)
    }

    fn tick(&mut self) {
        if let Some(recording) = &mut self.recording
            && let Err(error) = recording.tick(&self.sensors)
        {
            warn!(device = %self.id, %error, "the recording does not begin again");
        }
    }

    fn playback(&mut self, command: Option<PlaybackCommand>) -> Result<PlaybackStatus> {
        let Some(recording) = &mut self.recording else {
            return Err(crate::camera::not_a_recording());
        };
        recording.playback(&self.sensors, command).map_err(|problem| match problem {
            Problem::Invalid(why) => Error::invalid(why),
            Problem::Sdk(error) => unavailable(&self.id, "be controlled", &error),
        })
    }

    fn load_preset(&mut self, json: &str) -> Result<()> {
        if !self.device.has_advanced_mode() {
            return Err(crate::camera::no_advanced_mode());
        }
        self.device.load_json(json).map_err(|error| {
            Error::invalid(format!(
                "The preset is refused: {}. It must be one of this model, as the RealSense Viewer saves it; if the camera's \
                 advanced mode is off, switch it on there.",
                error.message.trim_end_matches('.')
            ))
        })
    }

    fn preset(&mut self) -> Result<String> {
        if !self.device.has_advanced_mode() {
            return Err(crate::camera::no_advanced_mode());
        }
        self.device.to_json().map_err(|error| unavailable(&self.id, "tell its settings", &error))
    }
}

impl Drop for RsCamera {
    fn drop(&mut self) {
        for index in 0..self.sensors.len() {
            self.stop(index);
        }
        if let Kind::Software(feeder) = &self.kind {
            feeder.close();
        }
    }
}
