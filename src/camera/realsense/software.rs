//! The SDK's software device, fed by the simulator: everything the server does with a real camera, through the real library,
//! without hardware. For tests, and for people who want to see that the library of this machine works.
//!
//! The device's identity, profiles and options are the simulated D435I's; frames go through the SDK, not around it.

use std::{collections::BTreeMap, sync::Arc};

use tracing::{debug, warn};

use crate::{
    camera::{Backend, Camera, Frame, SimFault, StreamConfig, sim::SimBackend},
    error::{Error, Result},
    librealsense::{
        CameraInfo, OptionId, OptionRange, Sdk, SdkError, SoftwareDevice, SoftwareFrame, SoftwareSensor,
        SoftwareStream, StreamProfile,
    },
    model::{DeviceId, OptionInfo, PixelFormat, SensorInfo, SensorProfile, StreamType},
    sync::{Mutex, MutexGuard, RwLock, lock, lock_read, lock_write},
};

/// The serial number, beside those of simulated cameras.
const SERIAL: u64 = 954_212_070_924;

/// A software device and the simulated camera that feeds it.
pub(super) struct Feeder {
    sdk: Sdk,
    id: DeviceId,
    sim: SimBackend,
    device: SoftwareDevice,
    feeds: Arc<Vec<Feed>>,
    camera: Mutex<Option<Box<dyn Camera>>>,
}

/// One sensor being fed.
struct Feed {
    sensor: SoftwareSensor,
    profiles: Vec<(SensorProfile, StreamProfile)>,
    /// The profiles that run, by stream.
    running: RwLock<BTreeMap<StreamType, StreamProfile>>,
}

/// The SDK's number of a stream: all profiles of a stream share it.
fn unique_id(stream: StreamType) -> i32 {
    match stream {
        StreamType::Depth => 1,
        StreamType::Color => 2,
        StreamType::Infrared(n) => 2 + i32::from(n),
        StreamType::Gyro => 10,
        StreamType::Accel => 11,
    }
}

impl Feeder {
    /// Makes the device; it is not in a context yet.
    pub(super) fn new(sdk: Sdk) -> std::result::Result<Self, SdkError> {
        let sim = SimBackend::starting_at(SERIAL, 1);
        let id = DeviceId::new(SERIAL.to_string());
        let broken = |error: Error| SdkError { message: error.to_string(), function: "simulator".into() };
        let mut camera = sim.open(&id, Arc::new(|_| {})).map_err(broken)?;
        let sensors = camera.sensors().map_err(broken)?;
        let device = SoftwareDevice::new(sdk)?;
        for (info, value) in [
            (CameraInfo::Name, "Intel RealSense D435I (software device)".to_owned()),
            (CameraInfo::SerialNumber, id.to_string()),
            (CameraInfo::FirmwareVersion, "5.16.0.1".to_owned()),
            (CameraInfo::RecommendedFirmwareVersion, "5.16.0.1".to_owned()),
            (CameraInfo::PhysicalPort, "software device".to_owned()),
            (CameraInfo::ProductId, "0B3A".to_owned()),
            (CameraInfo::UsbType, "3.2".to_owned()),
            (CameraInfo::ProductLine, "D400".to_owned()),
        ] {
            device.set_info(info, &value)?;
        }
        let feeds: Vec<_> = sensors
            .iter()
            .map(|sensor| Feed::new(sdk, &device, camera.as_mut(), sensor))
            .collect::<std::result::Result<_, _>>()?;
        relate(&feeds, camera.as_mut())?;
        Ok(Self { sdk, id, sim, device, feeds: Arc::new(feeds), camera: Mutex::default() })
    }

    pub(super) fn id(&self) -> &DeviceId {
        &self.id
    }

    pub(super) fn device(&self) -> &SoftwareDevice {
        &self.device
    }

