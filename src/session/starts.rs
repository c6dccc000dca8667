//! The actor's part about explicit starts and stops, of a device and of one sensor of it: what they may change, what they hold,
//! and what is answered.

use std::{collections::BTreeMap, time::Instant};

use tracing::{info, warn};

use super::{
    api::{SensorStatus, StartRequest, Started, Stopped, StreamStatus},
    command::Reply,
    state::{Actor, PendingStart},
};
use crate::{
    core::wishes::{profile, references::Holder},
    error::{Error, Result},
    model::{DeviceId, Profile, SensorInfo, StreamConfig, StreamKey},
};

impl Actor {
    pub(super) fn start(&mut self, now: Instant, request: StartRequest, reply: Reply<Started>) {
        // One whose requester went away is in nobody's way.
        self.finish_starts();
        let restarts = match self.check_start(&request) {
            Ok(restarts) => restarts,
            // A requester that went away needs no answer.
            Err(error) => return drop(reply.send(Err(error))),
        };
        let StartRequest { device, sensor, configs } = request;
        let key = |config: &StreamConfig| Self::key(&device, config.stream);
        let reused = restarts.is_empty() && configs.iter().all(|(_, config)| self.streams.is_running(&key(config)));
        self.start_count += 1;
        let (number, holder) = (self.start_count, Holder::Start(self.start_count));
        for (sensor, config) in &configs {
            if let Err(error) = self.streams.acquire(now, &key(config), holder.clone(), *sensor, *config) {
                self.streams.release(now, &device, &holder);
                return drop(reply.send(Err(error)));
            }
        }
        let names: Vec<_> = configs.iter().map(|(_, config)| config.stream.to_string()).collect();
        info!(%device, ?sensor, streams = names.join("+"), "explicit start");
        self.restart(now, &device, &restarts, &holder);
        self.starts.push(PendingStart { reply, number, device, sensor, reused, configs });
        self.finish_starts();
    }

    /// Has streams that run run otherwise, under everybody who watches them.
    pub(super) fn restart(&mut self, now: Instant, device: &DeviceId, configs: &[StreamConfig], by: &Holder) {
        for config in configs {
            info!(%device, stream = %config.stream, profile = %config.profile, "the stream is to run otherwise");
        }
        self.streams.restart(now, device, configs, by);
        // Whoever waits for one of them gets it as it will be.
        for offer in self.offers.values_mut().filter(|offer| offer.device == *device) {
            for stream in &mut offer.streams {
                let Some(config) = configs.iter().find(|config| config.stream == stream.stream_type) else { continue };
                if stream.profile != config.profile {
                    stream.note = Some(format!(
                        "It was chosen to run at {} and gets {}: somebody restarted its sensor.",
                        stream.profile, config.profile
                    ));
                    stream.profile = config.profile;
                }
            }
        }
    }

    /// A stream that was to run otherwise could not, and is brought back as it was.
    pub(super) fn restart_refused(&mut self, now: Instant, key: &StreamKey, error: &Error, by: Holder) {
        warn!(stream = %key, error = error.for_log(), "the stream could not be restarted otherwise; it is brought back as it was");
        let profile = self.streams.config(key).map(|config| config.profile);
        let offers = self.offers.values_mut().filter(|offer| offer.device == key.device);
        for stream in offers.flat_map(|offer| &mut offer.streams).filter(|stream| stream.stream_type == key.stream) {
            (stream.profile, stream.note) = (profile.unwrap_or(stream.profile), None);
        }
        self.stream_failed(now, key, error, &[by]);
    }

    /// Takes starts back; the clients that wait for them are told why.
    pub(super) fn refuse_starts(&mut self, now: Instant, starts: Vec<PendingStart>, why: &Error) {
        for start in starts {
            // First, so that nothing is held any more when the refusal is heard.
            self.let_go(now, &start.device, start.number);
            drop(start.reply.send(Err(why.clone())));
        }
    }

    /// Gives back what an unanswered request holds, and what it has under way becomes what it was.
    pub(super) fn let_go(&mut self, now: Instant, device: &DeviceId, number: u64) {
        self.streams.undo_restarts(device, &Holder::Start(number));
        self.streams.release(now, device, &Holder::Start(number));
    }

