//! One simulated device: whether it is plugged in, its options and faults, and the [`Camera`] that opens it.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use super::{
    backdrop::Backdrops,
    depth::DEPTH_UNITS_M,
    optics,
    options::Options,
    profiles::{self, SENSORS},
    sensor::{Running, chance, scene_epoch},
};
use crate::{
    camera::{Attached, BackendEvent, BackendEvents, Camera, FrameSink, SimFault, StreamConfig},
    error::{Error, Result},
    model::{Attachment, DeviceId, DeviceInfo, Extrinsics, Intrinsics, OptionInfo, SensorInfo, StreamType},
    sync::{Mutex, MutexGuard, lock},
};

/// How long a reset takes until the device is back.
const RESET: Duration = Duration::from_secs(1);

/// A place that a simulated device is plugged into.
pub(crate) struct Slot {
    pub(crate) id: DeviceId,
    pub(crate) index: usize,
    pub(crate) backdrops: Arc<Backdrops>,
    /// Where plugging is told; shared by all devices of the backend.
    pub(crate) events: Arc<Mutex<Option<BackendEvents>>>,
    state: Mutex<State>,
}

struct State {
    plugged: bool,
    /// Counts changes of `plugged`: what was opened before an unplug stays dead after the replug.
    generation: u64,
    /// Its newest stay; what the manager compares.
    attachment: Attachment,
    /// The generation in which a camera holds the device open.
    open: Option<u64>,
    since: Instant,
    options: [Options; 3],
    faults: Faults,
}

/// Faults in force.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) stall: bool,
    pub(crate) garbage: bool,
    fail_start: bool,
    drop: f64,
}

impl Faults {
    /// Whether this frame is lost.
    pub(crate) fn drops(&self, number: u64, stream: StreamType) -> bool {
        self.drop > 0.0 && chance(number, stream) < self.drop
    }
}

fn fresh_options() -> [Options; 3] {
    [0, 1, 2].map(Options::of_sensor)
}

impl Slot {
    pub(crate) fn new(
        index: usize,
        serial: u64,
        backdrops: Arc<Backdrops>,
        events: Arc<Mutex<Option<BackendEvents>>>,
    ) -> Self {
        scene_epoch();
        let state = State {
            plugged: true,
            generation: 0,
            attachment: Attachment::next(),
            open: None,
            since: Instant::now(),
            options: fresh_options(),
            faults: Faults::default(),
        };
        Self { id: DeviceId::new(serial.to_string()), index, backdrops, events, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What the API shows, and since when; `None` while it is unplugged.
    pub(crate) fn attached(&self) -> Option<Attached> {
        let attachment = {
            let state = self.state();
            state.plugged.then_some(state.attachment)?
        };
        let info = DeviceInfo {
            device_id: self.id.clone(),
            name: "Intel RealSense D435I (simulated)".into(),
            serial_number: self.id.to_string(),
            firmware_version: Some("5.16.0.1".into()),
            // There is no SDK that would recommend one.
            recommended_firmware_version: None,
            firmware_status: Some("unknown".into()),
            firmware_file_available: Some(false),
            physical_port: Some(format!("simulator/{}", self.index)),
            usb_type: Some("3.2".into()),
            product_id: Some("0B3A".into()),
            sensors: SENSORS.map(Into::into).into(),
            is_streaming: false,
            playback: false,
            presets: false,
            can_record: false,
            problem: None,
        };
        Some(Attached { attachment, info })
    }

    pub(crate) fn is_plugged(&self, generation: u64) -> bool {
        let state = self.state();
        state.plugged && state.generation == generation
    }

    pub(crate) fn options(&self, sensor: usize) -> Options {
        self.state().options[sensor].clone()
    }

    pub(crate) fn faults(&self) -> Faults {
        self.state().faults
    }

    /// Seconds of the scene's clock; each camera sees the ball at another place.
    pub(crate) fn scene_seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(scene_epoch()).as_secs_f64() + self.index as f64 * 1.37
    }

    /// Seconds since the device was plugged in.
    pub(crate) fn device_seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.state().since).as_secs_f64()
    }

    fn tell(&self, event: BackendEvent) {
        let events = lock(&self.events).clone();
        if let Some(events) = events {
            events(event);
        }
    }

    /// Pulls the cable; gives the generation without it. `None` if it was out.
    fn unplug(&self) -> Option<u64> {
        let generation = {
            let mut state = self.state();
            if !state.plugged {
                return None;
            }
            state.plugged = false;
            state.generation += 1;
            state.generation
        };
        tracing::info!(device = %self.id, "simulated camera unplugged");
        self.tell(BackendEvent::Removed(self.id.clone()));
        Some(generation)
    }

    /// Plugs it in again with everything at its defaults, unless it is in or (given a generation) was touched since.
    fn replug(&self, unless_touched_since: Option<u64>) {
        {
            let mut state = self.state();
            if state.plugged || unless_touched_since.is_some_and(|generation| generation != state.generation) {
                return;
            }
            state.plugged = true;
            state.generation += 1;
            state.attachment = Attachment::next();
            state.since = Instant::now();
            state.options = fresh_options();
        }
        tracing::info!(device = %self.id, "simulated camera plugged in");
        self.tell(BackendEvent::Added(self.id.clone()));
    }

    pub(crate) fn inject(&self, fault: SimFault) -> Result<()> {
        match fault {
            SimFault::Unplug => {
                // An unplug during a reset keeps the device out.
                if self.unplug().is_none() {
                    self.state().generation += 1;
                }
            }
            SimFault::Replug => self.replug(None),
            SimFault::Stall => self.state().faults.stall = true,
            SimFault::Drop(share) => {
                if !(0.0..=1.0).contains(&share) {
                    return Err(Error::invalid(format!("The share of dropped frames is 0 to 1; got {share}.")));
                }
                self.state().faults.drop = share;
            }
            SimFault::FailStart => self.state().faults.fail_start = true,
            SimFault::GarbageSize => self.state().faults.garbage = true,
            SimFault::Clear => self.state().faults = Faults::default(),
        }
        Ok(())
    }
}

