//! Who wants which stream of which device, and when one that nobody wants any more is stopped. References are sets of holders, so a
//! double release cannot steal another viewer's. Takes `now`, returns effects; reads no clock, calls nobody.

mod look;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::{Duration, Instant},
};

pub use super::effects::{Applied, Effect, Holder, Timing};
use crate::{
    error::{Error, Result},
    model::{DeviceId, StreamConfig, StreamKey, StreamType},
};

/// Least and greatest time between attempts to bring an interrupted stream back.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A stream that ran this long before it broke starts over with the least pause.
const RAN_WELL: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting {
        deadline: Instant,
    },
    /// `attempt` is how often it was retried before it ran.
    Running {
        since: Instant,
        attempt: u32,
    },
    Interrupted {
        retry_at: Option<Instant>,
        attempt: u32,
    },
}

#[derive(Debug)]
struct Restart {
    before: StreamConfig,
    by: Holder,
}

#[derive(Debug)]
struct Stream {
    sensor: usize,
    config: StreamConfig,
    holders: BTreeSet<Holder>,
    state: State,
    linger_until: Option<Instant>,
    /// While it is being restarted: what it was, and who asked. It becomes that again if the camera refuses.
    restart: Option<Restart>,
    /// Why it is interrupted.
    trouble: Option<Error>,
    /// The first apply that asks for it: what an earlier one made run is an earlier stream of that type.
    asked_in: u64,
}

impl Stream {
    /// However many start the stream over REST, the device's starts are one reference and its sensor's are one: one stop ends
    /// each. What is not answered yet counts only where neither is there.
    fn references(&self) -> usize {
        let count = |which: fn(&Holder) -> bool| self.holders.iter().filter(|holder| which(holder)).count();
        let explicit = count(|holder| matches!(holder, Holder::Explicit | Holder::Sensor));
        let pending = count(|holder| matches!(holder, Holder::Start(_)));
        let others = count(|holder| matches!(holder, Holder::Session(_) | Holder::Recording));
        others + explicit.max(pending.min(1))
    }

    /// Whether it ran before, and its camera is asked to run it otherwise.
    fn is_restarting(&self) -> bool {
        self.restart.is_some() && matches!(self.state, State::Starting { .. })
    }

    /// Whether it runs on only because somebody may come back.
    fn lingers(&self) -> bool {
        self.linger_until.is_some()
    }

    /// Whether it cannot run beside `config` on a sensor: the same stream otherwise, or another of a sensor that runs all
    /// its pictures at one size and rate. The pixel format is how frames come from the camera; a viewer never sees it.
    fn is_in_the_way(&self, sensor: usize, config: &StreamConfig) -> bool {
        let same = self.config.stream == config.stream;
        let sibling = self.sensor == sensor && self.config.stream.is_video() && config.stream.is_video();
        (same || sibling) && self.config.profile != config.profile
    }
}

#[derive(Debug, Default)]
struct Device {
    present: bool,
    generation: u64,
    streams: BTreeMap<StreamType, Stream>,
}

/// The table of streams.
#[derive(Debug)]
pub struct Streams {
    timing: Timing,
    devices: BTreeMap<DeviceId, Device>,
    effects: Vec<Effect>,
    dirty: BTreeSet<DeviceId>,
}

impl Streams {
    /// An empty table.
    pub fn new(timing: Timing) -> Self {
        Self { timing, devices: BTreeMap::new(), effects: Vec::new(), dirty: BTreeSet::new() }
    }

