//! The actor's part about recordings: which streams one needs, starting them, holding them while it lasts. And the
//! handle's calls about recordings, playback, presets and calibration.

use std::{
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tracing::info;

use super::{
    api::RecordRequest,
    command::{Command, Reply},
    handle::Handle,
    state::{ActiveRecording, Actor, Choice, MOTION, Waiting},
};
use crate::{
    camera::{
        PlaybackCommand,
        recording::{RecordingFile, RecordingOrder, RecordingStatus, already_recording},
    },
    core::wishes::{profile, recording, references::Holder},
    error::{Error, Result},
    model::{Calibration, DeviceId, DeviceInfo, PlaybackStatus, SensorInfo, StreamType},
};

/// How long the opening of a recording waits for its device to be usable, so that the next request does not come too early.
const USABLE: Duration = Duration::from_secs(2);
/// What is recorded of a device of which nothing runs.
const DEFAULT: [StreamType; 2] = [StreamType::Color, StreamType::Depth];

impl Actor {
    pub(super) fn start_recording(&mut self, now: Instant, request: RecordRequest, reply: Reply<RecordingStatus>) {
        // One whose requester went away is in nobody's way.
        self.advance_recordings(now);
        // A requester that went away needs no answer.
        if let Err(error) = self.order_recording(now, request, reply) {
            let (error, reply) = *error;
            drop(reply.send(Err(error)));
        }
    }

    fn order_recording(
        &mut self,
        now: Instant,
        request: RecordRequest,
        reply: Reply<RecordingStatus>,
    ) -> Result<(), Box<(Error, Reply<RecordingStatus>)>> {
        let RecordRequest { device, file_name, streams, max_time } = request;
        let chosen = self.choose_recording(&device, file_name.as_deref(), streams.as_deref());
        let (name, choices) = match chosen {
            Ok(chosen) => chosen,
            Err(error) => return Err(Box::new((error, reply))),
        };
        for choice in &choices {
            let key = Self::key(&device, choice.config.stream);
            if let Err(error) = self.streams.acquire(now, &key, Holder::Recording, choice.sensor, choice.config) {
                self.streams.release(now, &device, &Holder::Recording);
                return Err(Box::new((error, reply)));
            }
        }
        self.recording_count += 1;
        let streams = choices.iter().map(|choice| choice.config.stream).collect();
        let limits = self.config.recording.limits(max_time);
        let waiting = Some(Waiting { reply, name, may_number: file_name.is_none(), streams, limits });
        self.recordings.insert(device, ActiveRecording { generation: self.recording_count, waiting });
        self.advance_recordings(now);
        Ok(())
    }

    /// Everything that can be refused without the disk is refused here, before anything changes.
    fn choose_recording(
        &self,
        device: &DeviceId,
        file_name: Option<&str>,
        streams: Option<&[StreamType]>,
    ) -> Result<(String, Vec<Choice>)> {
        let sensors = self.usable(device)?;
        if self.devices.get(device).is_some_and(|known| known.is_playback()) {
            return Err(Error::conflict(format!(
                "Device {device} is a recording that is played back; it cannot be recorded. Copy its file instead."
            )));
        }
        let extension = self.cameras.recordings().extension()?;
        let name = match file_name {
            Some(given) => recording::new_name(given, extension)?,
            None => {
                let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                recording::default_name(device.as_str(), seconds, extension)
            }
        };
        if self.recordings.contains_key(device) {
            let file = self.cameras.recording_status(device)?.file_name.unwrap_or_default();
            return Err(Error::conflict(already_recording(device, &file)));
        }
        let streams = streams.map_or_else(|| self.recordable(device, sensors), <[_]>::to_vec);
        if streams.is_empty() {
            return Err(Error::invalid(format!("Device {device} has neither colour nor depth: name what to record.")));
        }
        let mut choices = Vec::with_capacity(streams.len());
        for stream in streams {
            let key = Self::key(device, stream);
            let choice = match self.streams.config(&key) {
                None if !stream.is_video() => {
                    let (sensor, config) = profile::choose_default(sensors, stream, MOTION)?;
                    Choice { sensor, config, note: None }
                }
                _ => self.choose_stream(&key, sensors, None, &choices)?,
            };
            self.streams.check(&key)?;
            choices.push(choice);
        }
        Ok((name, choices))
    }

    /// What runs on a device, or what is worth recording of it when nothing does.
    fn recordable(&self, device: &DeviceId, sensors: &[SensorInfo]) -> Vec<StreamType> {
        let mut running: Vec<_> =
            self.streams.running(device).into_iter().map(|(_, config, _)| config.stream).collect();
        // What only lingers is about to stop, and so is the motion beside it.
        running.retain(|stream| !self.streams.lingers(&Self::key(device, *stream)));
        if running.iter().any(|stream| !self.streams.is_companion(&Self::key(device, *stream))) {
            return running;
        }
        let offered = profile::streams(sensors);
        DEFAULT.into_iter().filter(|stream| offered.contains(stream)).collect()
    }

    /// Tells the camera of every recording whose streams run by now.
    pub(super) fn advance_recordings(&mut self, now: Instant) {
        for device in self.recordings.keys().cloned().collect::<Vec<_>>() {
            let Some(recording) = self.recordings.get_mut(&device) else { continue };
            let generation = recording.generation;
            let streams = &self.streams;
            let runs = |stream: &StreamType| streams.is_running(&Self::key(&device, *stream));
            let ready = |waiting: &mut Waiting| waiting.streams.iter().all(runs) || waiting.reply.is_closed();
            let Some(waiting) = recording.waiting.take_if(ready) else { continue };
            if waiting.reply.is_closed() {
                info!(%device, "not recording: the client that asked for it went away");
                self.recording_ended(now, &device, generation);
                continue;
            }
            let Waiting { reply, name, may_number, streams, limits } = waiting;
            let ticket = self.cameras.ticket(&device, generation);
            let device = device.clone();
            self.cameras.record(RecordingOrder { device, name, may_number, streams, limits, ticket, reply });
        }
    }

    /// A stream that a recording waits for could not start.
    pub(super) fn fail_recording(&mut self, now: Instant, device: &DeviceId, error: &Error) {
        let Some(recording) = self.recordings.get_mut(device) else { return };
        let generation = recording.generation;
        // One that is being written goes on with what runs.
        if let Some(waiting) = recording.waiting.take() {
            self.recording_ended(now, device, generation);
            drop(waiting.reply.send(Err(error.clone())));
        }
    }

    /// Lets go of a recording's streams. What is told of an earlier recording changes nothing.
    pub(super) fn recording_ended(&mut self, now: Instant, device: &DeviceId, generation: u64) {
        if self.recordings.get(device).is_some_and(|recording| recording.generation == generation) {
            self.recordings.remove(device);
            self.streams.release(now, device, &Holder::Recording);
        }
    }

    /// Takes back a recording that has not begun. Says whether there is one that the camera was told of.
    pub(super) fn stop_recording(&mut self, now: Instant, device: &DeviceId) -> bool {
        let Some(recording) = self.recordings.get_mut(device) else { return false };
        if recording.waiting.is_none() {
            return true;
        }
        self.fail_recording(now, device, &Error::unavailable("The recording was taken back by a stop request."));
        false
    }
}

impl Handle {
    /// Records a device's streams to a file, starting those that do not run.
    ///
    /// # Errors
    /// NotFound, Invalid, Conflict for a name that is taken or a device that is being recorded, Unavailable when it is
    /// unplugged, or nothing can be recorded.
    pub async fn start_recording(&self, request: RecordRequest) -> Result<RecordingStatus> {
        self.ask(|reply| Command::StartRecording(request, reply)).await?
    }

    /// Ends a device's recording; the file is closed then, unless the disk is very slow.
    ///
    /// # Errors
    /// NotFound.
    pub async fn stop_recording(&self, device: DeviceId) -> Result<RecordingStatus> {
        let asked = device.clone();
        let is_ordered = self.ask(|reply| Command::StopRecording(asked, reply)).await?;
        self.cameras.stop_recording(&device, is_ordered).await
    }

    /// How a device's recording stands, or how its last one ended.
    ///
    /// # Errors
    /// NotFound.
    pub fn recording_status(&self, device: &DeviceId) -> Result<RecordingStatus> {
        self.cameras.recording_status(device)
    }

    /// The recordings on the disk, newest first.
    ///
    /// # Errors
    /// Unavailable when their folder cannot be read.
    pub async fn recordings(&self) -> Result<Vec<RecordingFile>> {
        self.cameras.recording_files().await
    }

    /// Where a recording lies.
    ///
    /// # Errors
    /// Invalid for what is no name, NotFound, Conflict while it is being written.
    pub async fn recording_path(&self, name: String) -> Result<PathBuf> {
        self.cameras.recording_path(name).await
    }

    /// Plays a recording of the folder as a device.
    ///
    /// # Errors
    /// Invalid for what is no name or no recording, NotFound, Conflict while it is being written, Unavailable without the
    /// SDK, Limit when too many are open.
    pub async fn open_recording(&self, name: String) -> Result<DeviceInfo> {
        let info = self.cameras.open_recording(name).await?;
        let mut snapshot = self.snapshot();
        let usable = snapshot.wait_for(|now| now.devices.get(&info.device_id) == Some(&true));
        // One that takes longer is there all the same, and says 503 until it can be used.
        let _ = tokio::time::timeout(USABLE, usable).await;
        Ok(info)
    }

    /// Ends playing a recording; its device goes.
    ///
    /// # Errors
    /// NotFound, Invalid for a device that is no recording.
    pub async fn close_playback(&self, device: &DeviceId) -> Result<()> {
        self.cameras.close_playback(device).await
    }

    /// Deletes a recording.
    ///
    /// # Errors
    /// Invalid for what is no name, NotFound, Conflict while it is being written or played, Unavailable when the system
    /// refuses.
    pub async fn delete_recording(&self, name: String) -> Result<()> {
        self.cameras.delete_recording(name).await
    }

    /// What a recording that is played back does, after carrying out `command`.
    ///
    /// # Errors
    /// NotFound for an unknown or a live device, Invalid for a position or speed that cannot be, Unavailable.
    pub async fn playback(&self, device: &DeviceId, command: Option<PlaybackCommand>) -> Result<PlaybackStatus> {
        self.cameras.playback(device, command).await
    }

    /// Loads a preset's JSON text.
    ///
    /// # Errors
    /// NotFound, Invalid for what is no preset or a device without advanced mode, Unavailable.
    pub async fn load_preset(&self, device: &DeviceId, json: String) -> Result<()> {
        self.cameras.load_preset(device, json).await
    }

    /// A device's settings as a preset's JSON text.
    ///
    /// # Errors
    /// NotFound, Invalid for a device without advanced mode, Unavailable.
    pub async fn preset(&self, device: &DeviceId) -> Result<String> {
        self.cameras.preset(device).await
    }

    /// Intrinsics and extrinsics of the video streams that run.
    ///
    /// # Errors
    /// NotFound, Unavailable.
    pub async fn calibration(&self, device: &DeviceId) -> Result<Calibration> {
        self.cameras.calibration(device).await
    }
}