    fn camera(&self) -> MutexGuard<'_, Option<Box<dyn Camera>>> {
        lock(&self.camera)
    }

    /// Opens the simulated camera.
    pub(super) fn open(&self) -> Result<()> {
        let feeds = self.feeds.clone();
        let opened = self.sim.open(&self.id, Arc::new(move |frame| give(&feeds, &frame)))?;
        *self.camera() = Some(opened);
        Ok(())
    }

    pub(super) fn close(&self) {
        // Taken out first: closing waits for the simulator's threads, which may be giving a frame.
        let camera = self.camera().take();
        drop(camera);
    }

    pub(super) fn start(&self, sensor: usize, streams: &[StreamConfig]) -> Result<()> {
        let Some(feed) = self.feeds.get(sensor) else { return Ok(()) };
        let running = streams
            .iter()
            .filter_map(|config| {
                let what = SensorProfile { stream: config.stream, format: config.format, profile: config.profile };
                let (_, profile) = feed.profiles.iter().find(|(known, _)| *known == what)?;
                Some((config.stream, profile.clone()))
            })
            .collect();
        *lock_write(&feed.running) = running;
        self.with_camera(|camera| camera.start(sensor, streams))
    }

    pub(super) fn stop(&self, sensor: usize) {
        // Nothing to stop when the device is closed already.
        let _ = self.with_camera(|camera| {
            camera.stop(sensor);
            Ok(())
        });
        if let Some(feed) = self.feeds.get(sensor) {
            lock_write(&feed.running).clear();
        }
    }

    /// Hands an option on to the simulated camera, and shows in the SDK what else it changed: setting the exposure turns auto
    /// exposure off.
    pub(super) fn set_option(&self, sensor: usize, option: &str, value: f64) -> Result<()> {
        let options = self.with_camera(|camera| {
            camera.set_option(sensor, option, value)?;
            camera.sensors()
        })?;
        let (Some(feed), Some(info)) = (self.feeds.get(sensor), options.get(sensor)) else { return Ok(()) };
        for option in &info.options {
            let Some(id) = OptionId::named(self.sdk, &option.option_id) else { continue };
            let value = option.current_value as f32;
            let shown = if option.read_only {
                feed.sensor.update_option(id, value)
            } else {
                feed.sensor.as_sensor().set_option(id, value)
            };
            if let Err(error) = shown {
                debug!(%error, option = option.option_id, "not shown in the software device");
            }
        }
        Ok(())
    }

    fn with_camera<T>(&self, call: impl FnOnce(&mut Box<dyn Camera>) -> Result<T>) -> Result<T> {
        call(self.camera().as_mut().ok_or_else(|| Error::unplugged(&self.id))?)
    }

    /// Whether the simulated camera is plugged in.
    pub(super) fn is_plugged(&self) -> bool {
        !self.sim.attached().is_empty()
    }

    pub(super) fn try_inject(&self, fault: SimFault) -> Result<()> {
        self.sim.inject_fault(&self.id, fault)
    }

    /// Plugs the simulated camera in or out.
    pub(super) fn inject(&self, fault: SimFault) {
        if let Err(error) = self.try_inject(fault) {
            warn!(error = error.for_log(), "the simulated camera behind the software device refuses");
        }
    }
}

impl Feed {
    fn new(
        sdk: Sdk,
        device: &SoftwareDevice,
        camera: &mut dyn Camera,
        info: &SensorInfo,
    ) -> std::result::Result<Self, SdkError> {
        let sensor = device.add_sensor(&info.name)?;
        for option in &info.options {
            add_option(sdk, &sensor, option)?;
        }
        let mut profiles = Vec::new();
        for what in &info.profiles {
            // The simulator's own format, which the SDK does not have.
            if what.format == PixelFormat::I420 {
                continue;
            }
            let intrinsics = camera.intrinsics(what.stream, what.profile.width, what.profile.height);
            let stream = SoftwareStream { what: *what, intrinsics, unique_id: unique_id(what.stream) };
            profiles.push((*what, sensor.add_stream(&stream)?));
        }
        Ok(Self { sensor, profiles, running: RwLock::default() })
    }
}

/// Adds an option with its present value, if the library knows one of this name.
pub(super) fn add_option(sdk: Sdk, sensor: &SoftwareSensor, option: &OptionInfo) -> std::result::Result<(), SdkError> {
    let Some(id) = OptionId::named(sdk, &option.option_id) else { return Ok(()) };
    let value = option.current_value as f32;
    let of = |value: Option<f64>, otherwise: f32| value.map_or(otherwise, |value| value as f32);
    let (min, max, step) = (of(option.min_value, value), of(option.max_value, value), of(option.step, 0.0));
    // The SDK refuses a range of one value for an option that can be set, and a value outside its range.
    let (min, max) = (min.min(value), max.max(value));
    let range = OptionRange { min, max, step, default: value };
    sensor.add_option(id, range, !option.read_only)
}

/// Tells the SDK where the imagers stand to each other.
fn relate(feeds: &[Feed], camera: &mut dyn Camera) -> std::result::Result<(), SdkError> {
    // One profile stands for its stream: the SDK relates streams by their unique id.
    let mut firsts: BTreeMap<StreamType, StreamProfile> = BTreeMap::new();
    for (what, profile) in feeds.iter().flat_map(|feed| &feed.profiles) {
        firsts.entry(what.stream).or_insert_with(|| profile.clone());
    }
    let Some(depth) = firsts.get(&StreamType::Depth) else { return Ok(()) };
    for (what, profile) in feeds.iter().flat_map(|feed| &feed.profiles) {
        if let Some(extrinsics) = camera.extrinsics(what.stream, StreamType::Depth) {
            profile.register_extrinsics(depth, &extrinsics)?;
        }
    }
    Ok(())
}

/// Gives a simulated frame to the SDK.
fn give(feeds: &[Feed], frame: &Frame) {
    let running = |feed: &Feed| lock_read(&feed.running).get(&frame.stream).cloned();
    let Some((feed, profile)) = feeds.iter().find_map(|feed| Some((feed, running(feed)?))) else { return };
    let given = feed.sensor.give(&SoftwareFrame {
        profile: &profile,
        data: frame.data.clone(),
        number: frame.number,
        timestamp_ms: frame.timestamp_ms,
        domain: frame.timestamp_domain,
        depth_units: frame.depth_units,
        metadata: &frame.metadata,
    });
    if let Err(error) = given {
        debug!(%error, stream = %frame.stream, "the SDK did not take a frame");
    }
}