    /// Everything that can be refused is refused here, before anything changes. Gives what runs and is to run otherwise.
    fn check_start(&self, request: &StartRequest) -> Result<Vec<StreamConfig>> {
        let device = &request.device;
        let sensors = self.usable(device)?;
        let mut on_sensor: BTreeMap<usize, StreamConfig> = BTreeMap::new();
        let mut otherwise = Vec::new();
        for (sensor, config) in &request.configs {
            profile::check(sensors, *sensor, config).map_err(|error| self.with_usb_hint(device, error))?;
            let key = Self::key(device, config.stream);
            self.streams.check(&key)?;
            // Depth and both infrareds come from one sensor, which runs all of them at one size and rate.
            if request.sensor.is_some() && config.stream.is_video() {
                check_same(on_sensor.entry(*sensor).or_insert(*config), config)?;
            }
            // What only lingers is in nobody's way.
            let running = self.streams.held_config(&key);
            // The pixel format is how frames come from the camera; a viewer never sees it.
            if running.is_some_and(|running| running.profile == config.profile) {
                continue;
            }
            // A sensor's own start restarts it; what the server itself had run at some rate for its metadata is nobody's choice.
            let may_restart = request.sensor.is_some() || self.streams.is_companion(&key);
            if let Some(running) = running {
                if !may_restart {
                    return Err(Error::conflict(format!(
                        "{} runs already at {}; stop it first or start it with the same parameters.",
                        config.stream, running.profile
                    )));
                }
                self.check_started(&key)?;
                otherwise.push(*config);
            }
            if !config.stream.is_video() {
                continue;
            }
            if let Some(sibling) = self.streams.held_sensor_config(device, *sensor).filter(|_| !may_restart)
                && sibling.profile != config.profile
            {
                return Err(Error::conflict(format!(
                    "{} must have the same size and rate as {}, because one sensor delivers both: {}.",
                    config.stream, sibling.stream, sibling.profile
                )));
            }
            check_same(on_sensor.entry(*sensor).or_insert(*config), config)?;
        }
        for (sensor, config) in on_sensor {
            if request.sensor.is_some() {
                self.add_siblings(device, sensors, sensor, config.profile, &mut otherwise)?;
            }
        }
        self.check_not_recorded(device, &otherwise)?;
        Ok(otherwise)
    }

    /// Adds the other streams of a sensor that somebody holds, at the profile that the sensor is to run at.
    pub(super) fn add_siblings(
        &self,
        device: &DeviceId,
        sensors: &[SensorInfo],
        sensor: usize,
        profile: Profile,
        otherwise: &mut Vec<StreamConfig>,
    ) -> Result<()> {
        for running in self.streams.held_on_sensor(device, sensor) {
            let known = otherwise.iter().any(|config| config.stream == running.stream);
            if known || running.profile == profile {
                continue;
            }
            let Ok((_, config)) = profile::choose(sensors, running.stream, profile) else {
                return Err(Error::conflict(format!(
                    "{} runs at {} on the same sensor, which runs all its pictures at one size and rate, and is not offered \
                     at {profile}. Stop it first, or choose what both offer.",
                    running.stream, running.profile
                )));
            };
            self.check_started(&Self::key(device, running.stream))?;
            otherwise.push(config);
        }
        Ok(())
    }

    /// A stream that starts for the first time has nothing to go back to, and somebody waits for it as it is.
    pub(super) fn check_started(&self, key: &StreamKey) -> Result<()> {
        if self.streams.is_first_start(key) {
            return Err(Error::unavailable(format!(
                "{key} is just being started for somebody else. Try again in a moment."
            )));
        }
        Ok(())
    }

    /// What is being recorded stays as it is.
    pub(super) fn check_not_recorded(&self, device: &DeviceId, otherwise: &[StreamConfig]) -> Result<()> {
        let recorded = self.streams.held_by(device, &Holder::Recording);
        let Some(config) = otherwise.iter().find(|config| recorded.contains(&config.stream)) else { return Ok(()) };
        let running = self.streams.config(&Self::key(device, config.stream)).unwrap_or(*config);
        Err(Error::conflict(format!(
            "{} is being recorded at {}, so its sensor cannot be restarted at {} now. End the recording first.",
            config.stream, running.profile, config.profile
        )))
    }

    /// Answers the starts whose streams all run. The answer is what makes them the explicit start of their device or sensor: of
    /// one whose requester went away before it nothing stays, because nobody would know to stop it.
    pub(super) fn finish_starts(&mut self) {
        let now = tokio::time::Instant::now().into_std();
        let mut waiting = std::mem::take(&mut self.starts);
        let ready = |start: &mut PendingStart| {
            let runs = |config: &StreamConfig| self.streams.is_running(&Self::key(&start.device, config.stream));
            start.reply.is_closed() || start.configs.iter().all(|(_, config)| runs(config))
        };
        let ready: Vec<_> = waiting.extract_if(.., ready).collect();
        self.starts = waiting;
        for start in ready {
            let other = start.configs.iter().find_map(|(_, asked)| {
                let runs = self.streams.config(&Self::key(&start.device, asked.stream))?;
                (runs.profile != asked.profile && !start.reply.is_closed()).then_some(runs)
            });
            match other {
                // Somebody restarted it otherwise meanwhile, or what it waited for was refused to somebody else.
                Some(runs) => {
                    let why = Error::conflict(format!(
                        "{} runs at {} now, because of another request that came meanwhile; ask again if it is to run otherwise.",
                        runs.stream, runs.profile
                    ));
                    self.refuse_starts(now, vec![start], &why);
                }
                None => self.finish_start(now, start),
            }
        }
    }

