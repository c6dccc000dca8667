//! The actor's part about devices: camera events, status, motion data, point clouds.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tracing::{debug, warn};

use super::{
    api::{Notice, References, RunningStream, StreamStatus},
    state::{Actor, MOTION},
};
use crate::{
    camera::events::{CameraEvent, DeviceNews},
    config::Config,
    core::wishes::{profile, references::Holder},
    error::{Error, Result},
    model::{Attachment, DeviceId, DeviceInfo, SensorInfo, StreamConfig, StreamKey, StreamType},
};

/// The farthest a Z16 frame in millimetres can tell.
const MAX_DEPTH_M: f32 = 65.535;

/// How long a motion module that failed to start is left alone.
const MOTION_RETRY: Duration = Duration::from_secs(60);

impl Actor {
    /// A device's sensors, if it can be used now.
    pub(super) fn usable(&self, id: &DeviceId) -> Result<&[SensorInfo]> {
        let device = self.devices.get(id).ok_or_else(|| Error::unknown_device(id))?;
        device.trouble.as_ref().map_or(Ok(device.sensors.as_slice()), |trouble| Err(trouble.clone()))
    }

    /// A refused profile of a device at a slow port says so.
    pub(super) fn with_usb_hint(&self, id: &DeviceId, error: Error) -> Error {
        profile::with_usb_hint(error, self.devices.get(id).and_then(|device| device.usb_type()))
    }

    pub(super) fn camera_event(&mut self, now: Instant, event: CameraEvent) {
        match event {
            CameraEvent::Device { device, attachment, news } => self.device_news(now, device, attachment, news),
            CameraEvent::Forgotten { device } => {
                self.devices.remove(&device);
                self.depth_ranges.remove(&device);
                self.point_clouds.remove(&device);
                self.streams.forget(&device);
                self.media.forget_device(device);
            }
            CameraEvent::RecordingEnded { device, generation } => self.recording_ended(now, &device, generation),
        }
    }

    fn device_news(&mut self, now: Instant, device: DeviceId, attachment: Attachment, news: DeviceNews) {
        let entry = self.devices.entry(device.clone()).or_default();
        let counts = match news {
            DeviceNews::Gone => entry.presence.end(attachment),
            _ => entry.presence.admits(attachment),
        };
        if !counts {
            return debug!(%device, %attachment, ?news, "news of an attachment that is over");
        }
        match news {
            DeviceNews::Opening => {
                let text = format!("Device {device} is being opened. Try again in a moment.");
                entry.trouble = Some(Error::unavailable(text));
                // It begins with nothing, whatever became of the attachment before.
                self.streams.device_gone(&device);
            }
            DeviceNews::Present { info, sensors } => {
                tell_of_other_profiles(&self.config, &info, &sensors);
                entry.info = Some(info);
                entry.sensors = sensors;
                entry.trouble = None;
                entry.no_motion_until = None;
                self.streams.device_present(&device);
            }
            DeviceNews::OpenFailed(error) => {
                self.streams.device_failed(&device, &error);
                entry.trouble = Some(error);
            }
            DeviceNews::Gone => {
                entry.trouble = Some(Error::unplugged(&device));
                self.streams.device_gone(&device);
            }
            DeviceNews::Applied { generation, applied } => {
                for (stream, error) in &applied.failed {
                    warn!(%device, %stream, error = error.for_log(), "the camera did not start a stream");
                }
                self.streams.applied(now, &device, generation, applied);
            }
            DeviceNews::OptionsChanged { sensor, values } => {
                // Nobody may be listening.
                let _ = self.notices.send(Notice::Options { device, sensor, values });
            }
            DeviceNews::Broke { stream, generation, error } => {
                self.streams.broke(now, &Self::key(&device, stream), generation, &error);
            }
        }
    }

    /// Has exactly these streams run on a device.
    pub(super) fn apply(&self, device: &DeviceId, generation: u64, wanted: Vec<(usize, StreamConfig)>) {
        let names: Vec<_> = wanted.iter().map(|(_, config)| config.stream.to_string()).collect();
        debug!(%device, generation, wanted = names.join("+"), "apply");
        // Without an attachment nothing can run; its streams are wanted again with the next one.
        let Some(attachment) = self.devices.get(device).and_then(|known| known.presence.current()) else { return };
        if let Err(error) = self.cameras.apply(device, attachment, generation, wanted) {
            // It went; its going, and its coming back, are on their way as events.
            warn!(%device, error = error.for_log(), "the camera does not take requests");
        }
    }

    /// A stream began to run: the offers and starts that wait for it go on.
    pub(super) fn stream_is_running(&mut self) {
        self.advance_offers();
        self.finish_starts();
        let now = tokio::time::Instant::now().into_std();
        self.finish_changes(now);
        self.advance_recordings(now);
    }

    /// A stream could not start: each offer and start that waited for it is refused and lets go of everything else it took.
    pub(super) fn stream_failed(&mut self, now: Instant, key: &StreamKey, error: &Error, holders: &[Holder]) {
        for holder in holders {
            match holder {
                Holder::Session(id) => self.fail_offer(now, id, error),
                // Video goes on without motion data. Not at once again: an IMU that may not be opened stays so.
                Holder::Metadata => {
                    if let Some(device) = self.devices.get_mut(&key.device) {
                        device.no_motion_until = Some(now + MOTION_RETRY);
                    }
                }
                Holder::Recording => self.fail_recording(now, &key.device, error),
                Holder::Start(number) => {
                    let failed = self.starts.extract_if(.., |start| start.number == *number).collect();
                    self.refuse_starts(now, failed, error);
                    self.refuse_changes(now, |change| change.number == *number && !change.asked, error);
                }
                // An answered start's streams ran, so that they are interrupted and come back.
                Holder::Explicit | Holder::Sensor => {}
            }
        }
    }

