//! What is present: the backend's table of devices, and how it follows the SDK's word of changes. Tells the manager of what
//! came and went. The table is not locked while the SDK is called; recordings are opened and closed one at a time. Only the
//! watcher's thread adds and removes what the SDK lists, so that what it says now is never undone by what it said before.

use std::{
    collections::BTreeMap,
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::Duration,
};

use tracing::{info, warn};

use super::{error_text::unavailable, player::Player, settings::Settings, software::Feeder};
use crate::{
    camera::{Attached, BackendEvent, BackendEvents, SimFault},
    core::bag::{self, Misfit},
    error::{Error, Result},
    librealsense::{CameraInfo, Changes, Context, Device, DeviceList, Sdk, SdkError},
    model::{Attachment, DeviceId, DeviceInfo},
    sync::{Mutex, lock},
};

/// The longest time between attempts.
const REREAD_MOST: Duration = Duration::from_secs(80);
/// Between attempts to read a device that is there but could not be read: no permission, still starting. Doubled with every
/// attempt, since one touches the cameras that work, too.
const REREAD: Duration = Duration::from_secs(5);
/// Most recordings open at once: each has threads and an open file.
const MAX_RECORDINGS: usize = 16;
/// When to ask again for a recording that is one too many.
const RECORDINGS_RETRY: Duration = Duration::from_secs(10);

/// What the backend's callers, the watcher and open cameras share.
pub(super) struct Shared {
    pub(super) sdk: Sdk,
    pub(super) settings: Settings,
    pub(super) context: Context,
    pub(super) state: Mutex<State>,
    /// Held while a recording is opened or closed.
    pub(super) opening: Mutex<()>,
    pub(super) feeder: Option<Arc<Feeder>>,
}

/// What the watcher is told.
pub(super) enum Change {
    Sdk(Changes),
    /// To look at what is there now; the sender is told afterwards.
    Look(SyncSender<()>),
    Quit,
}

/// The table.
#[derive(Default)]
pub(super) struct State {
    pub(super) events: Option<BackendEvents>,
    pub(super) known: BTreeMap<DeviceId, Known>,
    /// Recordings of the configuration that cannot be played: listed with the reason, and tried again.
    pub(super) missing: Vec<Missing>,
    /// Cameras that could not be read at the last look.
    pub(super) unread: usize,
}

/// A recording that cannot be played.
#[derive(Clone)]
pub(super) struct Missing {
    pub(super) file: PathBuf,
    pub(super) attached: Attached,
}

/// A device that is present.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) attachment: Attachment,
    pub(super) device: Arc<Device>,
    pub(super) info: DeviceInfo,
    pub(super) kind: Kind,
    /// Keeps a software device in its context.
    pub(super) _list: Option<Arc<DeviceList>>,
}

/// Where a device's frames come from.
#[derive(Clone)]
pub(super) enum Kind {
    Live,
    Recording(Arc<Player>),
    Software(Arc<Feeder>),
}

impl State {
    fn miss(&mut self, file: &Path, why: &str) {
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        let ids = (1..).map(|n| if n == 1 { name.clone() } else { format!("{name}-{n}") });
        let id = ids.map(DeviceId::new).find(|id| self.missing(id).is_none()).expect("numbers do not run out");
        let info = DeviceInfo {
            device_id: id.clone(),
            name: format!("Recording {name}"),
            serial_number: id.to_string(),
            firmware_version: None,
            recommended_firmware_version: None,
            firmware_status: Some("unknown".into()),
            firmware_file_available: Some(false),
            physical_port: Some(format!("recording {name}")),
            usb_type: None,
            product_id: None,
            sensors: Vec::new(),
            is_streaming: false,
            playback: false,
            presets: false,
            can_record: false,
            problem: Some(why.to_owned()),
        };
        let attached = Attached { attachment: Attachment::next(), info };
        self.missing.push(Missing { file: file.to_owned(), attached });
    }

    pub(super) fn missing(&self, id: &DeviceId) -> Option<&Missing> {
        self.missing.iter().find(|missing| missing.attached.info.device_id == *id)
    }
}

impl Shared {
    pub(super) fn new(sdk: Sdk, settings: Settings, context: Context, feeder: Option<Arc<Feeder>>) -> Self {
        Self { sdk, settings, context, state: Mutex::default(), opening: Mutex::default(), feeder }
    }

    pub(super) fn tell(&self, event: BackendEvent) {
        let events = lock(&self.state).events.clone();
        if let Some(events) = events {
            events(event);
        }
    }

    /// The first look: what is connected, the software device, the recordings. Gives the number of devices that could not be
    /// read.
    pub(super) fn begin(&self, inbox: &Receiver<Change>) -> usize {
        let unread = self.look();
        if let Some(feeder) = &self.feeder {
            if let Err(error) = self.context.add_software_device(feeder.device()) {
                tracing::error!(%error, "no software device");
            }
            // Its coming was told from within the call.
            while let Ok(Change::Sdk(Changes { removed, added })) = inbox.try_recv() {
                self.apply(&removed, added);
            }
        }
        for file in &self.settings.recordings {
            if let Err(error) = self.open_recording(file) {
                tracing::error!(
                    error = error.for_log(),
                    "a recording is not played; it is listed with the reason, and tried again whenever it is opened"
                );
                lock(&self.state).miss(file, error.public());
            }
        }
        unread
    }

