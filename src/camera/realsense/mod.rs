//! Cameras of the SDK: live ones, recordings, and the SDK's software device fed by the simulator. Owns the SDK's context and
//! the list of what is present; a device's streaming is its `RsCamera`'s.
//!
//! The SDK tells of devices coming and going on a thread of its own, which must not be held up: looking at a new device talks
//! to it over USB. A named thread does that and then tells the manager.

mod camera;
mod deliver;
mod options;
mod playback;
mod recorder;
mod software;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread::JoinHandle,
    time::Duration,
};

use tracing::{info, warn};

use self::{camera::RsCamera, playback::Player, software::Feeder};
use super::{Backend, BackendEvent, BackendEvents, Camera, Fault, FrameSink};
use crate::{
    error::{Error, Result},
    librealsense::{CameraInfo, Changes, Context, Device, DeviceList, Sdk, SdkError},
    model::{DeviceId, DeviceInfo},
};

pub use recorder::SdkRecorderFactory;

/// Changes of the devices that may wait to be looked at. More are found by the next look.
const CHANGES: usize = 64;
/// Between attempts to read a device that is there but could not be read: no permission, still starting.
const REREAD: Duration = Duration::from_secs(5);
/// Most recordings open at once: each has threads and an open file.
const MAX_RECORDINGS: usize = 16;
/// When to ask again for a recording that is one too many.
const RECORDINGS_RETRY: Duration = Duration::from_secs(10);

/// The SDK's settings for live cameras: no DDS, whose discovery opens sockets.
const LIVE: &str = r#"{"dds":{"enabled":false}}"#;
/// For recordings and software devices only (RS2_PRODUCT_LINE_SW_ONLY and all others masked): looks at no hardware.
const NO_HARDWARE: &str = r#"{"inherit":false,"dds":{"enabled":false},"device-mask":511}"#;

/// What the backend serves.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether to look for real cameras.
    pub live: bool,
    /// Recordings to play.
    pub recordings: Vec<PathBuf>,
    /// Whether recordings begin again at their end.
    pub repeat: bool,
    /// A preset's JSON file for a camera's serial number; loaded whenever that camera is opened.
    pub presets: BTreeMap<String, PathBuf>,
    /// Whether to add a software device of the SDK, fed by the simulator.
    pub software_device: bool,
}

/// The SDK's devices.
pub struct RealsenseBackend {
    shared: Arc<Shared>,
    watcher: Option<(SyncSender<Change>, JoinHandle<()>)>,
}

struct Shared {
    sdk: Sdk,
    settings: Settings,
    context: Context,
    state: Mutex<State>,
    feeder: Option<Arc<Feeder>>,
}

enum Change {
    Sdk(Changes),
    Quit,
}

#[derive(Default)]
struct State {
    events: Option<BackendEvents>,
    known: BTreeMap<DeviceId, Known>,
}

/// A device that is present.
#[derive(Clone)]
struct Known {
    device: Arc<Device>,
    info: DeviceInfo,
    kind: Kind,
    /// Keeps a software device in its context.
    _list: Option<Arc<DeviceList>>,
}

/// Where a device's frames come from.
#[derive(Clone)]
enum Kind {
    Live,
    Recording(Arc<Player>),
    Software(Arc<Feeder>),
}

/// An error of the SDK in words for whoever asked.
fn unavailable(device: &DeviceId, doing: &str, error: &SdkError) -> Error {
    let message = error.message.trim_end_matches('.');
    let busy = ["busy", "set power state", "RS2_USB_STATUS_ACCESS", "Failed to open", "failed to open"];
    let hint = if busy.iter().any(|words| error.message.contains(words)) {
        " Another program may be using the camera, or its permissions are missing (scripts/install_udev_rules.sh)."
    } else {
        ""
    };
    Error::unavailable(format!("Device {device} could not {doing}: {message}.{hint}"))
}