    /// What is to be done since the last call. All changes of a device come as one apply.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        let mut effects = mem::take(&mut self.effects);
        for id in mem::take(&mut self.dirty) {
            let Some(device) = self.devices.get_mut(&id).filter(|device| device.present) else { continue };
            device.generation += 1;
            let wanted = device.streams.values().map(|stream| (stream.sensor, stream.config)).collect();
            effects.push(Effect::Apply { device: id, generation: device.generation, wanted });
        }
        effects
    }

    /// The device came (back): what was wanted of it is wanted again.
    pub fn device_present(&mut self, id: &DeviceId) {
        let device = self.devices.entry(id.clone()).or_default();
        device.present = true;
        if !device.streams.is_empty() {
            self.dirty.insert(id.clone());
        }
    }

    /// The device went: running streams are interrupted, starting ones fail.
    pub fn device_gone(&mut self, id: &DeviceId) {
        self.device_failed(id, &Error::unplugged(id));
    }

    /// The device is of no use now, for this reason: as if it had gone.
    pub fn device_failed(&mut self, id: &DeviceId, error: &Error) {
        let Some(device) = self.devices.get_mut(id) else { return };
        device.present = false;
        self.dirty.remove(id);
        for stream in device.streams.keys().copied().collect::<Vec<_>>() {
            self.lost(&StreamKey::new(id.clone(), stream), error, None);
        }
    }

    /// The device is known no more. What is wanted of it, nothing as a rule, keeps it.
    pub fn forget(&mut self, id: &DeviceId) {
        if self.devices.get(id).is_some_and(|device| !device.present && device.streams.is_empty()) {
            self.devices.remove(id);
        }
    }

    /// How many devices are known.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.devices.len()
    }

    /// Whether a reference could be taken now.
    ///
    /// # Errors
    /// Unavailable when the device is away or the stream is interrupted.
    pub fn check(&self, key: &StreamKey) -> Result<()> {
        let Some(device) = self.devices.get(&key.device).filter(|device| device.present) else {
            return Err(Error::unplugged(&key.device));
        };
        match device.streams.get(&key.stream) {
            Some(Stream { state: State::Interrupted { .. }, .. }) => {
                Err(Error::unavailable(format!("{key} is being restarted after an interruption; try again shortly.")))
            }
            _ => Ok(()),
        }
    }

    /// Takes a reference. A stream that is not there yet is started with this config; what only lingers and is in its way
    /// ends at once.
    ///
    /// # Errors
    /// Unavailable when the device is away or the stream is interrupted; nothing changes then.
    pub fn acquire(
        &mut self,
        now: Instant,
        key: &StreamKey,
        holder: Holder,
        sensor: usize,
        config: StreamConfig,
    ) -> Result<()> {
        self.check(key)?;
        self.end_lingering(&key.device, |stream| stream.is_in_the_way(sensor, &config));
        let device = self.devices.entry(key.device.clone()).or_default();
        match device.streams.get_mut(&key.stream) {
            Some(stream) => {
                stream.holders.insert(holder);
                stream.linger_until = None;
            }
            None => {
                let state = State::Starting { deadline: now + self.timing.start_timeout };
                let holders = BTreeSet::from([holder]);
                let asked_in = device.generation + 1;
                let stream = Stream {
                    sensor,
                    config,
                    holders,
                    state,
                    linger_until: None,
                    restart: None,
                    trouble: None,
                    asked_in,
                };
                device.streams.insert(key.stream, stream);
                self.dirty.insert(key.device.clone());
            }
        }
        Ok(())
    }

    /// Has streams that are there run otherwise, because `by` asks for it: their holders keep them. If the camera refuses, they
    /// are again what they were, and only `by` is told.
    pub fn restart(&mut self, now: Instant, id: &DeviceId, configs: &[StreamConfig], by: &Holder) {
        let deadline = now + self.timing.start_timeout;
        let Some(device) = self.devices.get_mut(id) else { return };
        for config in configs {
            let Some(stream) = device.streams.get_mut(&config.stream) else { continue };
            // The pixel format is how frames come from the camera; a viewer never sees it.
            if stream.config.profile == config.profile {
                continue;
            }
            // What never ran has nothing to go back to; what is restarted anew goes back to what ran.
            let ran = !matches!(stream.state, State::Starting { .. });
            let before = stream.restart.take().map(|restart| restart.before).or(ran.then_some(stream.config));
            stream.restart = before.map(|before| Restart { before, by: by.clone() });
            stream.config = *config;
            stream.state = State::Starting { deadline };
            stream.asked_in = device.generation + 1;
            self.dirty.insert(id.clone());
        }
    }

    /// Has what `by` asked to run otherwise, and does not yet, be what it was.
    pub fn undo_restarts(&mut self, id: &DeviceId, by: &Holder) {
        let Some(device) = self.devices.get_mut(id) else { return };
        for stream in device.streams.values_mut().filter(|stream| stream.is_restarting()) {
            let Some(Restart { before, .. }) = stream.restart.take_if(|restart| restart.by == *by) else { continue };
            stream.config = before;
            stream.state = State::Interrupted { retry_at: None, attempt: 0 };
            stream.asked_in = device.generation + 1;
            self.dirty.insert(id.clone());
        }
    }

    /// Gives every reference of a holder on a device back. Giving back what is not held does nothing. A session's streams
    /// linger, because a page reload comes back at once; an explicit stop is meant and takes effect now.
    pub fn release(&mut self, now: Instant, id: &DeviceId, holder: &Holder) {
        for stream in self.held_by(id, holder) {
            self.release_one(now, &StreamKey::new(id.clone(), stream), holder);
        }
    }

    /// Gives one reference back, as [`Self::release`] does for all of a device's.
    pub fn release_one(&mut self, now: Instant, key: &StreamKey, holder: &Holder) {
        let linger = self.timing.linger;
        let Some(stream) = self.stream_mut(key) else { return };
        if !stream.holders.remove(holder) || !stream.holders.is_empty() {
            return;
        }
        let at_once = !matches!(holder, Holder::Session(_)) || linger.is_zero();
        if at_once || matches!(stream.state, State::Interrupted { .. }) {
            self.remove(key);
        } else {
            stream.linger_until = Some(now + linger);
        }
    }

    /// Ends what only lingers on a device, or on one sensor of it, because somebody asks that to stop.
    pub fn stop_lingering(&mut self, id: &DeviceId, sensor: Option<usize>) {
        self.end_lingering(id, |stream| sensor.is_none_or(|sensor| stream.sensor == sensor));
    }

    fn end_lingering(&mut self, id: &DeviceId, which: impl Fn(&Stream) -> bool) {
        let streams = self.devices.get(id).into_iter().flat_map(|device| &device.streams);
        let ending =
            streams.filter(|(_, stream)| stream.lingers() && which(stream)).map(|(stream_type, _)| *stream_type);
        for stream in ending.collect::<Vec<_>>() {
            self.remove(&StreamKey::new(id.clone(), stream));
        }
    }

    /// The camera manager's answer to an apply. What a stale answer says runs is believed of streams that this apply asked
    /// for, not of those that were let go and taken again since; what it says failed is not, because a newer apply is on its
    /// way.
    pub fn applied(&mut self, now: Instant, id: &DeviceId, generation: u64, applied: Applied) {
        let Some(device) = self.devices.get_mut(id).filter(|device| device.present) else { return };
        let current = generation == device.generation;
        for config in applied.running {
            let meant = |stream: &&mut Stream| stream.config == config && stream.asked_in <= generation;
            let Some(stream) = device.streams.get_mut(&config.stream).filter(meant) else { continue };
            if !matches!(stream.state, State::Running { .. }) {
                let attempt = if let State::Interrupted { attempt, .. } = stream.state { attempt } else { 0 };
                stream.state = State::Running { since: now, attempt };
                stream.trouble = None;
                let restarted = stream.restart.take().is_some();
                let key = StreamKey::new(id.clone(), config.stream);
                self.effects.push(Effect::Running { key, config, restarted });
            }
        }
        if current {
            for (stream, error) in applied.failed {
                self.lost(&StreamKey::new(id.clone(), stream), &error, Some(now));
            }
        }
    }

    /// A running stream broke by itself while its device stayed; it is retried. Until `generation` the applies had been carried
    /// out by then: one that was let go and taken again since is another stream, whose own apply is on its way.
    pub fn broke(&mut self, now: Instant, key: &StreamKey, generation: u64, error: &Error) {
        if self.stream_mut(key).is_some_and(|stream| stream.asked_in <= generation) {
            self.lost(key, error, Some(now));
        }
    }

    /// When [`Self::handle_timeout`] is to be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let streams = self.devices.values().flat_map(|device| device.streams.values());
        streams
            .filter_map(|stream| {
                let own = match stream.state {
                    State::Starting { deadline } => Some(deadline),
                    State::Running { .. } => None,
                    State::Interrupted { retry_at, .. } => retry_at,
                };
                own.into_iter().chain(stream.linger_until).min()
            })
            .min()
    }

    /// Does what is due: stops lingering streams, gives up slow starts, retries interrupted ones.
    pub fn handle_timeout(&mut self, now: Instant) {
        let keys: Vec<StreamKey> = self
            .devices
            .iter()
            .flat_map(|(id, device)| device.streams.keys().map(|stream| StreamKey::new(id.clone(), *stream)))
            .collect();
        for key in keys {
            let Some(stream) = self.stream_mut(&key) else { continue };
            if stream.linger_until.is_some_and(|until| until <= now) {
                self.remove(&key);
                continue;
            }
            match &mut stream.state {
                State::Starting { deadline } if *deadline <= now => {
                    let seconds = self.timing.start_timeout.as_secs();
                    let error = Error::unavailable(format!(
                        "{key} did not start within {seconds} s. Check the camera's cable and try again."
                    ));
                    self.lost(&key, &error, Some(now));
                    self.dirty.insert(key.device);
                }
                State::Interrupted { retry_at, attempt } if retry_at.is_some_and(|at| at <= now) => {
                    *attempt += 1;
                    // The answer to the apply sets the next time; until then nothing is due.
                    *retry_at = None;
                    self.dirty.insert(key.device);
                }
                _ => {}
            }
        }
    }

    fn stream(&self, key: &StreamKey) -> Option<&Stream> {
        self.devices.get(&key.device)?.streams.get(&key.stream)
    }

    fn stream_mut(&mut self, key: &StreamKey) -> Option<&mut Stream> {
        self.devices.get_mut(&key.device)?.streams.get_mut(&key.stream)
    }

    /// A stream does not run: one that never did fails, one that did is interrupted, one that was to run otherwise is again what
    /// it was, one that nobody holds is dropped.
    fn lost(&mut self, key: &StreamKey, error: &Error, retry_from: Option<Instant>) {
        let Some(stream) = self.stream_mut(key) else { return };
        let restart = stream.restart.take().filter(|_| !stream.holders.is_empty());
        if let (State::Starting { .. }, Some(Restart { before, by })) = (stream.state, restart) {
            stream.config = before;
            stream.state = State::Interrupted { retry_at: None, attempt: 0 };
            stream.trouble = Some(error.clone());
            self.effects.push(Effect::RestartRefused { key: key.clone(), error: error.clone(), by });
            // Without its device there is nobody to ask; it is wanted again with the next one.
            if retry_from.is_some() {
                self.dirty.insert(key.device.clone());
            }
            return;
        }
        match stream.state {
            State::Starting { .. } => {
                let holders = mem::take(&mut stream.holders).into_iter().collect();
                self.effects.push(Effect::Failed { key: key.clone(), error: error.clone(), holders });
                self.remove(key);
            }
            _ if stream.holders.is_empty() => self.remove(key),
            State::Running { since, attempt } => {
                let ran_well = retry_from.is_none_or(|now| now.saturating_duration_since(since) >= RAN_WELL);
                let attempt = if ran_well { 0 } else { attempt };
                stream.state = State::Interrupted { retry_at: retry_from.map(|now| now + pause(attempt)), attempt };
                stream.trouble = Some(error.clone());
                self.effects.push(Effect::Interrupted { key: key.clone(), error: error.clone() });
            }
            State::Interrupted { attempt, .. } => {
                stream.state = State::Interrupted { retry_at: retry_from.map(|now| now + pause(attempt)), attempt };
                stream.trouble = Some(error.clone());
            }
        }
    }

    fn remove(&mut self, key: &StreamKey) {
        let Some(device) = self.devices.get_mut(&key.device) else { return };
        if device.streams.remove(&key.stream).is_some() {
            self.dirty.insert(key.device.clone());
            self.effects.push(Effect::Stopped { key: key.clone() });
        }
    }
}

/// The pause before the next attempt: doubles from the least to the greatest.
fn pause(attempt: u32) -> Duration {
    RETRY_MIN.saturating_mul(1 << attempt.min(6)).min(RETRY_MAX)
}