    fn finish_start(&mut self, now: Instant, start: PendingStart) {
        let PendingStart { reply, number, device, sensor, reused, configs } = start;
        let answer = self.status(now, &device).and_then(|status| {
            let sensor = sensor.map(|sensor| self.sensor_status(&device, sensor)).transpose()?;
            Ok(Started { status, sensor, reused })
        });
        if reply.send(answer).is_ok() {
            let holder = if sensor.is_some() { Holder::Sensor } else { Holder::Explicit };
            for (sensor, config) in &configs {
                // It runs, so nothing refuses this.
                let _ = self.streams.acquire(now, &Self::key(&device, config.stream), holder.clone(), *sensor, *config);
            }
            // A sensor's start holds exactly what it named, whatever an earlier one held.
            let held = sensor.map(|sensor| self.streams.held_of_sensor(&device, sensor, &holder)).unwrap_or_default();
            for stream in held {
                if !configs.iter().any(|(_, config)| config.stream == stream) {
                    self.streams.release_one(now, &Self::key(&device, stream), &holder);
                }
            }
        } else {
            info!(%device, "not started: the client that asked for it went away");
        }
        self.let_go(now, &device, number);
    }

    pub(super) fn stop(&mut self, now: Instant, id: &DeviceId) -> Result<Stopped> {
        if !self.devices.contains_key(id) {
            return Err(Error::unknown_device(id));
        }
        let waiting = self.starts.extract_if(.., |start| start.device == *id).collect();
        self.refuse_starts(now, waiting, &taken_back());
        self.streams.release(now, id, &Holder::Explicit);
        self.streams.release(now, id, &Holder::Sensor);
        self.streams.stop_lingering(id, None);
        info!(device = %id, "explicit stop");
        let status = self.status(now, id)?;
        let held_by = self.streams.viewers(id);
        // Old clients read of the answer whether they have stopped what they started: what viewers hold is told apart.
        let mut left = status.active_streams.clone();
        left.retain(|stream| self.streams.is_held_without_viewers(&Self::key(id, *stream)));
        let only_viewers = left.is_empty() && !held_by.is_empty();
        let status = StreamStatus {
            is_streaming: !left.is_empty(),
            stopping: only_viewers || status.stopping,
            framerate: status.framerate.filter(|_| !left.is_empty()),
            duration: status.duration.filter(|_| !left.is_empty()),
            active_streams: left,
            ..status
        };
        Ok(Stopped { status, held_by })
    }

    /// Gives back what a sensor's own start holds, and this sensor's part of its device's.
    pub(super) fn stop_sensor(&mut self, now: Instant, id: &DeviceId, sensor: usize) -> Result<SensorStatus> {
        // Before anything changes.
        self.sensor_status(id, sensor)?;
        for start in self.starts.iter_mut().filter(|start| start.device == *id) {
            for (_, config) in start.configs.extract_if(.., |(of, _)| *of == sensor) {
                self.streams.release_one(now, &Self::key(id, config.stream), &Holder::Start(start.number));
            }
        }
        let waiting = self.starts.extract_if(.., |start| start.configs.is_empty()).collect();
        self.refuse_starts(now, waiting, &taken_back());
        for holder in [Holder::Sensor, Holder::Explicit] {
            for stream in self.streams.held_of_sensor(id, sensor, &holder) {
                self.streams.release_one(now, &Self::key(id, stream), &holder);
            }
        }
        self.streams.stop_lingering(id, Some(sensor));
        info!(device = %id, sensor, "explicit stop");
        self.finish_starts();
        self.sensor_status(id, sensor)
    }

    pub(super) fn sensor_status(&self, id: &DeviceId, sensor: usize) -> Result<SensorStatus> {
        let device = self.devices.get(id).ok_or_else(|| Error::unknown_device(id))?;
        let Some(info) = device.sensors.iter().find(|info| info.index == sensor) else {
            // Of one that was never opened nothing is known yet.
            let error = || Error::not_found(format!("Device {id} has no sensor {sensor}."));
            return Err(device.trouble.clone().filter(|_| device.sensors.is_empty()).unwrap_or_else(error));
        };
        let mut streams = self.running_streams(id);
        streams.retain(|stream| stream.sensor == sensor);
        let interrupted = || {
            let mut offered: Vec<_> = info.profiles.iter().map(|profile| profile.stream).collect();
            offered.dedup();
            offered.into_iter().find_map(|stream| self.streams.trouble(&Self::key(id, stream)))
        };
        let trouble = device.trouble.as_ref().or_else(interrupted).cloned();
        Ok(SensorStatus { sensor, name: info.name.clone(), streams, trouble })
    }
}

fn taken_back() -> Error {
    Error::unavailable("The start was taken back by a stop request.")
}

/// Refuses two streams of one sensor with different sizes or rates.
fn check_same(first: &StreamConfig, other: &StreamConfig) -> Result<()> {
    if first.profile == other.profile {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{} and {} come from the same sensor and must have the same resolution and framerate.",
        first.stream, other.stream
    )))
}