impl RealsenseBackend {
    /// Makes the context and opens the recordings. A recording that cannot be played is logged and left out.
    ///
    /// # Errors
    /// Unavailable when the SDK gives no context, Internal when the system gives no thread.
    pub fn start(sdk: Sdk, settings: Settings) -> Result<Self> {
        let context = Context::new(sdk, if settings.live { LIVE } else { NO_HARDWARE })
            .map_err(|error| Error::unavailable(format!("librealsense does not start: {error}")))?;
        let feeder = settings.software_device.then(|| Feeder::new(sdk)).transpose();
        let feeder = feeder.map_err(|error| Error::unavailable(format!("no software device: {error}")))?.map(Arc::new);
        let shared = Arc::new(Shared { sdk, settings, context, state: Mutex::default(), feeder });
        let (changes, inbox) = mpsc::sync_channel(CHANGES);
        let to_watcher = changes.clone();
        let told = shared.context.on_changes(move |change| {
            if let Err(TrySendError::Full(_)) = to_watcher.try_send(Change::Sdk(change)) {
                warn!(
                    "librealsense reports devices faster than they can be looked at; a refresh finds what was missed"
                );
            }
        });
        told.map_err(|error| Error::unavailable(format!("librealsense does not tell of devices: {error}")))?;
        let unread = shared.look();
        if let Some(feeder) = &shared.feeder {
            let added = shared.context.add_software_device(feeder.device());
            added.map_err(|error| unavailable(feeder.id(), "be added", &error))?;
            // Its coming is told like any other's, and is taken up here, so that it is there from the start.
            if let Ok(Change::Sdk(Changes { removed, added })) = inbox.recv_timeout(REREAD) {
                shared.apply(&removed, added);
            }
        }
        for file in &shared.settings.recordings {
            if let Err(error) = shared.open_recording(file) {
                tracing::error!(error = error.for_log(), "a recording is left out");
            }
        }
        let for_thread = shared.clone();
        let watcher = std::thread::Builder::new()
            .name("rs-watch".into())
            .spawn(move || for_thread.watch(&inbox, unread))
            .map_err(|error| Error::internal(format!("cannot start the device watcher: {error}")))?;
        Ok(Self { shared, watcher: Some((changes, watcher)) })
    }
}