    /// Runs until the backend is dropped.
    pub(super) fn watch(&self, inbox: &Receiver<Change>, mut unread: usize) {
        let mut pause = REREAD;
        loop {
            lock(&self.state).unread = unread;
            let change = if unread > 0 {
                inbox.recv_timeout(pause)
            } else {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            // A panic must not end the hot-plugging of every camera; it was logged by the panic hook already.
            let looked = catch_unwind(AssertUnwindSafe(|| match change {
                Ok(Change::Sdk(changes)) => {
                    pause = REREAD;
                    Some(self.apply(&changes.removed, changes.added))
                }
                Err(RecvTimeoutError::Timeout) => {
                    pause = (pause * 2).min(REREAD_MOST);
                    Some(self.look())
                }
                Ok(Change::Look(seen)) => {
                    let unread = self.look();
                    // Whoever asked may have stopped waiting.
                    let _ = seen.try_send(());
                    Some(unread)
                }
                Ok(Change::Quit) | Err(RecvTimeoutError::Disconnected) => None,
            }));
            match looked {
                Ok(Some(count)) => unread = count,
                Ok(None) => return,
                Err(_) => unread = 0,
            }
        }
    }

    /// Takes over what the SDK says changed. Gives the number of devices that could not be read.
    pub(super) fn apply(&self, removed: &DeviceList, added: DeviceList) -> usize {
        // Recordings come and go by request only; the SDK compares them by file name, so old news would hit a new one.
        for (id, device) in self.devices_of(|kind| !matches!(kind, Kind::Recording(_))) {
            if removed.contains(&device).unwrap_or(false) {
                self.remove(&id);
            }
        }
        self.add_all(added, true)
    }

    /// Compares what the SDK lists with what is known. Gives the number of devices that could not be read.
    pub(super) fn look(&self) -> usize {
        let list = match self.context.devices() {
            Ok(list) => list,
            Err(error) => {
                warn!(%error, "librealsense cannot list devices");
                return 0;
            }
        };
        for (id, device) in self.devices_of(|kind| matches!(kind, Kind::Live)) {
            // What cannot be told is taken for present: its own errors will tell.
            if !list.contains(&device).unwrap_or(true) {
                self.remove(&id);
            }
        }
        // Making a device's object talks to it; not when all of them are known.
        let known = lock(&self.state).known.len();
        if list.len().unwrap_or(0) > known { self.add_all(list, false) } else { 0 }
    }

    pub(super) fn devices_of(&self, which: impl Fn(&Kind) -> bool) -> Vec<(DeviceId, Arc<Device>)> {
        let state = lock(&self.state);
        let those = state.known.iter().filter(|(_, known)| which(&known.kind));
        those.map(|(id, known)| (id.clone(), known.device.clone())).collect()
    }

    /// Adds what is on a list; those that are known already only when they came `anew`.
    pub(super) fn add_all(&self, list: DeviceList, anew: bool) -> usize {
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

    pub(super) fn add(&self, device: Device, list: &Arc<DeviceList>, anew: bool) {
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
        let device = Arc::new(device);
        // A refresh may have found it before the SDK told of it; then it is open already and must not be disturbed.
        let there = lock(&self.state).known.get(&id).map(|known| known.device.clone());
        if there.is_some_and(|there| !anew || list.contains(&there).unwrap_or(false)) {
            return;
        }
        let replaced = {
            let mut state = lock(&self.state);
            // Pulled out before its coming was taken up. Asked under the lock, because the code that pulls it out takes the lock afterwards.
            if matches!(&kind, Kind::Software(feeder) if !feeder.is_plugged()) {
                return;
            }
            let known = Known { attachment: Attachment::next(), device, info, kind, _list: Some(list.clone()) };
            state.known.insert(id.clone(), known)
        };
        // Came back before its going was told.
        if replaced.is_some() {
            self.tell(BackendEvent::Removed(id.clone()));
        }
        self.tell(BackendEvent::Added(id));
    }

    pub(super) fn remove(&self, id: &DeviceId) {
        // Dropped outside the lock: the SDK may take its time.
        let gone = lock(&self.state).known.remove(id);
        if gone.is_some() {
            self.tell(BackendEvent::Removed(id.clone()));
        }
    }

    pub(super) fn open_recording(&self, file: &Path) -> Result<DeviceId> {
        let shown = file.display();
        let file = file.canonicalize().ok().filter(|file| file.is_file());
        let file = file.ok_or_else(|| Error::not_found(format!("There is no recording {shown}.")))?;
        // One at a time, so that nobody opens the same file meanwhile.
        let _one = lock(&self.opening);
        let (mut count, mut playing) = (0, None);
        for (id, known) in &lock(&self.state).known {
            if let Kind::Recording(player) = &known.kind {
                count += 1;
                if player.file() == file {
                    playing = Some(id.clone());
                }
            }
        }
        if let Some(id) = playing {
            return Err(Error::conflict(format!("{shown} is played already, as device {id}.")));
        }
        if count >= MAX_RECORDINGS {
            let text = format!("{MAX_RECORDINGS} recordings are open already; close one first.");
            return Err(Error::limit(text, RECORDINGS_RETRY));
        }
        // librealsense ends the whole process on what it does not know, so that is looked for first.
        File::open(&file)
            .map_err(Misfit::from)
            .and_then(|mut bag| bag::check(&mut bag))
            .map_err(|misfit| Error::invalid(format!("{shown} {misfit}.")))?;
        let refused = |error: SdkError| {
            Error::invalid(format!(
                "{shown} cannot be played: {}. It must be a complete .bag or .db3 recording of librealsense.",
                error.message.trim_end_matches('.')
            ))
        };
        let device = self.context.add_recording(&file).map_err(refused)?;
        let player = match Player::new(&file, self.settings.repeat, &device) {
            Ok(player) => Arc::new(player),
            Err(error) => {
                self.forget_recording(&file);
                return Err(refused(error));
            }
        };
        let mut info = describe(&device, DeviceId::new("unknown"));
        info.physical_port = Some(format!("recording {}", player.name()));
        let serial = info.serial_number.clone();
        let mut state = lock(&self.state);
        // Never the camera's own id: it may be plugged in, or come back, at any time, and its viewers must see it then.
        let ids = (1..).map(|n| if n == 1 { format!("{serial}-rec") } else { format!("{serial}-rec-{n}") });
        let id = ids.map(DeviceId::new).find(|id| !state.known.contains_key(id)).expect("numbers do not run out");
        info.device_id = id.clone();
        info!(device = %id, file = %shown, name = info.name, "recording opened");
        let (attachment, kind) = (Attachment::next(), Kind::Recording(player));
        let known = Known { attachment, device: Arc::new(device), info, kind, _list: None };
        state.known.insert(id.clone(), known);
        drop(state);
        self.tell(BackendEvent::Added(id.clone()));
        Ok(id)
    }

    /// Tries again to play one that could not be played. It is another device then.
    ///
    /// # Errors
    /// Why it still cannot be played, or else as which device it is.
    pub(super) fn open_missing(&self, id: &DeviceId, file: &Path) -> Error {
        match self.open_recording(file) {
            Err(error) => Error::unavailable(error.public()),
            Ok(played) => {
                lock(&self.state).missing.retain(|missing| missing.attached.info.device_id != *id);
                self.tell(BackendEvent::Removed(id.clone()));
                Error::unavailable(format!("This recording is played as device {played} now."))
            }
        }
    }

    pub(super) fn forget_recording(&self, file: &Path) {
        if let Err(error) = self.context.remove_recording(file) {
            warn!(%error, "a recording stays in librealsense's list");
        }
    }

    pub(super) fn close_recording(&self, id: &DeviceId) -> Result<()> {
        // Nobody opens the same file meanwhile: librealsense would take it from its list again, told by its name.
        let _one = lock(&self.opening);
        let player = match lock(&self.state).known.get(id).map(|known| known.kind.clone()) {
            Some(Kind::Recording(player)) => player,
            Some(_) => return Err(Error::invalid(format!("Device {id} is no recording."))),
            None => return Err(Error::unknown_device(id)),
        };
        self.remove(id);
        self.forget_recording(player.file());
        Ok(())
    }

    pub(super) fn preset_of(&self, id: &DeviceId) -> Option<&Path> {
        self.settings.presets.get(id.as_str()).map(PathBuf::as_path)
    }

    pub(super) fn unplug(&self, feeder: &Feeder) {
        feeder.inject(SimFault::Unplug);
        self.remove(feeder.id());
    }

    pub(super) fn replug(&self, feeder: &Feeder) -> Result<()> {
        feeder.inject(SimFault::Replug);
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
        (Some(runs), Some(wanted)) if numbers(runs) < numbers(wanted) => "outdated",
        (Some(_), Some(_)) => "up_to_date",
        _ => "unknown",
    };
    let sensors = device.sensors().unwrap_or_default();
    DeviceInfo {
        name: info(CameraInfo::Name).unwrap_or_else(|| "RealSense camera".into()),
        serial_number: info(CameraInfo::SerialNumber).unwrap_or_else(|| id.to_string()),
        device_id: id,
        firmware_version: firmware,
        recommended_firmware_version: recommended,
        firmware_status: Some(firmware_status.into()),
        firmware_file_available: Some(false),
        physical_port: info(CameraInfo::PhysicalPort),
        usb_type: info(CameraInfo::UsbType),
        product_id: info(CameraInfo::ProductId),
        sensors: sensors.iter().filter_map(crate::librealsense::Sensor::name).collect(),
        is_streaming: false,
        playback: device.is_playback(),
        presets: device.has_advanced_mode(),
        can_record: false,
        problem: None,
    }
}

/// A version's numbers, to be compared.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}
