//! The camera handle's part that is not about streams: playback, presets, calibration and recordings. What lies in the
//! recordings' folder is looked at on blocking threads, never on the caller's.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{CameraHandle, DeviceCommand, EndReason, lock};
use crate::{
    camera::{
        PlaybackCommand,
        device::Control,
        recording::{RecordingFile, RecordingOrder, RecordingStatus, Recordings, Tap, Ticket},
    },
    error::{Error, Result},
    model::{Calibration, DeviceId, DeviceInfo, PlaybackStatus},
    work,
};

impl CameraHandle {
    pub(crate) async fn playback(&self, device: &DeviceId, command: Option<PlaybackCommand>) -> Result<PlaybackStatus> {
        self.control(device, |reply| Control::Playback(command, reply)).await
    }

    pub(crate) async fn load_preset(&self, device: &DeviceId, json: String) -> Result<()> {
        self.control(device, |reply| Control::LoadPreset(json, reply)).await
    }

    pub(crate) async fn preset(&self, device: &DeviceId) -> Result<String> {
        self.control(device, Control::Preset).await
    }

    pub(crate) async fn calibration(&self, device: &DeviceId) -> Result<Calibration> {
        self.control(device, Control::Calibration).await
    }

    async fn control<T>(
        &self,
        device: &DeviceId,
        command: impl FnOnce(oneshot::Sender<Result<T>>) -> Control,
    ) -> Result<T> {
        self.ask(device, |reply| DeviceCommand::Control(command(reply))).await
    }

    /// What makes recordings.
    pub(crate) fn recordings(&self) -> &Arc<Recordings> {
        &self.shared.recordings
    }

    /// The reference of a recording on its streams; its end is told by [`CameraEvent::RecordingEnded`](crate::camera::events::CameraEvent).
    pub(crate) fn ticket(&self, device: &DeviceId, generation: u64) -> Ticket {
        Ticket { device: device.clone(), generation, events: self.shared.events.clone() }
    }

    /// Begins a recording of running streams. Answers by the order itself, whatever happens.
    pub(crate) fn record(&self, order: RecordingOrder) {
        let device = order.device.clone();
        // Whether it could be sent is found out first, because a command that was refused is lost.
        let sender = lock(&self.shared.devices).get(&device).and_then(|entry| entry.commands.clone());
        let Some(sender) = sender else { return order.refuse(Error::unplugged(&device)) };
        let command = DeviceCommand::Control(Control::Record(Box::new(order)));
        if let Err(error) = sender.try_send(command) {
            let (command, why) = match error {
                super::TrySendError::Full(command) => {
                    (command, Error::unavailable(format!("Device {device} is busy. Try again shortly.")))
                }
                super::TrySendError::Disconnected(command) => (command, Error::unplugged(&device)),
            };
            if let DeviceCommand::Control(control) = command {
                control.refuse(why);
            }
        }
    }

    /// Ends a device's recording and waits, within a bound, until its file is closed. `is_ordered` says that one may still
    /// lie in the device's queue.
    pub(crate) async fn stop_recording(&self, device: &DeviceId, is_ordered: bool) -> Result<RecordingStatus> {
        let tap = self.tap(device)?;
        if is_ordered && tap.current().is_none_or(|recording| recording.is_finished()) {
            // A device that is gone, or does not answer, has not begun one either.
            let _ = self.control(device, Control::Settle).await;
        }
        let Some(recording) = tap.current() else { return Ok(RecordingStatus::none(device)) };
        tap.end(EndReason::Stopped);
        // After that the status says that the file is still being written.
        let _ = tokio::time::timeout(self.shared.timing.reply, recording.finished()).await;
        Ok(recording.status())
    }

    /// How a device's recording stands; also of a device that is unplugged, whose recording ended by that.
    pub(crate) fn recording_status(&self, device: &DeviceId) -> Result<RecordingStatus> {
        let current = self.tap(device)?.current();
        Ok(current.map_or_else(|| RecordingStatus::none(device), |recording| recording.status()))
    }