impl Drop for RealsenseBackend {
    fn drop(&mut self) {
        // The context's callback keeps a sender, so the end must be said. A full queue means that the watcher hangs in the SDK.
        if let Some((changes, watcher)) = self.watcher.take()
            && changes.try_send(Change::Quit).is_ok()
        {
            // A panic was logged by the panic hook already.
            let _ = watcher.join();
        }
        let known = std::mem::take(&mut lock(&self.shared.state).known);
        drop(known);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Critical sections here only move values in and out, so a poisoned lock is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn tell(&self, event: BackendEvent) {
        let events = lock(&self.state).events.clone();
        if let Some(events) = events {
            events(event);
        }
    }

    /// Runs until the backend is dropped.
    fn watch(&self, inbox: &Receiver<Change>, mut unread: usize) {
        loop {
            let change = if unread > 0 {
                inbox.recv_timeout(REREAD)
            } else {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match change {
                Ok(Change::Sdk(changes)) => unread = self.apply(&changes.removed, changes.added),
                Err(RecvTimeoutError::Timeout) => unread = self.look(),
                Ok(Change::Quit) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Takes over what the SDK says changed. Gives the number of devices that could not be read.
    fn apply(&self, removed: &DeviceList, added: DeviceList) -> usize {
        let known: Vec<_> =
            lock(&self.state).known.iter().map(|(id, known)| (id.clone(), known.device.clone())).collect();
        for (id, device) in known {
            if removed.contains(&device).unwrap_or(false) {
                self.remove(&id);
            }
        }
        self.add_all(added, true)
    }

    /// Compares what the SDK lists with what is known. Gives the number of devices that could not be read.
    fn look(&self) -> usize {
        let list = match self.context.devices() {
            Ok(list) => list,
            Err(error) => {
                warn!(%error, "librealsense cannot list devices");
                return 0;
            }
        };
        let known: Vec<_> = lock(&self.state)
            .known
            .iter()
            .filter(|(_, known)| matches!(known.kind, Kind::Live))
            .map(|(id, known)| (id.clone(), known.device.clone()))
            .collect();
        let mut present = 0;
        for (id, device) in known {
            // What cannot be told is taken for present: its own errors will tell.
            if list.contains(&device).unwrap_or(true) {
                present += 1;
            } else {
                self.remove(&id);
            }
        }
        // Making a device's object talks to it; not for those that are known.
        let others = lock(&self.state).known.len() - present;
        if list.len().unwrap_or(0) > present + others { self.add_all(list, false) } else { 0 }
    }

    /// Adds what is on a list; those that are known already only when they came `anew`.
    fn add_all(&self, list: DeviceList, anew: bool) -> usize {
        let list = Arc::new(list);
        let mut unread = 0;
        for index in 0..list.len().unwrap_or(0) {
            match list.device(index) {
                Ok(device) if device.is_playback() => {}
                Ok(device) => self.add(device, &list, anew),
                Err(error) => {
                    unread += 1;
                    warn!(
                        error = error.message,
                        "a RealSense camera is there but cannot be read; trying again. If this stays: another program uses \
                         it, or permissions are missing (scripts/install_udev_rules.sh)"
                    );
                }
            }
        }
        unread
    }

    fn add(&self, device: Device, list: &Arc<DeviceList>, anew: bool) {
        let Some(serial) = device.info(CameraInfo::SerialNumber) else {
            warn!("ignored a device without a serial number");
            return;
        };
        let id = DeviceId::new(&serial);
        let kind = match &self.feeder {
            Some(feeder) if *feeder.id() == id => Kind::Software(feeder.clone()),
            _ => Kind::Live,
        };
        let info = describe(&device, id.clone());
        let known = Known { device: Arc::new(device), info, kind, _list: Some(list.clone()) };
        let replaced = {
            let mut state = lock(&self.state);
            match state.known.get(&id).map(|known| &known.kind) {
                Some(Kind::Recording(_)) => {
                    warn!(device = %id, "ignored: a recording of this camera is being played; close it to use the camera");
                    return;
                }
                Some(_) if !anew => return,
                _ => state.known.insert(id.clone(), known),
            }
        };
        // Came back before its going was told.
        if replaced.is_some() {
            self.tell(BackendEvent::Removed(id.clone()));
        }
        self.tell(BackendEvent::Added(id));
    }

    fn remove(&self, id: &DeviceId) {
        // Dropped outside the lock: the SDK may take its time.
        let gone = lock(&self.state).known.remove(id);
        if gone.is_some() {
            self.tell(BackendEvent::Removed(id.clone()));
        }
    }

    fn open_recording(&self, file: &Path) -> Result<DeviceId> {
        let shown = file.display();
        if !file.is_file() {
            return Err(Error::not_found(format!("There is no recording {shown}.")));
        }
        let device = self.context.add_recording(file).map_err(|error| {
            Error::invalid(format!(
                "{shown} cannot be played: {}. It must be a complete .bag or .db3 recording of librealsense.",
                error.message
            ))
        })?;
        let taken_back = |error| {
            if let Err(error) = self.context.remove_recording(file) {
                warn!(%error, "a recording stays open");
            }
            Err(error)
        };
        let player = match Player::new(file, self.settings.repeat, &device) {
            Ok(player) => Arc::new(player),
            Err(error) => return taken_back(Error::invalid(format!("{shown} cannot be played: {error}."))),
        };
        let serial = device.info(CameraInfo::SerialNumber).unwrap_or_else(|| "recording".into());
        let mut state = lock(&self.state);
        if state.known.values().filter(|known| matches!(known.kind, Kind::Recording(_))).count() >= MAX_RECORDINGS {
            drop(state);
            return taken_back(Error::limit(
                format!("{MAX_RECORDINGS} recordings are open already; close one first."),
                RECORDINGS_RETRY,
            ));
        }
        // A recording of a camera that is present, or two of one camera, need ids of their own.
        let ids = std::iter::once(serial.clone()).chain((2..).map(|n| format!("{serial}-{n}"))).map(DeviceId::new);
        let id = ids.into_iter().find(|id| !state.known.contains_key(id)).expect("numbers do not run out");
        let mut info = describe(&device, id.clone());
        info.physical_port = Some(format!("recording {}", player.name()));
        info!(device = %id, file = %shown, name = info.name, "recording opened");
        let known = Known { device: Arc::new(device), info, kind: Kind::Recording(player), _list: None };
        state.known.insert(id.clone(), known);
        drop(state);
        self.tell(BackendEvent::Added(id.clone()));
        Ok(id)
    }

    fn close_recording(&self, id: &DeviceId) -> Result<()> {
        let player = match lock(&self.state).known.get(id).map(|known| known.kind.clone()) {
            Some(Kind::Recording(player)) => player,
            Some(_) => return Err(Error::invalid(format!("Device {id} is no recording."))),
            None => return Err(Error::unknown_device(id)),
        };
        self.remove(id);
        if let Err(error) = self.context.remove_recording(player.file()) {
            warn!(%error, "a recording stays in librealsense's list");
        }
        Ok(())
    }

    fn preset_of(&self, id: &DeviceId) -> Option<&Path> {
        self.settings.presets.get(id.as_str()).map(PathBuf::as_path)
    }

    fn unplug(&self, feeder: &Feeder) {
        feeder.inject(Fault::Unplug);
        self.remove(feeder.id());
    }

    fn replug(&self, feeder: &Feeder) -> Result<()> {
        feeder.inject(Fault::Replug);
        let added = self.context.add_software_device(feeder.device());
        // It is there already when it was not unplugged; the callback tells of it otherwise.
        if let Err(error) = added
            && !lock(&self.state).known.contains_key(feeder.id())
        {
            return Err(unavailable(feeder.id(), "be plugged in", &error));
        }
        Ok(())
    }
}

/// What a device says about itself.
fn describe(device: &Device, id: DeviceId) -> DeviceInfo {
    let info = |which| device.info(which);
    let firmware = info(CameraInfo::FirmwareVersion);
    let recommended = info(CameraInfo::RecommendedFirmwareVersion);
    let firmware_status = match (&firmware, &recommended) {
        (Some(runs), Some(wanted)) if numbers(runs) < numbers(wanted) => Some("outdated".to_owned()),
        (Some(_), Some(_)) => Some("up_to_date".to_owned()),
        _ => None,
    };
    let sensors = device.sensors().unwrap_or_default();
    DeviceInfo {
        name: info(CameraInfo::Name).unwrap_or_else(|| "RealSense camera".into()),
        serial_number: info(CameraInfo::SerialNumber).unwrap_or_else(|| id.to_string()),
        device_id: id,
        firmware_version: firmware,
        recommended_firmware_version: recommended,
        firmware_status,
        firmware_file_available: Some(false),
        physical_port: info(CameraInfo::PhysicalPort),
        usb_type: info(CameraInfo::UsbType),
        product_id: info(CameraInfo::ProductId),
        sensors: sensors.iter().filter_map(crate::librealsense::Sensor::name).collect(),
        is_streaming: false,
        playback: device.is_playback(),
        presets: device.has_advanced_mode(),
        can_record: false,
    }
}

/// A version's numbers, to be compared.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

impl Backend for RealsenseBackend {
    fn name(&self) -> &'static str {
        "realsense"
    }

    fn sdk_version(&self) -> Option<String> {
        Some(self.shared.sdk.version().to_string())
    }

    fn set_events(&self, events: BackendEvents) {
        lock(&self.shared.state).events = Some(events);
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        lock(&self.shared.state).known.values().map(|known| known.info.clone()).collect()
    }

    fn refresh(&self) {
        self.shared.look();
    }

    fn open(&self, device: &DeviceId, frames: FrameSink) -> Result<Box<dyn Camera>> {
        let known = lock(&self.shared.state).known.get(device).cloned().ok_or_else(|| Error::unplugged(device))?;
        let preset = self.shared.preset_of(device);
        Ok(Box::new(RsCamera::open(device.clone(), known, preset, frames, Arc::downgrade(&self.shared))?))
    }

    fn open_recording(&self, file: &Path) -> Result<DeviceId> {
        self.shared.open_recording(file)
    }

    fn close_recording(&self, device: &DeviceId) -> Result<()> {
        self.shared.close_recording(device)
    }

    fn inject_fault(&self, device: &DeviceId, fault: Fault) -> Result<()> {
        let Some(feeder) = self.shared.feeder.as_ref().filter(|feeder| feeder.id() == device) else {
            return Err(Error::not_found(format!("Device {device} is not simulated; faults can only be simulated.")));
        };
        match fault {
            Fault::Unplug => self.shared.unplug(feeder),
            Fault::Replug => self.shared.replug(feeder)?,
            other => feeder.try_inject(other)?,
        }
        Ok(())
    }
}