    /// Keeps the motion streams running exactly while video does, so that the metadata carries them.
    pub(super) fn follow_motion(&mut self, now: Instant) {
        if !self.config.camera.motion {
            return;
        }
        for (id, device) in &self.devices {
            let video = self.streams.has_video(id);
            let held = !self.streams.held_by(id, &Holder::Metadata).is_empty();
            if !video && held {
                self.streams.release(now, id, &Holder::Metadata);
            }
            let given_up = device.no_motion_until.is_some_and(|until| now < until);
            if held || !video || given_up {
                continue;
            }
            for stream in [StreamType::Gyro, StreamType::Accel] {
                // A device without an IMU offers none.
                if let Ok((sensor, config)) = profile::choose_default(&device.sensors, stream, MOTION) {
                    let key = Self::key(id, stream);
                    if let Err(error) = self.streams.acquire(now, &key, Holder::Metadata, sensor, config) {
                        warn!(stream = %key, error = error.for_log(), "no motion data");
                    }
                }
            }
        }
    }

    pub(super) fn status(&self, now: Instant, id: &DeviceId) -> Result<StreamStatus> {
        if !self.devices.contains_key(id) {
            return Err(Error::unknown_device(id));
        }
        let running = self.shown(id);
        let framerate = running
            .iter()
            .filter(|(_, config, _)| config.stream.is_video())
            .map(|(_, config, _)| config.profile.framerate);
        let since = running.iter().map(|(_, _, since)| *since).min();
        Ok(StreamStatus {
            device_id: id.clone(),
            is_streaming: !running.is_empty(),
            active_streams: running.iter().map(|(_, config, _)| config.stream).collect(),
            framerate: framerate.max().map(f64::from),
            duration: since.map(|since| now.saturating_duration_since(since).as_secs_f64()),
            stopping: self.streams.is_stopping(id),
        })
    }

    /// The devices that are there.
    pub(super) fn attached(&self) -> BTreeSet<DeviceId> {
        let there = self.devices.iter().filter(|(_, device)| device.presence.current().is_some());
        there.map(|(id, _)| id.clone()).collect()
    }

    /// What runs on a device, without what the server itself keeps running for metadata.
    pub(super) fn shown(&self, id: &DeviceId) -> Vec<(usize, StreamConfig, Instant)> {
        let mut running = self.streams.running(id);
        running.retain(|(_, config, _)| !self.streams.is_companion(&Self::key(id, config.stream)));
        running
    }

    /// The same with the time of day.
    pub(super) fn running_streams(&self, id: &DeviceId) -> Vec<RunningStream> {
        let timed = |(sensor, config, since)| RunningStream { sensor, config, started_at: self.wall_time(since) };
        self.shown(id).into_iter().map(timed).collect()
    }

    pub(super) fn references(&self) -> References {
        let running = self.devices.keys().map(|id| (id.clone(), self.running_streams(id)));
        References {
            references: self.streams.references(),
            running: running.filter(|(_, list)| !list.is_empty()).collect(),
        }
    }

    pub(super) fn set_point_cloud(&mut self, id: DeviceId, active: bool) -> Result<()> {
        if !self.devices.contains_key(&id) {
            return Err(Error::unknown_device(&id));
        }
        if active {
            self.point_clouds.insert(id);
        } else {
            self.point_clouds.remove(&id);
        }
        Ok(())
    }

    pub(super) fn set_depth_range(&mut self, id: DeviceId, (min_m, max_m): (f32, f32)) -> Result<()> {
        if !self.devices.contains_key(&id) {
            return Err(Error::unknown_device(&id));
        }
        // Written so that NaN is refused, too.
        if !(min_m >= 0.0 && min_m < max_m && max_m <= MAX_DEPTH_M) {
            return Err(Error::invalid(format!(
                "The depth range must satisfy 0 <= min_depth < max_depth <= {MAX_DEPTH_M} metres."
            )));
        }
        self.check_media()?;
        self.media.set_depth_range(id.clone(), min_m, max_m);
        self.depth_ranges.insert(id, (min_m, max_m));
        Ok(())
    }
}

/// A size or rate of the configuration that this camera does not offer. A recording has what it has.
fn tell_of_other_profiles(config: &Config, info: &DeviceInfo, sensors: &[SensorInfo]) {
    if info.playback {
        return;
    }
    for (key, stream) in
        [("color", StreamType::Color), ("depth", StreamType::Depth), ("infrared", StreamType::Infrared(1))]
    {
        let wanted = config.streams.of(stream).profile();
        // A camera without such a stream needs no word.
        let Ok((_, found)) = profile::choose_default(sensors, stream, wanted) else { continue };
        if found.profile != wanted {
            warn!(
                device = %info.device_id,
                "streams.{key} asks for {wanted}, which this camera does not offer; {} is the nearest and is used. \
                 GET /api/devices/{}/sensors lists what it offers",
                found.profile,
                info.device_id
            );
        }
    }
}