/// A simulated device held open. Dropping it stops its sensors.
pub(crate) struct SimCamera {
    slot: Arc<Slot>,
    generation: u64,
    sink: FrameSink,
    running: [Option<Running>; 3],
}

impl SimCamera {
    pub(crate) fn open(slot: &Arc<Slot>, sink: FrameSink) -> Result<Self> {
        let mut state = slot.state();
        if !state.plugged {
            return Err(gone(&slot.id));
        }
        if state.open == Some(state.generation) {
            return Err(Error::unavailable(format!("Device {} is in use.", slot.id)));
        }
        state.open = Some(state.generation);
        Ok(Self { slot: slot.clone(), generation: state.generation, sink, running: [const { None }; 3] })
    }

    /// Locks the device's state if it is still the device that was opened.
    fn state(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.slot.state();
        if state.plugged && state.generation == self.generation { Ok(state) } else { Err(gone(&self.slot.id)) }
    }

    fn seconds(&self) -> f64 {
        self.slot.device_seconds(Instant::now())
    }
}

fn gone(id: &DeviceId) -> Error {
    Error::unavailable(format!("Device {id} is not connected."))
}

fn check_sensor(sensor: usize) -> Result<()> {
    if sensor < SENSORS.len() {
        return Ok(());
    }
    Err(Error::not_found(format!("There is no sensor {sensor}; this device has sensors 0 to {}.", SENSORS.len() - 1)))
}

impl Camera for SimCamera {
    fn sensors(&mut self) -> Result<Vec<SensorInfo>> {
        let seconds = self.seconds();
        let state = self.state()?;
        let sensor = |index: usize| SensorInfo {
            index,
            name: SENSORS[index].into(),
            profiles: profiles::of_sensor(index),
            options: state.options[index].all(seconds),
        };
        Ok((0..SENSORS.len()).map(sensor).collect())
    }

    fn start(&mut self, sensor: usize, streams: &[StreamConfig]) -> Result<()> {
        check_sensor(sensor)?;
        if self.state()?.faults.fail_start {
            return Err(Error::unavailable(format!("{} of device {} failed to start.", SENSORS[sensor], self.slot.id)));
        }
        if self.running[sensor].is_some() {
            return Err(Error::conflict(format!("{} of device {} runs already.", SENSORS[sensor], self.slot.id)));
        }
        profiles::check(sensor, streams)?;
        let running = Running::start(self.slot.clone(), self.generation, sensor, streams, self.sink.clone())?;
        self.running[sensor] = Some(running);
        Ok(())
    }

    fn stop(&mut self, sensor: usize) {
        if let Some(running) = self.running.get_mut(sensor) {
            *running = None;
        }
    }

    fn set_option(&mut self, sensor: usize, option: &str, value: f64) -> Result<()> {
        check_sensor(sensor)?;
        self.state()?.options[sensor].set(option, value)
    }

    fn option(&mut self, sensor: usize, option: &str) -> Result<OptionInfo> {
        check_sensor(sensor)?;
        let seconds = self.seconds();
        self.state()?.options[sensor].info(option, seconds)
    }

    fn depth_units(&mut self) -> f32 {
        DEPTH_UNITS_M
    }

    fn intrinsics(&mut self, stream: StreamType, width: u32, height: u32) -> Option<Intrinsics> {
        optics::intrinsics(stream, width, height)
    }

    fn extrinsics(&mut self, from: StreamType, to: StreamType) -> Option<Extrinsics> {
        optics::extrinsics(from, to)
    }

    fn hw_reset(&mut self) -> Result<()> {
        drop(self.state()?);
        let Some(generation) = self.slot.unplug() else { return Err(gone(&self.slot.id)) };
        let slot: Weak<Slot> = Arc::downgrade(&self.slot);
        let back = move || {
            std::thread::sleep(RESET);
            if let Some(slot) = slot.upgrade() {
                slot.replug(Some(generation));
            }
        };
        if let Err(error) = std::thread::Builder::new().name(format!("sim{}-reset", self.slot.index)).spawn(back) {
            tracing::error!(device = %self.slot.id, %error, "no thread for the reset; the device comes back at once");
            self.slot.replug(Some(generation));
        }
        Ok(())
    }
}

impl Drop for SimCamera {
    fn drop(&mut self) {
        self.running = [const { None }; 3];
        let mut state = self.slot.state();
        if state.open == Some(self.generation) {
            state.open = None;
        }
    }
}
