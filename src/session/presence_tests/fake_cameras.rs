//! Cameras and recordings that come and go as a test says.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Weak},
};

use tokio::sync::watch;

use crate::{
    camera::{Attached, Backend, BackendEvent, BackendEvents, Camera, FrameSink, StreamConfig},
    error::{Error, Result},
    model::{
        Attachment, DeviceId, DeviceInfo, Extrinsics, Intrinsics, OptionInfo, PixelFormat, Profile, SensorInfo,
        SensorProfile, StreamType,
    },
    sync::{Condvar, Mutex},
};

pub(super) const COLOR: StreamConfig = StreamConfig {
    stream: StreamType::Color,
    format: PixelFormat::Rgb8,
    profile: Profile { width: 640, height: 480, framerate: 30 },
};

/// The other that a sensor offers.
pub(super) const SLOWER: StreamConfig =
    StreamConfig { profile: Profile { width: 640, height: 480, framerate: 15 }, ..COLOR };

/// What is there, and what of it runs.
#[derive(Debug, Default, Clone)]
pub(super) struct World {
    pub(super) attached: BTreeMap<DeviceId, Attachment>,
    pub(super) running: BTreeSet<DeviceId>,
}

/// Cameras and recordings that come and go at once.
pub(super) struct Fake {
    pub(super) world: Arc<watch::Sender<World>>,
    events: Mutex<Option<BackendEvents>>,
    /// The one that does not finish a start now.
    slow: Mutex<Option<DeviceId>>,
    quick: Condvar,
    pub(super) myself: Weak<Fake>,
}

impl Fake {
    pub(super) fn new() -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            world: Arc::default(),
            events: Mutex::default(),
            slow: Mutex::default(),
            quick: Condvar::default(),
            myself: myself.clone(),
        })
    }

    /// Has this device not finish a start, until another is named or none.
    pub(super) fn slow_down(&self, device: Option<&DeviceId>) {
        *self.slow.lock().unwrap() = device.cloned();
        self.quick.notify_all();
    }

    fn tell(&self, event: BackendEvent) {
        let events = self.events.lock().unwrap().clone();
        events.into_iter().for_each(|events| events(event.clone()));
    }

    pub(super) fn plug(&self, id: &DeviceId) -> bool {
        let came = self.world.send_if_modified(|world| {
            let came = !world.attached.contains_key(id);
            world.attached.entry(id.clone()).or_insert_with(Attachment::next);
            came
        });
        if came {
            self.tell(BackendEvent::Added(id.clone()));
        }
        came
    }

    pub(super) fn unplug(&self, id: &DeviceId) -> bool {
        let went = self.world.send_if_modified(|world| {
            world.running.remove(id);
            world.attached.remove(id).is_some()
        });
        if went {
            self.tell(BackendEvent::Removed(id.clone()));
        }
        went
    }
}

pub(super) fn info(id: &DeviceId) -> DeviceInfo {
    DeviceInfo {
        device_id: id.clone(),
        name: "Fake".into(),
        serial_number: id.to_string(),
        firmware_version: None,
        recommended_firmware_version: None,
        firmware_status: Some("unknown".into()),
        firmware_file_available: None,
        physical_port: None,
        usb_type: None,
        product_id: None,
        sensors: Vec::new(),
        is_streaming: false,
        playback: id.as_str().ends_with("-rec"),
        presets: false,
        can_record: false,
        problem: None,
    }
}

impl Backend for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn sdk_version(&self) -> Option<String> {
        Some("1".into())
    }

    fn set_events(&self, events: BackendEvents) {
        *self.events.lock().unwrap() = Some(events);
    }

    fn attached(&self) -> Vec<Attached> {
        let attached =
            |(id, attachment): (&DeviceId, &Attachment)| Attached { attachment: *attachment, info: info(id) };
        self.world.borrow().attached.iter().map(attached).collect()
    }

    fn open_recording(&self, file: &Path) -> Result<DeviceId> {
        let id = DeviceId::new(format!("{}-rec", file.file_stem().unwrap().to_str().unwrap()));
        if self.plug(&id) { Ok(id) } else { Err(Error::conflict("open already")) }
    }

    fn close_recording(&self, device: &DeviceId) -> Result<()> {
        if self.unplug(device) { Ok(()) } else { Err(Error::unknown_device(device)) }
    }

    fn open(&self, device: &DeviceId, _: FrameSink) -> Result<Box<dyn Camera>> {
        let attachment = self.world.borrow().attached.get(device).copied();
        let attachment = attachment.ok_or_else(|| Error::unplugged(device))?;
        Ok(Box::new(FakeCamera { backend: self.myself.clone(), id: device.clone(), attachment }))
    }
}

pub(super) struct FakeCamera {
    pub(super) backend: Weak<Fake>,
    pub(super) id: DeviceId,
    pub(super) attachment: Attachment,
}

impl FakeCamera {
    /// Changes what runs, if this attachment lasts.
    fn change(&self, change: impl FnOnce(&mut BTreeSet<DeviceId>, &DeviceId)) -> Result<()> {
        let backend = self.backend.upgrade().ok_or_else(|| Error::unplugged(&self.id))?;
        let lasts = backend.world.send_if_modified(|world| {
            let lasts = world.attached.get(&self.id) == Some(&self.attachment);
            if lasts {
                change(&mut world.running, &self.id);
            }
            lasts
        });
        if lasts { Ok(()) } else { Err(Error::unplugged(&self.id)) }
    }
}

impl Camera for FakeCamera {
    fn sensors(&mut self) -> Result<Vec<SensorInfo>> {
        let offered = |StreamConfig { stream, format, profile }| SensorProfile { stream, format, profile };
        let profiles = [COLOR, SLOWER].map(offered).into();
        self.change(|_, _| {})?;
        Ok(vec![SensorInfo { index: 0, name: "RGB Camera".into(), profiles, options: Vec::new() }])
    }

    fn start(&mut self, _: usize, _: &[StreamConfig]) -> Result<()> {
        if let Some(backend) = self.backend.upgrade() {
            let slow = backend.slow.lock().unwrap();
            drop(backend.quick.wait_while(slow, |slow| slow.as_ref() == Some(&self.id)).unwrap());
        }
        self.change(|running, id| {
            running.insert(id.clone());
        })
    }

    fn stop(&mut self, _: usize) {
        // What is unplugged runs no more already.
        let _ = self.change(|running, id| {
            running.remove(id);
        });
    }

    fn set_option(&mut self, _: usize, _: &str, _: f64) -> Result<()> {
        Err(Error::not_found("no options"))
    }

    fn option(&mut self, _: usize, _: &str) -> Result<OptionInfo> {
        Err(Error::not_found("no options"))
    }

    fn depth_units(&mut self) -> f32 {
        0.001
    }

    fn intrinsics(&mut self, _: StreamType, _: u32, _: u32) -> Option<Intrinsics> {
        None
    }

    fn extrinsics(&mut self, _: StreamType, _: StreamType) -> Option<Extrinsics> {
        None
    }

    fn hw_reset(&mut self) -> Result<()> {
        Ok(())
    }
}
