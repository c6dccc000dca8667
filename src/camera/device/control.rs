//! The device thread's commands that are not about streams: playback, presets, calibration, and the description of the
//! device with which a recording begins. Nothing here stops or starts a stream.

use tracing::info;

use super::{Open, Reply};
use crate::{
    camera::{
        PlaybackCommand,
        recorder::{RecordedDevice, RecordedSensor, RecordedStream},
        recording::RecordingOrder,
    },
    core::wishes::recording::EndReason,
    error::{Error, Result},
    model::{Calibration, Extrinsics, PlaybackStatus, StreamCalibration, StreamType},
};

/// What a device thread can be told besides streams and options.
pub(in crate::camera) enum Control {
    Playback(Option<PlaybackCommand>, Reply<PlaybackStatus>),
    LoadPreset(String, Reply<()>),
    Preset(Reply<String>),
    Calibration(Reply<Calibration>),
    Record(Box<RecordingOrder>),
    /// Answered once everything before it in the queue is done.
    Settle(Reply<()>),
}

impl Control {
    /// Answers with an error instead. A requester that went away needs no answer.
    pub(in crate::camera) fn refuse(self, error: Error) {
        match self {
            Self::Playback(_, reply) => drop(reply.send(Err(error))),
            Self::LoadPreset(_, reply) | Self::Settle(reply) => drop(reply.send(Err(error))),
            Self::Preset(reply) => drop(reply.send(Err(error))),
            Self::Calibration(reply) => drop(reply.send(Err(error))),
            Self::Record(order) => order.refuse(error),
        }
    }
}

impl Open<'_> {
    pub(super) fn control(&mut self, control: Control) {
        // A requester that went away needs no answer.
        match control {
            Control::Playback(command, reply) => {
                let result = self.camera.playback(command);
                if let (Some(command), Ok(_)) = (command, &result) {
                    info!(device = %self.thread.device, ?command, "playback");
                    // What goes on after a pause has not been silent.
                    self.touch_all();
                }
                drop(reply.send(result));
            }
            Control::LoadPreset(json, reply) => {
                let result = self.camera.load_preset(&json);
                if result.is_ok() {
                    info!(device = %self.thread.device, "preset loaded");
                    self.options.set();
                }
                drop(reply.send(result));
            }
            Control::Preset(reply) => drop(reply.send(self.camera.preset())),
            Control::Calibration(reply) => drop(reply.send(Ok(self.calibration()))),
            Control::Record(order) => match self.describe(&order.streams) {
                Ok(device) => {
                    self.thread.recordings.begin(&self.thread.tap, *order, device);
                    // One that began while the device was going has not been told.
                    if !self.thread.reporter.is_alive() {
                        self.thread.tap.end(EndReason::DeviceGone);
                    }
                }
                Err(error) => order.refuse(error),
            },
            Control::Settle(reply) => drop(reply.send(Ok(()))),
        }
    }

    fn calibration(&mut self) -> Calibration {
        let mut running: Vec<_> =
            self.running.values().flatten().copied().filter(|config| config.stream.is_video()).collect();
        running.sort_unstable();
        let first = running.first().map(|config| config.stream);
        let mut streams = Vec::with_capacity(running.len());
        for config in running {
            streams.push(StreamCalibration {
                stream_type: config.stream,
                profile: config.profile,
                intrinsics: self.camera.intrinsics(config.stream, config.profile.width, config.profile.height),
                to_first: self.transform(config.stream, first),
            });
        }
        // Through its text, so that 0.001 stays 0.001 on its way from f32 to f64.
        let depth_units = self.camera.depth_units();
        let depth_units = depth_units.to_string().parse().unwrap_or_else(|_| f64::from(depth_units));
        Calibration { device_id: self.thread.device.clone(), depth_units, streams }
    }

    fn transform(&mut self, stream: StreamType, first: Option<StreamType>) -> Option<Extrinsics> {
        first.filter(|first| *first != stream).and_then(|first| self.camera.extrinsics(stream, first))
    }

    /// Everything about the device that a recording of these streams must tell.
    fn describe(&mut self, streams: &[StreamType]) -> Result<RecordedDevice> {
        let mut first = None;
        let mut sensors = Vec::new();
        for sensor in self.camera.sensors()? {
            let running = self.running.get(&sensor.index).cloned().unwrap_or_default();
            let mut recorded = Vec::new();
            for config in running.into_iter().filter(|config| streams.contains(&config.stream)) {
                let first = *first.get_or_insert(config.stream);
                let (width, height) = (config.profile.width, config.profile.height);
                let is_video = config.stream.is_video();
                let intrinsics = if is_video { self.camera.intrinsics(config.stream, width, height) } else { None };
                let to_first = self.transform(config.stream, Some(first));
                recorded.push(RecordedStream { config, intrinsics, to_first });
            }
            if recorded.is_empty() {
                continue;
            }
            let has_depth = recorded.iter().any(|stream| stream.config.stream == StreamType::Depth);
            let depth_units = has_depth.then(|| self.camera.depth_units());
            sensors.push(RecordedSensor { name: sensor.name, depth_units, options: sensor.options, streams: recorded });
        }
        let found: usize = sensors.iter().map(|sensor| sensor.streams.len()).sum();
        if found < streams.len() {
            return Err(Error::unavailable(format!(
                "A stream of device {} that was to be recorded has just stopped. Try again.",
                self.thread.device
            )));
        }
        Ok(RecordedDevice { info: self.thread.info.clone(), sensors })
    }
}