    fn tap(&self, device: &DeviceId) -> Result<Arc<Tap>> {
        let devices = lock(&self.shared.devices);
        devices.get(device).map(|entry| entry.tap.clone()).ok_or_else(|| Error::unknown_device(device))
    }

    /// Asks every recording to end, because the server stops. Returns at once; `shutdown` waits for them.
    pub(crate) fn end_recordings(&self) {
        self.shared.recordings.stop_beginning();
        for entry in lock(&self.shared.devices).values() {
            entry.tap.end(EndReason::ServerStopping);
        }
    }

    pub(crate) async fn recording_files(&self) -> Result<Vec<RecordingFile>> {
        self.on_disk(|recordings| recordings.list()).await
    }

    pub(crate) async fn recording_path(&self, name: String) -> Result<PathBuf> {
        self.on_disk(move |recordings| recordings.path(&name)).await
    }

    /// Plays a recording of the folder as a device.
    pub(crate) async fn open_recording(&self, name: String) -> Result<DeviceInfo> {
        let path = self.recording_path(name).await?;
        let shared = self.shared.clone();
        // Reading a long recording's index takes a while.
        let patience = self.shared.timing.reply;
        blocking(patience, move || {
            let backend = shared.backends.iter().find(|backend| backend.sdk_version().is_some()).ok_or_else(|| {
                Error::unavailable(
                    "Playing recordings needs librealsense, which is not loaded: run scripts/get_librealsense.sh and set \
                     realsense.library to the file that it names.",
                )
            })?;
            let device = backend.open_recording(&path)?;
            shared.look(backend);
            let served = lock(&shared.devices).contains_key(&device);
            if !served {
                backend.close_recording(&device)?;
                return Err(Error::unavailable("Too many devices are known. Restart the server to forget old ones."));
            }
            let info = backend.devices().into_iter().find(|info| info.device_id == device);
            info.ok_or_else(|| Error::unplugged(&device))
        })
        .await
    }

    /// Ends playing a recording; the device goes, and its viewers' sessions are told.
    pub(crate) async fn close_playback(&self, device: &DeviceId) -> Result<()> {
        let backend = lock(&self.shared.devices).get(device).map(|entry| entry.backend.clone());
        let backend = backend.ok_or_else(|| Error::unknown_device(device))?;
        let (device, shared) = (device.clone(), self.shared.clone());
        blocking(self.shared.timing.reply, move || {
            backend.close_recording(&device)?;
            // Not left to the watcher: the next request must not find it any more.
            shared.look(&backend);
            Ok(())
        })
        .await
    }

    pub(crate) async fn delete_recording(&self, name: String) -> Result<()> {
        self.check_not_played(&name).await?;
        self.on_disk(move |recordings| recordings.delete(&name)).await
    }

    /// A file that is played back must stay. Told by its name alone, because a recording is served by any path to it.
    async fn check_not_played(&self, name: &str) -> Result<()> {
        for info in self.devices(false).await?.into_iter().filter(|info| info.playback) {
            // One that does not answer, or has just gone, cannot be asked.
            let played = self.playback(&info.device_id, None).await;
            if played.is_ok_and(|status| status.file == name) {
                return Err(Error::conflict(format!(
                    "{name} is being played as device {}. Close it first: POST /api/devices/{0}/playback/close.",
                    info.device_id
                )));
            }
        }
        Ok(())
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Recordings) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let recordings = self.shared.recordings.clone();
        work::DISK.run(move || look(&recordings)).await?
    }
}

/// Runs what may block on a thread that may wait, and waits for it no longer than `patience`. Those that hang have a bound.
async fn blocking<T: Send + 'static>(
    patience: Duration,
    wait: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::time::timeout(patience, work::SDK.run(wait)).await {
        Ok(done) => done?,
        Err(_) => Err(Error::unavailable(
            "librealsense did not open or close this recording in time. It may still do so: look at GET /api/devices \
             before you try again.",
        )),
    }
}
