//! The simulated D435I: a product feature that lets everything be tried, tested and demonstrated without a camera.
//! One analytic room with a bouncing ball is the truth that colour, depth, both infrareds and motion all follow; every
//! picture carries its number and time ([`strip`]). It can be told to misbehave ([`SimFault`]).
//!
//! Never knows who watches: it delivers frames to a sink like any camera.

mod backdrop;
mod depth;
mod device;
mod imu;
mod materials;
mod noise;
pub mod optics;
mod options;
mod picture;
mod profiles;
mod scene;
mod sensor;
pub mod strip;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::{
    backdrop::Backdrops,
    device::{SimCamera, Slot},
};
use super::{Attached, Backend, BackendEvents, Camera, FrameSink, SimFault};
use crate::{
    error::{Error, Result},
    model::DeviceId,
    sync::{Mutex, lock},
};

/// Serial number of the first simulated camera; the next ones count up.
pub const FIRST_SERIAL: u64 = 844_212_070_924;

/// Simulated cameras.
pub struct SimBackend {
    slots: Vec<Arc<Slot>>,
    events: Arc<Mutex<Option<BackendEvents>>>,
}

impl SimBackend {
    /// A backend with `count` cameras, all plugged in.
    pub fn new(count: usize) -> Self {
        Self::starting_at(FIRST_SERIAL, count)
    }

    /// A backend with `count` cameras of these serial numbers and up, all plugged in.
    pub fn starting_at(first: u64, count: usize) -> Self {
        let (backdrops, events) = (Arc::new(Backdrops::default()), Arc::default());
        let slot = |i: usize| Arc::new(Slot::new(i, first + i as u64, backdrops.clone(), Arc::clone(&events)));
        Self { slots: (0..count).map(slot).collect(), events }
    }

    fn slot(&self, device: &DeviceId) -> Result<&Arc<Slot>> {
        let found = self.slots.iter().find(|slot| slot.id == *device);
        found.ok_or_else(|| Error::not_found(format!("Device {device} is not a simulated camera.")))
    }
}

impl Backend for SimBackend {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn sdk_version(&self) -> Option<String> {
        None
    }

    fn set_events(&self, events: BackendEvents) {
        *lock(&self.events) = Some(events);
    }

    fn attached(&self) -> Vec<Attached> {
        self.slots.iter().filter_map(|slot| slot.attached()).collect()
    }

    fn open(&self, device: &DeviceId, frames: FrameSink) -> Result<Box<dyn Camera>> {
        Ok(Box::new(SimCamera::open(self.slot(device)?, frames)?))
    }

    fn inject_fault(&self, device: &DeviceId, fault: SimFault) -> Result<()> {
        self.slot(device)?.inject(fault)
    }
}
